// @ts-check
// Probabilities to a mask, with outlines that follow the picture: runtime/labels.py, at the
// resolution of the content.

import { RADIUS, guidedFilter } from "./guided_filter.js";
import { STRIDE } from "./letterbox.js";
import { linear, plane } from "./resize.js";

/** @typedef {import("./types").Letterbox} Letterbox */
/** @typedef {import("./types").ObjectState} ObjectState */
/** @typedef {import("./types").Plane} Plane */
/** @typedef {{ top: number, bottom: number, left: number, right: number }} Window */

const LEAST_PROBABILITY = 1e-3;
export const OUTLINE = 128;
const LEVELS = 16;
/** How steep the edge of the shown mask is, in alpha for each level. */
const STEEPNESS = 10;

/**
 * @param {Uint8Array} chosen
 * @param {number} height
 * @param {number} width
 * @returns {Window | null} the cells around the chosen ones, as far as an outline may reach
 */
function around(chosen, height, width) {
  let top = height;
  let bottom = -1;
  let left = width;
  let right = -1;
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (!chosen[i]) continue;
      if (y < top) top = y;
      bottom = y;
      if (x < left) left = x;
      if (x > right) right = x;
    }
  }
  if (bottom < 0) return null;
  return {
    top: Math.max(top - RADIUS, 0),
    bottom: Math.min(bottom + 1 + RADIUS, height),
    left: Math.max(left - RADIUS, 0),
    right: Math.min(right + 1 + RADIUS, width),
  };
}

/** @param {Plane} source @param {Window} part @returns {Plane} */
function cut(source, part) {
  const width = part.right - part.left;
  const result = plane(part.bottom - part.top, width);
  for (let y = part.top; y < part.bottom; y++) {
    const from = y * source.width;
    result.data.set(source.data.subarray(from + part.left, from + part.right), (y - part.top) * width);
  }
  return result;
}

/** @param {Float32Array} cells (H/4, W/4) @param {Letterbox} letterbox @param {number} imageWidth @returns {Plane} the content's */
export function cropCells(cells, { top, left, height, width }, imageWidth) {
  const result = plane(height / STRIDE, width / STRIDE);
  for (let y = 0; y < result.height; y++) {
    const from = (top / STRIDE + y) * (imageWidth / STRIDE) + left / STRIDE;
    result.data.set(cells.subarray(from, from + result.width), y * result.width);
  }
  return result;
}

/**
 * Label every pixel of the content with its likeliest object.
 * @param {Float32Array} probability (K, h, w), in [0, 1]
 * @param {number[]} ids the channels to tell apart from the background, ascending
 * @param {Letterbox} letterbox
 * @param {Float32Array} image (3, H, W), in [0, 255]
 * @param {number} imageHeight
 * @param {number} imageWidth
 * @returns {{ mask: Uint8Array, owner: Uint8Array, alpha: Uint8Array, objects: ObjectState[] }} the
 *   mask; whose each pixel is where it is not background; how surely it is not; the objects
 */
export function labelFrame(probability, ids, letterbox, image, imageHeight, imageWidth) {
  const { height, width } = letterbox;
  const rows = height / STRIDE;
  const columns = width / STRIDE;
  const wholeCells = (imageHeight / STRIDE) * (imageWidth / STRIDE);
  const maps = [0, ...ids].map((id) => cropCells(probability.subarray(id * wholeCells), letterbox, imageWidth));
  const highest = maps[0].data.slice();
  for (const map of maps) for (let i = 0; i < highest.length; i++) highest[i] = Math.max(highest[i], map.data[i]);

  const mask = new Uint8Array(height * width);
  const alpha = new Uint8Array(height * width);
  const best = new Float32Array(height * width);
  /** @type {(Window | null)[]} */
  const windows = [];
  /** @type {number[]} */
  const confidence = [];
  ids.forEach((id, n) => {
    const map = maps[n + 1];
    const likeliest = new Uint8Array(highest.length);
    let sum = 0;
    let count = 0;
    for (let i = 0; i < highest.length; i++) {
      if (map.data[i] !== highest[i]) continue;
      likeliest[i] = 1;
      sum += map.data[i];
      count++;
    }
    confidence.push(sum / Math.max(count, 1));
    const window = around(likeliest, rows, columns);
    windows.push(window);
    if (!window) return;
    // One more cell on each side, so that the part's border has its neighbours.
    const wide = {
      top: Math.max(window.top - 1, 0),
      bottom: Math.min(window.bottom + 1, rows),
      left: Math.max(window.left - 1, 0),
      right: Math.min(window.right + 1, columns),
    };
    const part = cut(map, wide);
    const enlarged = linear(part, part.height * STRIDE, part.width * STRIDE);
    for (let y = window.top * STRIDE; y < window.bottom * STRIDE; y++) {
      const from = (y - wide.top * STRIDE) * enlarged.width - wide.left * STRIDE;
      for (let x = window.left * STRIDE; x < window.right * STRIDE; x++) {
        const value = enlarged.data[from + x];
        const at = y * width + x;
        if (value > best[at]) {
          best[at] = value;
          mask[at] = id;
        }
      }
    }
  });
  const owner = mask.slice();
  foreground(maps, mask, alpha, letterbox, image, imageHeight, imageWidth);
  const objects = ids.map((id, n) => measure(id, mask, windows[n], width, confidence[n]));
  return { mask, owner, alpha, objects };
}

