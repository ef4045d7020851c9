// @ts-check
// Tell an object from what was beside it when it was shown, cell by cell: runtime/objects/target_model.py.

import { mirrored } from "./guided_filter.js";
import { area, linear, plane, soft } from "./resize.js";

/** @typedef {import("./types").Mask} Mask */
/** @typedef {import("./types").Outputs} Outputs */
/** @typedef {import("./types").Size} Size */
/** @typedef {{ gram: Float64Array, moment: Float64Array }} Sums */

const STRIDE = 4; // cells of a probability to a key's, in each direction
const RIDGE = 0.03;
const DOUBT = -0.35;
const DOUBT_PART = -0.2;
const FILLED = 0.5;
const APART = 0.05;
const GROUND = 0.95;

export class TargetModel {
  /** @param {Size} size of keys */
  constructor(size) {
    this.size = size;
    /** @type {Map<number, Sums>} */
    this.sums = new Map();
    /** @type {Map<number, Float32Array>} */
    this.weights = new Map();
  }

  /** Forget all objects. */
  clear() {
    this.sums.clear();
    this.weights.clear();
  }

  /** @param {number} id */
  forget(id) {
    this.sums.delete(id);
    this.weights.delete(id);
  }

  /**
   * Learn what objects differ in from all else that a frame shows, besides what is known.
   * @param {Pick<Outputs, "key" | "probability">[]} looks at the frame
   * @param {Iterable<number>} ids that were shown in it
   */
  learn(looks, ids) {
    const cells = this.size.height * this.size.width;
    const count = looks.length * cells;
    const features = featuresOf(looks.map((look) => look.key), this.size);
    let square = 0;
    for (const row of features) for (const value of row) square += value * value;
    const ridge = (RIDGE * square) / (features.length * count);
    const share = new Float32Array(count);
    const around = new Float32Array(count);
    for (const id of ids) {
      looks.forEach(({ probability }, n) => {
        const part = shareOf(probability, id, this.size);
        share.set(part, n * cells);
        around.set(largestAround(part, this.size), n * cells);
      });
      const inside = share.reduce((sum, part) => sum + Number(part > FILLED), 0);
      const beside = around.reduce((sum, part) => sum + Number(part < APART), 0);
      if (!inside || !beside) continue;
      const weight = new Float64Array(count);
      for (let i = 0; i < count; i++) {
        weight[i] = share[i] > FILLED ? 0.5 / inside : around[i] < APART ? 0.5 / beside : 0;
      }
      const sums = sumsOf(features, weight, share, ridge);
      const known = this.sums.get(id);
      if (known) {
        known.gram.forEach((value, i) => (sums.gram[i] += value));
        known.moment.forEach((value, i) => (sums.moment[i] += value));
      }
      this.sums.set(id, sums);
      this.weights.set(id, solve(sums));
    }
  }

  /**
   * Return the cells of each object that look like what was beside it: cells are judged with the cells
   * around them, and each part of the mask but the largest as a whole.
   * @param {Float32Array} key (Ck, h, w), of the frame
   * @param {Float32Array} probability (K, 4 h, 4 w)
   * @param {number[]} ids to look at
   * @returns {Map<number, Mask>} 1 on these cells, of those of which some cell is in doubt
   */
  doubted(key, probability, ids) {
    const { height, width } = this.size;
    const found = new Map();
    for (const id of ids) {
      const weights = this.weights.get(id);
      if (!weights) continue;
      const own = shareOf(probability, id, this.size);
      if (!own.some((part) => part > FILLED)) continue;
      const score = scoresOf(key, weights, this.size);
      for (let i = 0; i < own.length; i++) {
        if (own[i] <= FILLED) own[i] = 0;
        score[i] *= own[i];
      }
      const sum = blur(score, this.size, mirrored);
      const total = blur(own, this.size, mirrored);
      const data = new Uint8Array(own.length);
      for (let i = 0; i < data.length; i++) {
        data[i] = Number(own[i] > 0 && sum[i] < DOUBT * total[i]);
      }
      /** @param {ArrayLike<number>} values @param {number[]} part */
      const sumOver = (values, part) => part.reduce((all, i) => all + values[i], 0);
      const parts = partsOf(own, this.size).sort((a, b) => sumOver(own, a) - sumOver(own, b));
      for (const part of parts.slice(0, -1)) {
        if (sumOver(score, part) < DOUBT_PART * sumOver(own, part)) for (const i of part) data[i] = 1;
      }
      if (data.some((one) => one)) found.set(id, { height, width, data });
    }
    return found;
  }
}

