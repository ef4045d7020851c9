// @ts-check
// The fast guided filter with a colour guide: runtime/guided_filter.py, which names the papers.

import { area, linear, plane } from "./resize.js";

/** @typedef {import("./types").Plane} Plane */

/** Cells to each side that a function is fitted to. */
export const RADIUS = 2;
const EPSILON = 0.65;
const FLAT = 30;

/** @param {number} at @param {number} length @returns {number} mirrored at the border, not doubled */
export function mirrored(at, length) {
  if (length === 1) return 0;
  while (at < 0 || at >= length) at = at < 0 ? -at : 2 * length - 2 - at;
  return at;
}

/** @param {Plane} source @returns {Plane} the mean of 5x5 cells */
function mean(source) {
  const { height, width, data } = source;
  const side = 2 * RADIUS + 1;
  const across = new Float32Array(data.length);
  for (let x = 0; x < width; x++) {
    for (let k = -RADIUS; k <= RADIUS; k++) {
      const from = mirrored(x + k, width);
      for (let y = 0; y < height; y++) across[y * width + x] += data[y * width + from];
    }
  }
  const result = plane(height, width);
  for (let y = 0; y < height; y++) {
    for (let k = -RADIUS; k <= RADIUS; k++) {
      const from = mirrored(y + k, height) * width;
      for (let x = 0; x < width; x++) result.data[y * width + x] += across[from + x];
    }
    for (let x = 0; x < width; x++) result.data[y * width + x] /= side * side;
  }
  return result;
}

/** @param {Plane} a @param {Plane} b @returns {Plane} */
function product(a, b) {
  return plane(a.height, a.width, a.data.map((value, i) => value * b.data[i]));
}

/**
 * Enlarge a map of cells to the pixels of a picture, whose outlines it takes on.
 * @param {Plane} source (h, w)
 * @param {Plane[]} guide three colours in [0, 255], each (s * h, s * w)
 * @returns {Plane} of the guide's size
 */
export function guidedFilter(source, guide) {
  const { height, width } = source;
  const pixels = guide[0];
  const count = height * width;
  const colours = guide.map((colour) => area(colour, height, width));
  const means = colours.map(mean);
  const level = mean(source);
  /** @param {number} i @param {Plane} other @param {Plane} itsMean */
  const covariance = (i, other, itsMean) => {
    const found = mean(product(colours[i], other)).data;
    for (let k = 0; k < count; k++) found[k] -= means[i].data[k] * itsMean.data[k];
    return found;
  };
  const v00 = covariance(0, colours[0], means[0]);
  const v10 = covariance(1, colours[0], means[0]);
  const v11 = covariance(1, colours[1], means[1]);
  const v20 = covariance(2, colours[0], means[0]);
  const v21 = covariance(2, colours[1], means[1]);
  const v22 = covariance(2, colours[2], means[2]);
  const c = [0, 1, 2].map((i) => covariance(i, source, level));
  const slopes = [plane(height, width), plane(height, width), plane(height, width)];
  const trust = plane(height, width);
  for (let k = 0; k < count; k++) {
    // L D L^T of the 3x3 matrix.
    const d0 = v00[k] + EPSILON;
    const l10 = v10[k] / d0;
    const l20 = v20[k] / d0;
    const d1 = v11[k] + EPSILON - l10 * v10[k];
    const e21 = v21[k] - l20 * v10[k];
    const l21 = e21 / d1;
    const d2 = v22[k] + EPSILON - l20 * v20[k] - l21 * e21;
    const y1 = c[1][k] - l10 * c[0][k];
    const y2 = c[2][k] - l20 * c[0][k] - l21 * y1;
    const x2 = y2 / d2;
    const x1 = y1 / d1 - l21 * x2;
    const x0 = c[0][k] / d0 - l10 * x1 - l20 * x2;
    slopes[0].data[k] = x0;
    slopes[1].data[k] = x1;
    slopes[2].data[k] = x2;
    level.data[k] -= x0 * means[0].data[k] + x1 * means[1].data[k] + x2 * means[2].data[k];
    const total = v00[k] + v11[k] + v22[k];
    trust.data[k] = total / (total + FLAT);
  }
  /** @param {Plane} cells */
  const enlarge = (cells) => linear(cells, pixels.height, pixels.width);
  const fitted = enlarge(mean(level)).data;
  for (let i = 0; i < 3; i++) {
    const slope = enlarge(mean(slopes[i])).data;
    for (let k = 0; k < fitted.length; k++) fitted[k] += slope[k] * guide[i].data[k];
  }
  const plain = enlarge(source);
  const share = enlarge(mean(trust)).data;
  const result = plane(pixels.height, pixels.width);
  for (let k = 0; k < fitted.length; k++) {
    result.data[k] = plain.data[k] + share[k] * (fitted[k] - plain.data[k]);
  }
  return result;
}
