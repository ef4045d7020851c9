// @ts-check
// Resize as OpenCV does: pixel areas onto pixel areas (half-pixel centres).

/** @typedef {import("./types").Plane} Plane */
/** @typedef {import("./types").Mask} Mask */
/** @typedef {import("./types").Picture} Picture */

/**
 * @param {number} height
 * @param {number} width
 * @param {Float32Array} [data]
 * @returns {Plane}
 */
export function plane(height, width, data = new Float32Array(height * width)) {
  return { height, width, data };
}

/**
 * Say for each new place between which two old ones it lies, and where.
 * @param {number} from
 * @param {number} to
 */
function between(from, to) {
  const low = new Int32Array(to);
  const high = new Int32Array(to);
  const weight = new Float32Array(to);
  for (let i = 0; i < to; i++) {
    const at = Math.min(Math.max(((i + 0.5) * from) / to - 0.5, 0), from - 1);
    low[i] = Math.floor(at);
    high[i] = Math.min(low[i] + 1, from - 1);
    weight[i] = at - low[i];
  }
  return { low, high, weight };
}

/**
 * Resize bilinearly.
 * @param {Plane} source
 * @param {number} height
 * @param {number} width
 * @returns {Plane}
 */
export function linear(source, height, width) {
  if (source.height === height && source.width === width) return source;
  const across = new Float32Array(source.height * width);
  const x = between(source.width, width);
  for (let row = 0; row < source.height; row++) {
    const from = row * source.width;
    for (let i = 0, to = row * width; i < width; i++, to++) {
      const left = source.data[from + x.low[i]];
      across[to] = left + (source.data[from + x.high[i]] - left) * x.weight[i];
    }
  }
  const result = plane(height, width);
  const y = between(source.height, height);
  for (let row = 0; row < height; row++) {
    const upper = y.low[row] * width;
    const lower = y.high[row] * width;
    const weight = y.weight[row];
    for (let i = 0, to = row * width; i < width; i++, to++) {
      const above = across[upper + i];
      result.data[to] = above + (across[lower + i] - above) * weight;
    }
  }
  return result;
}

/**
 * Say which old places each new one covers, and how much of each.
 * @param {number} from
 * @param {number} to
 */
function covered(from, to) {
  const scale = from / to;
  return Array.from({ length: to }, (_, i) => {
    const start = i * scale;
    const stop = Math.min((i + 1) * scale, from);
    const first = Math.floor(start + 1e-9);
    const last = Math.min(Math.ceil(stop - 1e-9), from);
    const weights = [];
    for (let k = first; k < last; k++) {
      weights.push((Math.min(k + 1, stop) - Math.max(k, start)) / scale);
    }
    return { first, weights };
  });
}

/**
 * Shrink by the mean of the area that each new pixel covers; OpenCV's INTER_AREA enlarges bilinearly.
 * @param {Plane} source
 * @param {number} height
 * @param {number} width
 * @returns {Plane}
 */
export function area(source, height, width) {
  if (source.height === height && source.width === width) return source;
  if (height > source.height || width > source.width) return linear(source, height, width);
  const across = new Float32Array(source.height * width);
  const columns = covered(source.width, width);
  for (let row = 0; row < source.height; row++) {
    for (let i = 0; i < width; i++) {
      const { first, weights } = columns[i];
      let sum = 0;
      for (let k = 0; k < weights.length; k++) {
        sum += source.data[row * source.width + first + k] * weights[k];
      }
      across[row * width + i] = sum;
    }
  }
  const result = plane(height, width);
  const rows = covered(source.height, height);
  for (let row = 0; row < height; row++) {
    const { first, weights } = rows[row];
    for (let k = 0; k < weights.length; k++) {
      const from = (first + k) * width;
      for (let i = 0; i < width; i++) result.data[row * width + i] += across[from + i] * weights[k];
    }
  }
  return result;
}

/** @param {Mask} mask @returns {Plane} 1 where the mask is not 0 */
export function soft(mask) {
  return plane(mask.height, mask.width, Float32Array.from(mask.data, (id) => (id ? 1 : 0)));
}

/** @param {Plane} source @returns {Mask} 1 where it is more than a half */
export function hard(source) {
  const data = Uint8Array.from(source.data, (value) => (value > 0.5 ? 1 : 0));
  return { height: source.height, width: source.width, data };
}

/**
 * Cut a part out of a picture.
 * @param {Picture} picture
 * @param {number} top
 * @param {number} left
 * @param {number} height
 * @param {number} width
 * @returns {Picture}
 */
export function crop(picture, top, left, height, width) {
  const data = new Uint8ClampedArray(4 * height * width);
  for (let y = 0; y < height; y++) {
    const from = 4 * ((top + y) * picture.width + left);
    data.set(picture.data.subarray(from, from + 4 * width), 4 * y * width);
  }
  return { height, width, data };
}
