// @ts-check
// GrabCut (Rother et al., 2004), step by step as OpenCV does it: the same hints, the same mask.

import { kMeans } from "./k_means.js";
import { Graph } from "./max_flow.js";

/** @typedef {import("./types").Mask} Mask */
/** @typedef {import("./types").Picture} Picture */

/** What a pixel may be: surely or probably background or foreground. */
export const [BACK, FORE, MAYBE_BACK, MAYBE_FORE] = [0, 1, 2, 3];

const COMPONENTS = 5;
const GAMMA = 50;
const ITERATIONS = 3;

/** Hold a mixture of Gaussians in RGB. */
class Mixture {
  constructor() {
    this.share = new Float64Array(COMPONENTS);
    this.mean = new Float64Array(3 * COMPONENTS);
    this.inverse = new Float64Array(9 * COMPONENTS);
    this.scale = new Float64Array(COMPONENTS);
  }

  /** @param {Float32Array} samples (n, 3) @param {Uint8Array | Int32Array} component of each */
  learn(samples, component) {
    const total = samples.length / 3;
    const counts = new Float64Array(COMPONENTS);
    const sums = new Float64Array(3 * COMPONENTS);
    const products = new Float64Array(9 * COMPONENTS);
    for (let n = 0; n < total; n++) {
      const c = component[n];
      counts[c]++;
      for (let i = 0; i < 3; i++) {
        const value = samples[3 * n + i];
        sums[3 * c + i] += value;
        for (let j = 0; j < 3; j++) products[9 * c + 3 * i + j] += value * samples[3 * n + j];
      }
    }
    for (let c = 0; c < COMPONENTS; c++) {
      this.share[c] = counts[c] / total;
      if (!counts[c]) continue;
      for (let i = 0; i < 3; i++) this.mean[3 * c + i] = sums[3 * c + i] / counts[c];
      const v = new Float64Array(9);
      for (let i = 0; i < 3; i++) {
        for (let j = 0; j < 3; j++) {
          v[3 * i + j] = products[9 * c + 3 * i + j] / counts[c] - this.mean[3 * c + i] * this.mean[3 * c + j];
        }
      }
      let determinant = determinantOf(v);
      if (determinant <= 1e-6) {
        for (const i of [0, 4, 8]) v[i] += 0.01;
        determinant = determinantOf(v);
      }
      this.scale[c] = 1 / Math.sqrt(determinant);
      const inverse = [
        v[4] * v[8] - v[5] * v[7], -(v[1] * v[8] - v[2] * v[7]), v[1] * v[5] - v[2] * v[4],
        -(v[3] * v[8] - v[5] * v[6]), v[0] * v[8] - v[2] * v[6], -(v[0] * v[5] - v[2] * v[3]),
        v[3] * v[7] - v[4] * v[6], -(v[0] * v[7] - v[1] * v[6]), v[0] * v[4] - v[1] * v[3],
      ];
      inverse.forEach((value, i) => (this.inverse[9 * c + i] = value / determinant));
    }
  }

  /** @param {number} c @param {number} r @param {number} g @param {number} b */
  likelihood(c, r, g, b) {
    if (!this.share[c]) return 0;
    const x = r - this.mean[3 * c];
    const y = g - this.mean[3 * c + 1];
    const z = b - this.mean[3 * c + 2];
    const m = this.inverse;
    const k = 9 * c;
    const far =
      x * (x * m[k] + y * m[k + 3] + z * m[k + 6]) +
      y * (x * m[k + 1] + y * m[k + 4] + z * m[k + 7]) +
      z * (x * m[k + 2] + y * m[k + 5] + z * m[k + 8]);
    return this.scale[c] * Math.exp(-0.5 * far);
  }

  /** @param {number} r @param {number} g @param {number} b */
  density(r, g, b) {
    let sum = 0;
    for (let c = 0; c < COMPONENTS; c++) sum += this.share[c] * this.likelihood(c, r, g, b);
    return sum;
  }

  /** @param {number} r @param {number} g @param {number} b @returns {number} its likeliest component */
  component(r, g, b) {
    let best = 0;
    let most = 0;
    for (let c = 0; c < COMPONENTS; c++) {
      const p = this.likelihood(c, r, g, b);
      if (p > most) {
        most = p;
        best = c;
      }
    }
    return best;
  }
}

/** @param {Float64Array} v 3x3 */
function determinantOf(v) {
  return (
    v[0] * (v[4] * v[8] - v[5] * v[7]) - v[1] * (v[3] * v[8] - v[5] * v[6]) + v[2] * (v[3] * v[7] - v[4] * v[6])
  );
}