/**
 * Give cells of objects to the background, in place, in the mask and in what is remembered.
 * @param {Pick<Outputs, "probability" | "value">} outputs of a step; each identity has as many of the
 *   value's channels of its own
 * @param {Map<number, Mask>} doubted
 * @param {Size} size of keys
 */
export function takeAway({ probability, value }, doubted, size) {
  const cells = size.height * size.width;
  const pixels = STRIDE * STRIDE * cells;
  const channels = Math.floor((value.length * pixels) / (cells * probability.length));
  /** @type {number[]} */
  const ground = [];
  shareOf(probability, 0, size).forEach((part, i) => part >= GROUND && ground.push(i));
  for (const [id, mask] of doubted) {
    const part = linear(soft(mask), STRIDE * size.height, STRIDE * size.width).data;
    for (let i = 0, from = id * pixels; i < pixels; i++, from++) {
      const taken = probability[from] * part[i];
      probability[from] -= taken;
      probability[i] += taken;
    }
    if (!ground.length) continue;
    for (const number of [0, id]) {
      for (let c = number * channels; c < (number + 1) * channels; c++) {
        const row = value.subarray(c * cells, (c + 1) * cells);
        const mean = ground.reduce((sum, i) => sum + row[i], 0) / ground.length;
        for (let i = 0; i < cells; i++) if (mask.data[i]) row[i] = mean;
      }
    }
  }
}

/** @param {number} at @param {number} length @returns {number} the place at the border, for one beyond it */
const nearest = (at, length) => Math.min(Math.max(at, 0), length - 1);

/**
 * @template {Float32Array | Float64Array} Values
 * @param {Values} source
 * @param {Size} size
 * @param {(at: number, length: number) => number} inside which place counts for one beyond the border
 * @returns {Values} the mean of 3x3 cells
 */
function blur(source, { height, width }, inside) {
  const across = new Float64Array(source.length);
  for (let x = 0; x < width; x++) {
    const left = inside(x - 1, width);
    const right = inside(x + 1, width);
    for (let row = 0; row < source.length; row += width) {
      across[row + x] = source[row + left] + source[row + x] + source[row + right];
    }
  }
  const result = /** @type {Values} */ (source.slice());
  for (let y = 0, i = 0; y < height; y++) {
    const above = inside(y - 1, height) * width;
    const below = inside(y + 1, height) * width;
    for (let x = 0; x < width; x++, i++) result[i] = (across[above + x] + across[i] + across[below + x]) / 9;
  }
  return result;
}

/**
 * @param {Float32Array[]} keys each (Ck, h, w)
 * @param {Size} size
 * @returns {Float32Array[]} 2 Ck + 1 for all cells: the keys, the means around the cells, and 1
 */
function featuresOf(keys, size) {
  const cells = size.height * size.width;
  const channels = keys[0].length / cells;
  const features = Array.from({ length: 2 * channels + 1 }, () => new Float32Array(keys.length * cells));
  keys.forEach((key, n) => {
    for (let c = 0; c < channels; c++) {
      const one = key.subarray(c * cells, (c + 1) * cells);
      features[c].set(one, n * cells);
      features[channels + c].set(blur(one, size, nearest), n * cells);
    }
  });
  features[2 * channels].fill(1);
  return features;
}

/** @param {Float32Array} share @param {Size} size @returns {Float32Array} the largest of 3x3 cells */
function largestAround(share, { height, width }) {
  return share.map((_, i) => {
    const [y, x] = [Math.floor(i / width), i % width];
    let most = 0;
    for (let row = Math.max(y - 1, 0); row <= Math.min(y + 1, height - 1); row++) {
      for (let column = Math.max(x - 1, 0); column <= Math.min(x + 1, width - 1); column++) {
        most = Math.max(most, share[row * width + column]);
      }
    }
    return most;
  });
}

