// @ts-check
// Ask the worker, and wait for its answer.

/** @typedef {{ resolve: (found: any) => void, reject: (error: Error) => void, tell: (progress: any) => void }} Waiting */

export class WorkerClient {
  /** @param {string} url */
  constructor(url) {
    /** @type {Map<number, Waiting>} */
    this.waiting = new Map();
    this.asked = 0;
    this.worker = new Worker(url);
    this.worker.onmessage = ({ data }) => {
      const one = this.waiting.get(data.id);
      if (data.progress) return one?.tell(data.progress);
      this.waiting.delete(data.id);
      if (data.error === undefined) one?.resolve(data.found);
      else if (one) one.reject(new Error(data.error));
      else this.#fail(data.error);
    };
    this.worker.onerror = (event) => this.#fail(event.message || "the worker could not be started");
  }

  /** @param {string} message */
  #fail(message) {
    for (const one of this.waiting.values()) one.reject(new Error(message));
    this.waiting.clear();
  }

  /**
   * @param {string} task
   * @param {object} [wish]
   * @param {Transferable[]} [transferred]
   * @param {(progress: any) => void} [tell]
   * @returns {Promise<any>}
   */
  ask(task, wish = {}, transferred = [], tell = () => {}) {
    const id = ++this.asked;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject, tell });
      this.worker.postMessage({ id, task, wish }, transferred);
    });
  }
}