/**
 * Take the background's pixels from the mask, and say how surely each is an object.
 * @param {Plane[]} maps the background's first
 * @param {Uint8Array} mask
 * @param {Uint8Array} alpha
 * @param {Letterbox} letterbox
 * @param {Float32Array} image
 * @param {number} imageHeight
 * @param {number} imageWidth
 */
function foreground(maps, mask, alpha, letterbox, image, imageHeight, imageWidth) {
  const found = findOutline(maps, letterbox, image, imageHeight, imageWidth);
  if (!found) {
    mask.fill(0);
    return;
  }
  const { top, left, outline } = found;
  for (let y = 0, at = 0; y < letterbox.height; y++) {
    for (let x = 0; x < letterbox.width; x++, at++) {
      if (y < top || y >= top + outline.height || x < left || x >= left + outline.width) {
        mask[at] = 0;
        continue;
      }
      const value = outline.data[(y - top) * outline.width + x - left];
      const shown = (value * LEVELS * STEEPNESS) / 2 + 128;
      alpha[at] = mask[at] ? Math.min(Math.max(shown, 0), 255) : 0;
      if (levelOf(value) <= OUTLINE) mask[at] = 0;
    }
  }
}

/** @param {number} value logarithm of the odds @returns {number} the same in 8 bits */
export function levelOf(value) {
  return Math.min(Math.round(Math.max(value, -OUTLINE / LEVELS) * LEVELS + OUTLINE), 255);
}

/**
 * Say how surely pixels are any object, with outlines that follow the picture.
 * @param {Plane[]} maps the content's probabilities, the background's first
 * @param {Letterbox} letterbox
 * @param {Float32Array} image (3, H, W), in [0, 255]
 * @param {number} imageHeight
 * @param {number} imageWidth
 * @returns {{ top: number, left: number, outline: Plane } | null} the logarithm of the odds, in the
 *   part of the content around the objects; null for none
 */
export function findOutline(maps, letterbox, image, imageHeight, imageWidth) {
  const { height, width } = maps[0];
  const margin = plane(height, width);
  const likely = new Uint8Array(height * width);
  for (let i = 0; i < likely.length; i++) {
    let most = LEAST_PROBABILITY;
    for (let n = 1; n < maps.length; n++) most = Math.max(most, maps[n].data[i]);
    margin.data[i] = Math.log(most / Math.max(maps[0].data[i], LEAST_PROBABILITY));
    likely[i] = margin.data[i] >= 0 ? 1 : 0;
  }
  const window = around(likely, height, width);
  if (!window) return null;
  const across = (window.right - window.left) * STRIDE;
  const down = (window.bottom - window.top) * STRIDE;
  const guide = [0, 1, 2].map((channel) => {
    const colour = plane(down, across);
    for (let y = 0; y < down; y++) {
      const row = channel * imageHeight + letterbox.top + window.top * STRIDE + y;
      const from = row * imageWidth + letterbox.left + window.left * STRIDE;
      colour.data.set(image.subarray(from, from + across), y * across);
    }
    return colour;
  });
  const outline = guidedFilter(cut(margin, window), guide);
  return { top: window.top * STRIDE, left: window.left * STRIDE, outline };
}

/**
 * Say what was found in a part of a frame in pixels of the frame.
 * @param {ObjectState} state in pixels of the content
 * @param {import("./types").View} view
 * @param {import("./types").Size} content
 * @returns {ObjectState}
 */
export function inFrame(state, view, content) {
  if (state.lost) return state;
  const down = (view.bottom - view.top) / content.height;
  const across = (view.right - view.left) / content.width;
  const [left, top, width, height] = state.box;
  return {
    ...state,
    areaPx: Math.round(state.areaPx * down * across),
    box: [view.left + left * across, view.top + top * down, width * across, height * down],
  };
}

/**
 * @param {number} id
 * @param {Uint8Array} mask
 * @param {Window | null} window
 * @param {number} width
 * @param {number} confidence
 * @returns {ObjectState}
 */
function measure(id, mask, window, width, confidence) {
  let areaPx = 0;
  let top = Infinity;
  let bottom = -1;
  let left = Infinity;
  let right = -1;
  if (window) {
    for (let y = window.top * STRIDE; y < window.bottom * STRIDE; y++) {
      for (let x = window.left * STRIDE; x < window.right * STRIDE; x++) {
        if (mask[y * width + x] !== id) continue;
        areaPx++;
        if (y < top) top = y;
        bottom = y;
        if (x < left) left = x;
        if (x > right) right = x;
      }
    }
  }
  if (!areaPx) return { id, areaPx: 0, box: [0, 0, 0, 0], confidence: 0, lost: true };
  return { id, areaPx, box: [left, top, right - left + 1, bottom - top + 1], confidence, lost: false };
}
