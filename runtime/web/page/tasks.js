// @ts-check
// What the worker does for the page: load a model, find masks, follow frames, check the device.

import { loadEngine, openModel } from "./engine.js";
import { checkGolden, checkPromptGolden } from "./golden.js";
import { readNpz } from "./npz.js";
import { PromptHead, promptGraph } from "./prompt_head.js";
import { PromptError, makeMask } from "./prompts.js";
import { hard, linear, soft } from "./resize.js";
import { Segmenter } from "./segmenter.js";
import { placed, sizeOf, wholeView } from "./view.js";

/** @typedef {import("./types").Manifest} Manifest */
/** @typedef {import("./types").Mask} Mask */
/** @typedef {import("./types").Prompt} Prompt */
/** @typedef {import("./types").Result} Result */
/** @typedef {import("./types").Size} Size */

const TIMED_STEPS = 24;

/** @typedef {{ segmenter: Segmenter, head: PromptHead, manifest: Manifest }} Model */

/** @type {Map<string, Model>} */
const models = new Map();
/** @type {Model | null} */
let current = null;
let folder = "";
/** @type {{ build: string, threads: number, denied: string[] } | null} */
let engine = null;
/** @type {{ labels: Mask, view: import("./types").View, frame: Size } | null} what was found last */
let newest = null;
/** @type {Mask | null} a label map of the frame that is stepped through next: what the user shows in it */
let shown = null;
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
      const { prompt_head: entry, files } = manifest;
      const [model, second] = await Promise.all(
        [manifest.model_file, entry.model_file].map((name) => checked(name, folder, files[name].sha256)),
      );
      const segmenter = new Segmenter(manifest, await openModel(new Uint8Array(model), manifest));
      const head = new PromptHead(entry.size, await openModel(new Uint8Array(second), promptGraph(entry.size)));
      models.set(folder, { segmenter, head, manifest });
    }
    current = /** @type {Model} */ (models.get(folder));
    const { segmenter, manifest } = current;
    forget();
    const loadMs = performance.now() - began;
    return [{ ...engine, manifest, channels: segmenter.channels, loadMs, memoryBytes: segmenter.engine.memoryBytes() }, []];
  },

  /** Take what the user does to a frame, and say which part of it to look at. */
  async show({ frame, prompts, drops }) {
    const { segmenter } = need();
    for (const id of drops) segmenter.drop(id);
    const began = performance.now();
    const found = await merge(frame, prompts);
    shown = found.shown;
    return [{ view: segmenter.view(frame, shown), refused: found.refused, ms: performance.now() - began }, []];
  },

  /** Find everything in a frame, of which the content is a part; `wide` is all of one with prompts. */
  async step({ content, view, frame, wide }) {
    const { segmenter } = need();
    const given = shown;
    shown = null;
    if (!given && !segmenter.living.size) {
      newest = null;
      return [{ pixels: content.data.buffer, result: null, next: null }, [content.data.buffer]];
    }
    const began = performance.now();
    const { mask, owner, alpha, objects, outputs, inferMs } = await segmenter.step(content, view, frame, given, wide);
    const { height, width } = content;
    newest = { labels: { height, width, data: mask }, view, frame };
    const total = performance.now() - began;
    /** @type {Result} */
    const result = {
      view,
      height,
      width,
      mask: mask.slice(),
      owner,
      alpha,
      objects,
      frame: segmenter.frame - 1,
      ms: { infer: inferMs, post: total - inferMs, total },
    };
    const extra = tellsAll ? { probability: outputs.probability, shown: given?.data ?? null } : {};
    const next = segmenter.view(frame);
    return [
      { pixels: content.data.buffer, result, next, memoryBytes: segmenter.engine.memoryBytes(), ...extra },
      [content.data.buffer, result.mask.buffer, owner.buffer, alpha.buffer],
    ];
  },

  /** A mask of the frame, which nothing is done with. */
  async find({ frame, prompt }) {
    const mask = await makeMask(need().head, frame, prompt, maskOf(prompt.id, frame));
    return [{ mask }, [mask.data.buffer]];
  },

  async check(_, tell) {
    const { segmenter, head, manifest } = need();
    /** @param {string} name */
    const read = async (name) => readNpz(await checked(name, folder, manifest.files[name].sha256));
    const golden = await read("golden.npz");
    const check = await checkGolden(segmenter, golden, (frame, frames) => tell({ frame, frames }));
    const prompts = await checkPromptGolden(head, await read("prompt-golden.npz"), manifest.prompt_head.report);
    forget();
    const passed = check.passed && prompts.passed;
    return [{ ...check, passed, prompts, firstMs: check.ms[0], ...(await timeSteps(segmenter, golden)) }, []];
  },

  async reset() {
    forget();
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
    const given = n ? null : { height, width, data: labels };
    const found = await segmenter.step({ height, width, data }, wholeView(segmenter), segmenter, given);
    steps.push(performance.now() - began);
    infer.push(found.inferMs);
  }
  segmenter.reset();
  return { steps, infer };
}

/** Forget all objects and frames. */
function forget() {
  need().segmenter.reset();
  newest = shown = null;
}

/** @returns {Model} */
function need() {
  if (!current) throw new Error("No model is loaded yet");
  return current;
}

/** @param {number} id @param {Size} frame @returns {Mask} where an object is now */
function maskOf(id, { height, width }) {
  const blank = { height, width, data: new Uint8Array(height * width) };
  if (newest?.frame.height !== height || newest.frame.width !== width) return blank;
  const { labels, view } = newest;
  const one = { ...labels, data: labels.data.map((label) => (label === id ? 1 : 0)) };
  const part = sizeOf(view);
  return placed(hard(linear(soft(one), part.height, part.width)), view, blank);
}

/**
 * Make one label map of all prompts; a later one lies on top.
 * @param {Size & { data: Uint8ClampedArray | null }} frame with its pixels, where there is a box or a tap
 * @param {Prompt[]} prompts
 * @returns {Promise<{ shown: Mask | null, refused: string[] }>}
 */
async function merge(frame, prompts) {
  const { height, width } = frame;
  const labels = new Uint8Array(height * width);
  const refused = [];
  for (const prompt of prompts) {
    try {
      const { data } = await makeMask(need().head, frame, prompt, maskOf(prompt.id, frame));
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