/** @param {Float32Array} probability @param {number} id @param {Size} size @returns {Float32Array} the part of each cell that is an object's */
function shareOf(probability, id, { height, width }) {
  const [rows, columns] = [STRIDE * height, STRIDE * width];
  const one = probability.subarray(id * rows * columns, (id + 1) * rows * columns);
  return area(plane(rows, columns, one), height, width).data;
}

/**
 * @param {Float32Array} own what is above 0 on cells of a mask
 * @param {Size} size
 * @returns {number[][]} the cells of each part of it that is apart from the rest, also across corners
 */
function partsOf(own, { height, width }) {
  const seen = new Uint8Array(own.length);
  /** @type {number[][]} */
  const parts = [];
  for (let start = 0; start < own.length; start++) {
    if (seen[start] || own[start] <= 0) continue;
    const part = [start];
    seen[start] = 1;
    for (const i of part) {
      const [y, x] = [Math.floor(i / width), i % width];
      for (let row = Math.max(y - 1, 0); row <= Math.min(y + 1, height - 1); row++) {
        for (let column = Math.max(x - 1, 0); column <= Math.min(x + 1, width - 1); column++) {
          const next = row * width + column;
          if (seen[next] || own[next] <= 0) continue;
          seen[next] = 1;
          part.push(next);
        }
      }
    }
    parts.push(part);
  }
  return parts;
}

/**
 * @param {Float32Array[]} features
 * @param {Float64Array} weight of each cell
 * @param {Float32Array} share
 * @param {number} ridge
 * @returns {Sums} of products of features with each other, below the diagonal and on it, and with
 *   what each cell is: 1 is the object, -1 all else
 */
function sumsOf(features, weight, share, ridge) {
  const length = features.length;
  const gram = new Float64Array(length * length);
  const moment = new Float64Array(length);
  const weighed = new Float64Array(weight.length);
  features.forEach((one, row) => {
    for (let i = 0; i < weighed.length; i++) {
      weighed[i] = one[i] * weight[i];
      moment[row] += weighed[i] * (2 * share[i] - 1);
    }
    for (let column = 0; column <= row; column++) {
      const other = features[column];
      let sum = 0;
      for (let i = 0; i < weighed.length; i++) sum += weighed[i] * other[i];
      gram[row * length + column] = sum;
    }
    gram[row * length + row] += ridge;
  });
  return { gram, moment };
}

/** @param {Sums} sums @returns {Float32Array} what the gram turns into the moment, by Cholesky's L L^T */
function solve({ gram, moment }) {
  const length = moment.length;
  const low = gram.slice();
  const found = moment.slice();
  for (let row = 0; row < length; row++) {
    for (let column = 0; column <= row; column++) {
      let rest = low[row * length + column];
      for (let k = 0; k < column; k++) rest -= low[row * length + k] * low[column * length + k];
      low[row * length + column] = row === column ? Math.sqrt(rest) : rest / low[column * length + column];
    }
    for (let k = 0; k < row; k++) found[row] -= low[row * length + k] * found[k];
    found[row] /= low[row * length + row];
  }
  for (let row = length - 1; row >= 0; row--) {
    for (let k = row + 1; k < length; k++) found[row] -= low[k * length + row] * found[k];
    found[row] /= low[row * length + row];
  }
  return Float32Array.from(found);
}

/**
 * @param {Float32Array} key
 * @param {Float32Array} weights
 * @param {Size} size
 * @returns {Float64Array} of each cell: its features, weighed
 */
function scoresOf(key, weights, size) {
  const cells = size.height * size.width;
  const channels = key.length / cells;
  const score = new Float64Array(cells).fill(weights[2 * channels]);
  const around = new Float64Array(cells);
  for (let c = 0, from = 0; c < channels; c++) {
    for (let i = 0; i < cells; i++, from++) {
      score[i] += weights[c] * key[from];
      around[i] += weights[channels + c] * key[from];
    }
  }
  // The weighed sum of means is the mean of weighed sums.
  blur(around, size, nearest).forEach((value, i) => (score[i] += value));
  return score;
}
