// @ts-check
// The service worker: keeps the page for use offline, and isolates it so that threads can run.

const TRIED = "edge-vos-isolated";

/** @returns {Storage | null} where this browser allows one */
function storage() {
  try {
    return window.sessionStorage;
  } catch {
    return null;
  }
}

/** Wait until the service worker answers for this page, so that it keeps what is loaded next. */
async function isControlled() {
  if (navigator.serviceWorker.controller) return;
  const claimed = new Promise((next) => navigator.serviceWorker.addEventListener("controllerchange", next, { once: true }));
  await Promise.race([claimed, new Promise((next) => setTimeout(next, 3000))]);
}

/**
 * Install the service worker; reload once where that isolates the page.
 * @returns {Promise<string[]>} what is denied, in words
 */
export async function keepOffline() {
  if (!("serviceWorker" in navigator)) {
    return ["storage: this browser has no service worker here, so the page needs its server"];
  }
  try {
    await navigator.serviceWorker.register("sw.js");
    await navigator.serviceWorker.ready;
    await isControlled();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return [`storage: nothing can be kept for use offline (${reason})`];
  }
  const kept = storage();
  if (!self.crossOriginIsolated && kept && !kept.getItem(TRIED)) {
    kept.setItem(TRIED, "yes");
    location.reload();
    // Where the reload does not come, the page goes on with one thread.
    await new Promise((next) => setTimeout(next, 5000));
  }
  return kept ? [] : ["storage: this browser keeps nothing for this page, so it runs with one thread"];
}

/** Load what the first use did not need, so that it is there offline. @param {string[]} files */
export async function keepRest(files) {
  if (!navigator.serviceWorker?.controller) return;
  for (const name of files) await fetch(name).catch(() => {});
}
