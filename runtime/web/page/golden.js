// @ts-check
// Repeat the recording of a bundle: what `edge-vos verify` does, on this device.

import { Segmenter } from "./segmenter.js";

/** @typedef {import("./types").Check} Check */

const STEPS = 65535;
const PRESENT = 0.5 - 2 ** -13; // what float16 rounds to a half

/** @param {number} bits float16 @returns {number} */
function half(bits) {
  const sign = bits >> 15 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (!exponent) return sign * fraction * 2 ** -24;
  return exponent === 31 ? (fraction ? NaN : sign * Infinity) : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** @param {Float32Array} found @param {ArrayLike<number>} halves @returns {number} the L2 norm of the difference by that of what was expected */
function relativeNorm(found, halves) {
  let difference = 0;
  let length = 0;
  for (let i = 0; i < found.length; i++) {
    const expected = half(halves[i]);
    difference += (found[i] - expected) ** 2;
    length += expected ** 2;
  }
  return Math.sqrt(difference) / Math.max(1e-6, Math.sqrt(length));
}

/** @param {import("./types").Report} report */
function limitsOf(report) {
  const stated = report.tolerance ?? {};
  return { stated, limitIou: stated.golden_iou ?? stated.mask_iou ?? 1 };
}

/** @param {number} error @param {number | null | undefined} limit @param {number} least */
const within = (error, limit, least = 0) => limit == null || error <= Math.max(limit, least);

/**
 * Repeat the recording of the network that takes boxes and taps: runtime/prompt_golden.py.
 * @param {import("./prompt_head.js").PromptHead} head
 * @param {Record<string, import("./npz.js").NpyArray>} golden
 * @param {import("./types").Report} report
 * @returns {Promise<import("./types").PromptCheck>}
 */
export async function checkPromptGolden(head, golden, report) {
  const { height, width } = head.size;
  const [calls, , h, w] = golden.image.shape;
  const cells = golden.probability.shape[2] * golden.probability.shape[3];
  const repeat = height / h;
  let [worst, mean, common, covered] = [0, 0, 0, 0];
  for (let t = 0; t < calls; t++) {
    const image = new Float32Array(3 * height * width);
    for (let y = 0, to = 0; y < 3 * height; y++) {
      const row = (t * 3 * h + Math.floor(y / repeat)) * w;
      for (let x = 0; x < width; x++, to++) image[to] = golden.image.data[row + Math.floor(x / repeat)];
    }
    const prompt = Float32Array.from(golden.prompt.data.subarray(4 * t * cells, 4 * (t + 1) * cells), half);
    const { probability } = await head.engine.run({ image, prompt });
    let sum = 0;
    for (let i = 0; i < cells; i++) {
      const expected = half(golden.probability.data[t * cells + i]);
      const error = Math.abs(probability[i] - expected);
      sum += error;
      if (!(error <= worst)) worst = error;
      const found = probability[i] >= PRESENT;
      if (found && expected >= 0.5) common++;
      if (found || expected >= 0.5) covered++;
    }
    mean = Math.max(mean, sum / cells);
  }
  const { stated, limitIou } = limitsOf(report);
  const maskIou = covered ? common / covered : 1;
  const passed =
    maskIou >= limitIou && within(worst, stated.max_abs_error, 2 ** -11) && within(mean, stated.mean_abs_error, 2 ** -11);
  return { passed, calls, maskIou, limitIou };
}

/**
 * @param {Segmenter} segmenter its objects are forgotten
 * @param {Record<string, import("./npz.js").NpyArray>} golden
 * @param {(frame: number, frames: number) => void} tell
 * @returns {Promise<Check>}
 */
export async function checkGolden(segmenter, golden, tell) {
  const { inputs, channels, cells, height, width, memory } = segmenter;
  const { image, prompt, prompted, active, writes, probability } = golden;
  const frames = image.shape[0];
  const [h, w] = image.shape.slice(2);
  const repeat = height / h;
  segmenter.reset();
  segmenter.letterbox = null;
  memory.key.fill(0);
  memory.value.fill(0);
  let [worst, mean, common, covered] = [0, 0, 0, 0];
  const ms = [];
  let last;
  for (let t = 0; t < frames; t++) {
    for (let c = 0, to = 0; c < 3; c++) {
      for (let y = 0; y < height; y++) {
        const row = ((t * 3 + c) * h + Math.floor(y / repeat)) * w;
        for (let x = 0; x < width; x++, to++) inputs.image[to] = image.data[row + Math.floor(x / repeat)];
      }
    }
    inputs.prompt.set(prompt.data.subarray(t * channels * cells, (t + 1) * channels * cells));
    inputs.prompted.set(prompted.data.subarray(t * channels, (t + 1) * channels));
    inputs.active.set(active.data.subarray(t * channels, (t + 1) * channels));
    const began = performance.now();
    last = await segmenter.engine.run(inputs);
    ms.push(performance.now() - began);
    let sum = 0;
    for (let cell = 0; cell < cells; cell++) {
      let [label, truth, most, most0] = [0, 0, -1, -1];
      for (let k = 0; k < channels; k++) {
        const found = last.probability[k * cells + cell];
        const fixed = Math.round(Math.min(Math.max(found || 0, 0), 1) * STEPS);
        const expected = probability.data[(t * channels + k) * cells + cell];
        const error = Math.abs(found - expected / STEPS);
        sum += error;
        if (!(error <= worst)) worst = error;
        if (fixed > most) [most, label] = [fixed, k];
        if (expected > most0) [most0, truth] = [expected, k];
      }
      if (label > 0 && label === truth) common++;
      if (label > 0) covered++;
      if (truth > 0 && truth !== label) covered++;
    }
    mean = Math.max(mean, sum / (cells * channels));
    for (let slot = 0; slot < memory.slots; slot++) {
      if (writes.data[t * memory.slots + slot]) memory.put(slot, last.key, last.value, t);
    }
    tell(t + 1, frames);
  }
  segmenter.reset();
  const { stated, limitIou } = limitsOf(segmenter.manifest.report);
  const maskIou = covered ? common / covered : 1;
  const norm = last
    ? Math.max(relativeNorm(last.key, golden.key.data), relativeNorm(last.value, golden.value.data))
    : Infinity;
  const passed =
    maskIou >= limitIou &&
    within(worst, stated.max_abs_error) &&
    within(mean, stated.mean_abs_error) &&
    within(norm, stated.norm_error, 2 ** -10);
  return { passed, frames, maskIou, limitIou, maxAbsError: worst, ms };
}
