// @ts-check
// LiteRT.js as the engine. Its threaded build comes first, then the one with a single thread, then
// the one without relaxed SIMD; what a browser denies is said.

/** @typedef {import("./types").TensorInfo} TensorInfo */
/** @typedef {"threaded" | "single" | "compat"} Build */

const FILES = { threaded: "litert_wasm_threaded_internal", single: "litert_wasm_internal", compat: "litert_wasm_compat_internal" };

/** The smallest modules that use a feature. */
const SIMD = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11]);
const RELAXED_SIMD = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15, 253, 128, 2, 11,
]);

/** @type {any} */
let runtime = null;

/** @param {number} most threads to use @returns {number} */
function threadsWanted(most) {
  // Two to four: a phone's other cores are slow ones, and the page needs one itself.
  return Math.max(1, Math.min(4, most, navigator.hardwareConcurrency || 1));
}

/**
 * Say which builds this browser can run, the fastest first, and what it denies.
 * @param {{ build: string | null, threads: number }} wish `build` is one of three, or null
 * @returns {{ builds: Build[], denied: string[] }}
 */
export function chooseBuilds(wish) {
  if (!WebAssembly.validate(SIMD)) {
    throw new Error("This browser has no WebAssembly SIMD, which the engine needs: use Chrome 91, Firefox 89, Safari 16.4 or newer.");
  }
  const denied = [];
  /** @type {Build[]} */
  let builds = ["threaded", "single", "compat"];
  if (!WebAssembly.validate(RELAXED_SIMD)) {
    denied.push("relaxed SIMD: this browser lacks it, so the compat build runs, with one thread");
    builds = ["compat"];
  } else if (!self.crossOriginIsolated || typeof SharedArrayBuffer === "undefined") {
    denied.push("threads: this page is not cross-origin isolated, so one thread runs");
    builds = ["single", "compat"];
  } else if (threadsWanted(wish.threads) < 2) {
    builds = ["single", "compat"];
  }
  if (wish.build) builds = [/** @type {Build} */ (wish.build)];
  return { builds, denied };
}

/**
 * Load the engine, once; the first build that starts.
 * @param {string} folder its URL, with a slash at the end
 * @param {{ build: string | null, threads: number }} wish
 * @returns {Promise<{ build: Build, threads: number, denied: string[] }>}
 */
export async function loadEngine(folder, wish) {
  const { builds, denied } = chooseBuilds(wish);
  const lite = await import(`${folder}index.js`);
  /** @type {unknown} */
  let reason;
  for (const build of builds) {
    const file = `${folder}wasm/${FILES[build]}.js`;
    // Threads are workers of the engine's own script, which is not the one that runs here.
    Object.assign(self, { Module: { mainScriptUrlOrBlob: file, locateFile: (/** @type {string} */ name) => `${folder}wasm/${name}` } });
    try {
      const loaded = await lite.loadLiteRt(file, {});
      const threads = build === "threaded" ? threadsWanted(wish.threads) : 1;
      runtime = { lite, wasm: loaded.liteRtWasm, build, threads };
      return { build, threads, denied };
    } catch (error) {
      reason = error;
      denied.push(`${build} build: it did not start (${error instanceof Error ? error.message : error})`);
    }
  }
  throw new Error(`The engine did not start: ${reason instanceof Error ? reason.message : reason}`);
}

/**
 * Open a model.
 * @template {Record<string, Float32Array>} Found its outputs by name
 * @param {Uint8Array} model
 * @param {{ inputs: TensorInfo[], outputs: TensorInfo[] }} graph
 * @returns {Promise<import("./types").Engine<Found>>}
 */
export async function openModel(model, graph) {
  const { lite, wasm, build, threads } = runtime;
  const compiled = await lite.loadAndCompile(model, { accelerator: "wasm", cpuOptions: { numThreads: threads } });
  /** @type {Record<string, number[]>} */
  const shape = Object.fromEntries(graph.inputs.map((one) => [one.name, one.shape]));
  return {
    name: "LiteRT.js",
    build,
    threads,
    async run(inputs) {
      /** @type {Record<string, any>} */
      const given = {};
      for (const [name, data] of Object.entries(inputs)) given[name] = new lite.Tensor(data, shape[name]);
      const found = await compiled.run(given);
      for (const tensor of Object.values(given)) tensor.delete();
      /** @type {Record<string, Float32Array>} */
      const outputs = {};
      for (const { name } of graph.outputs) {
        outputs[name] = await found[name].data();
        found[name].delete();
      }
      return /** @type {Found} */ (outputs);
    },
    memoryBytes: () => wasm.HEAPU8.buffer.byteLength,
    close: () => compiled.delete(),
  };
}
