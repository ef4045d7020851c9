// @ts-check
// A classic worker, because the engine loads its script with importScripts.

/** @type {MessageEvent[]} */
const early = [];
self.onmessage = (event) => early.push(event);
import("./tasks.js").then(
  ({ answer }) => {
    self.onmessage = (event) => answer(event.data);
    for (const event of early) answer(event.data);
  },
  (error) => self.postMessage({ id: 0, error: `The page's own code could not be loaded: ${error.message}` }),
);
