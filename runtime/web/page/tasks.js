// @ts-check
// What the worker does for the page: load a model, find masks, follow frames, check the device.

import { loadEngine, openModel } from "./engine.js";
import { checkGolden } from "./golden.js";
import { readNpz } from "./npz.js";
import { PromptError, makeMask } from "./prompts.js";
import { Segmenter } from "./segmenter.js";

/** @typedef {import("./types").Letterbox} Letterbox */
/** @typedef {import("./types").Manifest} Manifest */
/** @typedef {import("./types").Mask} Mask */
/** @typedef {import("./types").Picture} Picture */
/** @typedef {import("./types").Prompt} Prompt */
/** @typedef {import("./types").Result} Result */

const TIMED_STEPS = 24;

/** @type {Map<string, { segmenter: Segmenter, manifest: Manifest }>} */
const models = new Map();
/** @type {Segmenter | null} */
let current = null;
let folder = "";
/** @type {{ build: string, threads: number, denied: string[] } | null} */
let engine = null;
/** @type {{ mask: Uint8Array, height: number, width: number } | null} the newest masks */
let newest = null;
/** Whether probabilities go along with results: for tests. */
let tellsAll = false;

/** @param {string} url @returns {Promise<ArrayBuffer>} */
async function download(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} could not be loaded (${response.status}): copy the whole folder that edge-vos web wrote`);
  return response.arrayBuffer();
}

/** @param {string} name @param {string} where @param {string} expected @returns {Promise<ArrayBuffer>} a file of a bundle, its digest checked */
async function checked(name, where, expected) {
  const bytes = await download(`${where}/${name}`);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const hex = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  if (hex !== expected) {
    throw new Error(`${where}/${name} is damaged: its sha256 is ${hex.slice(0, 12)}…, not ${expected.slice(0, 12)}…. Run edge-vos web again and copy the folder anew.`);
  }
  return bytes;
}

/** @type {Record<string, (wish: any, tell: (progress: object) => void) => Promise<[object, Transferable[]]>>} */
const TASKS = {
  async load({ engineFolder, modelFolder, manifestSha256, build, threads }) {
    const began = performance.now();
    engine ??= await loadEngine(engineFolder, { build, threads });
    folder = modelFolder;
    if (!models.has(folder)) {
      /** @type {Manifest} */
      const manifest = JSON.parse(new TextDecoder().decode(await checked("manifest.json", folder, manifestSha256)));
      const model = await checked(manifest.model_file, folder, manifest.files[manifest.model_file].sha256);
      const opened = await openModel(new Uint8Array(model), manifest);
      models.set(folder, { segmenter: new Segmenter(manifest, opened), manifest });
    }
    const { segmenter, manifest } = /** @type {{ segmenter: Segmenter, manifest: Manifest }} */ (models.get(folder));
    current = segmenter;
    current.reset();
    newest = null;
    const loadMs = performance.now() - began;
    return [{ ...engine, manifest, channels: segmenter.channels, loadMs, memoryBytes: segmenter.engine.memoryBytes() }, []];
  },

  async step({ content, letterbox, prompts, drops }) {
    const segmenter = need();
    const began = performance.now();
    for (const id of drops) segmenter.drop(id);
    const { shown, refused } = merge(content, prompts);
    const promptMs = performance.now() - began;
    if (!shown && !segmenter.living.size) {
      newest = null;
      return [{ pixels: content.data.buffer, result: null, refused }, [content.data.buffer]];
    }
    const found = await segmenter.step(content, letterbox, shown);
    newest = { mask: found.mask, height: content.height, width: content.width };
    const total = performance.now() - began;
    /** @type {Result} */
    const result = {
      mask: found.mask.slice(),
      owner: found.owner,
      alpha: found.alpha,
      height: content.height,
      width: content.width,
      objects: found.objects,
      frame: segmenter.frame - 1,
      ms: { prompt: promptMs, infer: found.inferMs, post: total - promptMs - found.inferMs, total },
      refused,
    };
    const extra = tellsAll ? { probability: found.outputs.probability, shown: shown?.data ?? null } : {};
    return [
      { pixels: content.data.buffer, result, refused, memoryBytes: segmenter.engine.memoryBytes(), ...extra },
      [content.data.buffer, result.mask.buffer, result.owner.buffer, result.alpha.buffer],
    ];
  },

  async find({ content, prompt }) {
    const empty = new Uint8Array(content.height * content.width);
    const mask = makeMask(content, prompt, { height: content.height, width: content.width, data: empty });
    return [{ mask: mask.data }, []];
  },

  async check(_, tell) {
    const segmenter = need();
    const golden = await readNpz(await checked("golden.npz", folder, segmenter.manifest.files["golden.npz"].sha256));
    const check = await checkGolden(segmenter, golden, (frame, frames) => tell({ frame, frames }));
    newest = null;
    return [{ ...check, firstMs: check.ms[0], ...(await timeSteps(segmenter, golden)) }, []];
  },

  async reset() {
    need().reset();
    newest = null;
    return [{}, []];
  },

  async tellAll({ on }) {
    tellsAll = on;
    return [{}, []];
  },
};

/**
 * Take whole steps on the recording's first frame.
 * @param {Segmenter} segmenter
 * @param {Record<string, import("./npz.js").NpyArray>} golden
 */
async function timeSteps(segmenter, golden) {
  const { height, width } = segmenter;
  const [, , h, w] = golden.image.shape;
  const repeat = height / h;
  const data = new Uint8ClampedArray(4 * height * width).fill(255);
  const labels = new Uint8Array(height * width);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      const from = Math.floor(y / repeat) * w + Math.floor(x / repeat);
      for (let c = 0; c < 3; c++) data[4 * at + c] = golden.image.data[c * h * w + from];
      const cell = Math.floor(y / 4) * (width / 4) + Math.floor(x / 4);
      if (golden.prompt.data[segmenter.cells + cell] > 0.5) labels[at] = 1;
    }
  }
  const steps = [];
  const infer = [];
  for (let n = 0; n < TIMED_STEPS; n++) {
    const began = performance.now();
    const shown = n ? null : { height, width, data: labels };
    const found = await segmenter.step({ height, width, data }, { top: 0, left: 0, height, width }, shown);
    steps.push(performance.now() - began);
    infer.push(found.inferMs);
  }
  segmenter.reset();
  return { steps, infer };
}

/** @returns {Segmenter} */
function need() {
  if (!current) throw new Error("No model is loaded yet");
  return current;
}

/**
 * Make one label map of all prompts; a later one lies on top.
 * @param {Picture} content
 * @param {Prompt[]} prompts
 * @returns {{ shown: Mask | null, refused: string[] }}
 */
function merge(content, prompts) {
  const { height, width } = content;
  const labels = new Uint8Array(height * width);
  const refused = [];
  for (const prompt of prompts) {
    const fits = newest && newest.height === height && newest.width === width;
    const now = newest && fits ? newest.mask.map((id) => (id === prompt.id ? 1 : 0)) : new Uint8Array(height * width);
    try {
      const { data } = makeMask(content, prompt, { height, width, data: now });
      for (let i = 0; i < data.length; i++) if (data[i]) labels[i] = prompt.id;
    } catch (error) {
      if (!(error instanceof PromptError)) throw error;
      refused.push(error.message);
    }
  }
  return { shown: labels.some((id) => id) ? { height, width, data: labels } : null, refused };
}

/** Do one task after the other, and tell the page. @type {Promise<void>} */
let queue = Promise.resolve();

/** @param {{ id: number, task: string, wish: object }} message */
export function answer({ id, task, wish }) {
  queue = queue.then(async () => {
    try {
      const [found, transferred] = await TASKS[task](wish, (progress) => self.postMessage({ id, progress }));
      self.postMessage({ id, found }, { transfer: transferred });
    } catch (error) {
      self.postMessage({ id, error: error instanceof Error ? error.message : String(error) });
    }
  });
}