/**
 * Cut the object out.
 * @param {Picture} picture
 * @param {Mask} hints one of the four a pixel; changed in place
 * @returns {Mask} 1 on the foreground
 */
export function grabCut(picture, hints) {
  const { height, width } = picture;
  const count = height * width;
  const isFore = hints.data.some((hint) => hint & 1);
  if (isFore && hints.data.some((hint) => !(hint & 1))) {
    // OpenCV's order: blue, green, red.
    const colours = new Float32Array(3 * count);
    for (let i = 0; i < count; i++) {
      for (let c = 0; c < 3; c++) colours[3 * i + c] = picture.data[4 * i + 2 - c];
    }
    cut(colours, hints, height, width);
  }
  return { height, width, data: hints.data.map((hint) => hint & 1) };
}

/** @param {Float32Array} colours @param {Mask} hints @param {number} height @param {number} width */
function cut(colours, hints, height, width) {
  const count = height * width;
  const back = new Mixture();
  const fore = new Mixture();
  /** @param {number} kind */
  const chosen = (kind) => {
    const indices = [];
    for (let i = 0; i < count; i++) if ((hints.data[i] & 1) === kind) indices.push(i);
    const samples = new Float32Array(3 * indices.length);
    indices.forEach((index, n) => samples.set(colours.subarray(3 * index, 3 * index + 3), 3 * n));
    return samples;
  };
  const random = { state: 0xffffffffn };
  for (const [kind, mixture] of /** @type {[number, Mixture][]} */ ([[0, back], [1, fore]])) {
    const samples = chosen(kind);
    mixture.learn(samples, kMeans(samples, COMPONENTS, random));
  }
  const edges = neighbours(colours, height, width);
  for (let round = 0; round < ITERATIONS; round++) {
    for (const [kind, mixture] of /** @type {[number, Mixture][]} */ ([[0, back], [1, fore]])) {
      const samples = chosen(kind);
      const component = new Uint8Array(samples.length / 3);
      for (let n = 0; n < component.length; n++) {
        component[n] = mixture.component(samples[3 * n], samples[3 * n + 1], samples[3 * n + 2]);
      }
      mixture.learn(samples, component);
    }
    const graph = new Graph(count, edges.length / 3);
    for (let i = 0; i < count; i++) {
      const [b, g, r] = colours.subarray(3 * i, 3 * i + 3);
      const hint = hints.data[i];
      if (hint === BACK) graph.terminal(i, 0, 9 * GAMMA);
      else if (hint === FORE) graph.terminal(i, 9 * GAMMA, 0);
      else graph.terminal(i, surprise(back.density(b, g, r)), surprise(fore.density(b, g, r)));
    }
    for (let e = 0; e < edges.length; e += 3) graph.connect(edges[e], edges[e + 1], edges[e + 2]);
    graph.cut();
    for (let i = 0; i < count; i++) {
      if (hints.data[i] & 2) hints.data[i] = graph.fromSource[i] ? MAYBE_FORE : MAYBE_BACK;
    }
  }
}

/** @param {number} density @returns {number} a finite number: a density may vanish */
function surprise(density) {
  return -Math.log(Math.max(density, 1e-300));
}

/** @param {Float32Array} colours @param {number} height @param {number} width @returns {Float64Array} (n, 3): two pixels and how alike they are */
function neighbours(colours, height, width) {
  /** @type {[number, number, number][]} */
  const steps = [[0, -1, 1], [-1, -1, Math.SQRT1_2], [-1, 0, 1], [-1, 1, Math.SQRT1_2]];
  const found = new Float64Array(3 * 4 * height * width);
  let n = 0;
  let sum = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (const [dy, dx, share] of steps) {
        if (y + dy < 0 || x + dx < 0 || x + dx >= width) continue;
        const a = y * width + x;
        const b = (y + dy) * width + x + dx;
        let far = 0;
        for (let c = 0; c < 3; c++) far += (colours[3 * a + c] - colours[3 * b + c]) ** 2;
        sum += far;
        found[n++] = a;
        found[n++] = b;
        found[n++] = share === 1 ? far : -far - 1; // the sign tells a diagonal
      }
    }
  }
  const pairs = 4 * width * height - 3 * width - 3 * height + 2;
  const beta = sum <= Number.EPSILON ? 0 : 1 / ((2 * sum) / pairs);
  for (let k = 2; k < n; k += 3) {
    const diagonal = found[k] < 0;
    const far = diagonal ? -found[k] - 1 : found[k];
    found[k] = (diagonal ? GAMMA / Math.SQRT2 : GAMMA) * Math.exp(-beta * far);
  }
  return found.subarray(0, n);
}
