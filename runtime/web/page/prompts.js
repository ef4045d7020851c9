// @ts-check
// Turn a box, points or a brush stroke into a mask of the content: runtime/prompts/grabcut.py.
// `makeMask` is the one way in: a learned head of the bundle takes its place where there is one.

import { BACK, FORE, MAYBE_BACK, MAYBE_FORE, grabCut } from "./grab_cut.js";
import { roundEven } from "./letterbox.js";
import { crop, hard, linear, shrink, soft } from "./resize.js";

/** @typedef {import("./types").Mask} Mask */
/** @typedef {import("./types").Picture} Picture */
/** @typedef {import("./types").Prompt} Prompt */

const SIDE_PX = { box: 256, point: 192, guess: 256 };
const BOX_MARGIN = 0.15;
const LEAST_FILL = 0.15;
const SURE_CORE = 0.5;
const SURE_RADIUS = 0.06;
const LIKELY_RADIUS = 0.22;
const REACH_RADIUS = 0.4;
const COLOUR_WEIGHT = 2;
const GUESS_DOUBT = 0.15;

/** Say what cannot be used, in the words that the page shows. */
export class PromptError extends Error {}

/**
 * Find the object that the user shows.
 * @param {Picture} picture the content
 * @param {Prompt} prompt
 * @param {Mask} now 1 where the object is now; empty for a new one
 * @returns {Mask} 1 on the object
 * @throws {PromptError} if nothing is found
 */
export function makeMask(picture, prompt, now) {
  const isNew = !now.data.some((one) => one);
  /** @type {Mask} */
  let found;
  if (prompt.kind === "mask") {
    found = prompt.mask;
  } else if (prompt.kind === "box") {
    found = maskFromBox(picture, prompt.box);
  } else if (prompt.kind === "points") {
    if (isNew && !prompt.labels.includes(1)) throw new PromptError("There is nothing to take away yet: tap on the object first.");
    found = isNew
      ? maskFromPoints(picture, prompt.points, prompt.labels)
      : correctMask(picture, now, prompt.points, prompt.labels);
  } else if (prompt.add) {
    const guess = maskFromGuess(picture, prompt.stroke);
    found = { ...guess, data: guess.data.map((one, i) => one | now.data[i]) };
  } else {
    found = { ...now, data: now.data.map((one, i) => (prompt.stroke.data[i] ? 0 : one)) };
  }
  if (!found.data.some((one) => one)) {
    throw new PromptError("No object was found there: draw a box around it, or brush over it.");
  }
  return found;
}

/** @param {number} height @param {number} width @param {number} value @returns {Mask} */
function filled(height, width, value) {
  return { height, width, data: new Uint8Array(height * width).fill(value) };
}

/** @param {Mask} mask @param {number} height @param {number} width @returns {Mask} */
function enlarge(mask, height, width) {
  return hard(linear(soft(mask), height, width));
}

/** @param {Mask} mask @param {number} top @param {number} left @param {number} bottom @param {number} right @param {number} value */
function fillBox(mask, top, left, bottom, right, value) {
  for (let y = Math.max(top, 0); y < Math.min(bottom, mask.height); y++) {
    mask.data.fill(value, y * mask.width + Math.max(left, 0), y * mask.width + Math.min(right, mask.width));
  }
}

/**
 * @param {Mask} mask
 * @param {number} cx
 * @param {number} cy
 * @param {number} rx
 * @param {number} ry
 * @param {number} value
 */
function fillEllipse(mask, cx, cy, rx, ry, value) {
  for (let y = Math.max(Math.ceil(cy - ry), 0); y <= Math.min(cy + ry, mask.height - 1); y++) {
    const half = rx * Math.sqrt(Math.max(1 - ((y - cy) / ry) ** 2, 0));
    const left = Math.max(Math.ceil(cx - half - 1e-9), 0);
    const right = Math.min(Math.floor(cx + half + 1e-9), mask.width - 1);
    if (right >= left) mask.data.fill(value, y * mask.width + left, y * mask.width + right + 1);
  }
}

/** @param {Mask} mask @param {[number, number]} seed @param {number} radius @param {number} value */
function fillCircle(mask, [x, y], radius, value) {
  fillEllipse(mask, x, y, radius + 0.2, radius + 0.2, value);
}

/** @param {Mask} mask @param {number} reach @param {boolean} grow or else shrink @returns {Mask} */
function reached(mask, reach, grow) {
  const { height, width, data } = mask;
  const outside = grow ? 0 : 1;
  const result = data.slice();
  for (let dy = -reach; dy <= reach; dy++) {
    const half = roundEven(Math.sqrt(reach * reach - dy * dy));
    for (let y = 0; y < height; y++) {
      const row = y + dy;
      if (row < 0 || row >= height) continue;
      // How far the nearest pixel of the other kind lies, to the left and to the right.
      for (let x = 0, last = -Infinity; x < width; x++) {
        if (data[row * width + x] !== outside) last = x;
        if (x - last <= half) result[y * width + x] = 1 - outside;
      }
      for (let x = width - 1, last = Infinity; x >= 0; x--) {
        if (data[row * width + x] !== outside) last = x;
        if (last - x <= half) result[y * width + x] = 1 - outside;
      }
    }
  }
  return { height, width, data: result };
}

/** @param {Mask} mask */
function boundingBox(mask) {
  let [top, bottom, left, right] = [mask.height, 0, mask.width, 0];
  for (let y = 0, i = 0; y < mask.height; y++) {
    for (let x = 0; x < mask.width; x++, i++) {
      if (!mask.data[i]) continue;
      top = Math.min(top, y);
      bottom = Math.max(bottom, y + 1);
      left = Math.min(left, x);
      right = Math.max(right, x + 1);
    }
  }
  return { top, bottom, left, right };
}

/** @param {Picture} picture @param {[number, number, number, number]} box left, top, width, height @returns {Mask} */
function maskFromBox(picture, [x, y, width, height]) {
  const left = Math.max(x, 0);
  const top = Math.max(y, 0);
  const right = Math.min(x + width, picture.width);
  const bottom = Math.min(y + height, picture.height);
  if (right - left < 2 || bottom - top < 2) throw new PromptError("The box is too small: draw it around the object.");
  const marginX = Math.trunc((right - left) * BOX_MARGIN) + 8;
  const marginY = Math.trunc((bottom - top) * BOX_MARGIN) + 8;
  const cropLeft = Math.max(left - marginX, 0);
  const cropTop = Math.max(top - marginY, 0);
  const cropWidth = Math.min(right + marginX, picture.width) - cropLeft;
  const cropHeight = Math.min(bottom + marginY, picture.height) - cropTop;
  const { small, scale } = shrink(crop(picture, cropTop, cropLeft, cropHeight, cropWidth), SIDE_PX.box);
  const [x0, y0, x1, y1] = [left - cropLeft, top - cropTop, right - cropLeft, bottom - cropTop].map(
    (corner) => roundEven(corner * scale),
  );
  const hints = filled(small.height, small.width, BACK);
  fillBox(hints, y0, x0, y1, x1, MAYBE_FORE);
  let found = grabCut(small, hints);
  const area = found.data.reduce((sum, one) => sum + one, 0);
  if (area < LEAST_FILL * (y1 - y0) * (x1 - x0)) {
    fillBox(hints, y0, x0, y1, x1, MAYBE_FORE);
    const radius = SURE_CORE / 2;
    fillEllipse(hints, (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) * radius, (y1 - y0) * radius, FORE);
    found = grabCut(small, hints);
  }
  const part = enlarge(found, cropHeight, cropWidth);
  const mask = filled(picture.height, picture.width, 0);
  for (let row = top; row < bottom; row++) {
    const from = (row - cropTop) * cropWidth - cropLeft;
    mask.data.set(part.data.subarray(from + left, from + right), row * picture.width + left);
  }
  return mask;
}

/** @param {[number, number][]} points @param {number} scale @returns {[number, number][]} */
function seedsOf(points, scale) {
  return points.map(([x, y]) => [Math.trunc(x * scale), Math.trunc(y * scale)]);
}

/** @param {Picture} picture @param {[number, number][]} points @param {number[]} labels @returns {Mask} */
function maskFromPoints(picture, points, labels) {
  const { small, scale } = shrink(picture, SIDE_PX.point);
  const hints = filled(small.height, small.width, BACK);
  const seeds = seedsOf(points, scale);
  const inside = seeds.filter((_, n) => labels[n] === 1);
  const side = Math.min(small.height, small.width);
  for (const [radius, hint] of [[REACH_RADIUS, MAYBE_BACK], [LIKELY_RADIUS, MAYBE_FORE]]) {
    for (const seed of inside) fillCircle(hints, seed, Math.max(roundEven(radius * side), 2), hint);
  }
  // Some certain background is needed for its colours: the frame's rim.
  fillBox(hints, 0, 0, 1, small.width, BACK);
  fillBox(hints, small.height - 1, 0, small.height, small.width, BACK);
  fillBox(hints, 0, 0, small.height, 1, BACK);
  fillBox(hints, 0, small.width - 1, small.height, small.width, BACK);
  const sure = Math.max(roundEven(SURE_RADIUS * side), 1);
  seeds.forEach((seed, n) => fillCircle(hints, seed, sure, labels[n] === 1 ? FORE : BACK));
  return enlarge(connected(grabCut(small, hints), inside), picture.height, picture.width);
}

/** @param {Mask} mask @param {[number, number][]} seeds @returns {Mask} the parts that hold a seed */
function connected(mask, seeds) {
  const { height, width } = mask;
  const kept = filled(height, width, 0);
  const waiting = seeds.map(([x, y]) => y * width + x).filter((at) => mask.data[at]);
  for (const at of waiting) kept.data[at] = 1;
  while (waiting.length) {
    const at = /** @type {number} */ (waiting.pop());
    const x = at % width;
    const y = (at - x) / width;
    for (let dy = -1; dy <= 1; dy++) {
      for (let dx = -1; dx <= 1; dx++) {
        if (x + dx < 0 || x + dx >= width || y + dy < 0 || y + dy >= height) continue;
        const other = at + dy * width + dx;
        if (mask.data[other] && !kept.data[other]) {
          kept.data[other] = 1;
          waiting.push(other);
        }
      }
    }
  }
  return kept;
}

/** @param {Picture} picture @param {Mask} guess @returns {Mask} */
function maskFromGuess(picture, guess) {
  const box = boundingBox(guess);
  if (box.right <= box.left) throw new PromptError("The stroke is empty: brush over the object.");
  const margin = Math.trunc(Math.max(box.right - box.left, box.bottom - box.top) * BOX_MARGIN) + 16;
  const top = Math.max(box.top - margin, 0);
  const left = Math.max(box.left - margin, 0);
  const height = Math.min(box.bottom + margin, picture.height) - top;
  const width = Math.min(box.right + margin, picture.width) - left;
  const { small } = shrink(crop(picture, top, left, height, width), SIDE_PX.guess);
  const part = filled(height, width, 0);
  for (let y = 0; y < height; y++) {
    const from = (top + y) * picture.width + left;
    part.data.set(guess.data.subarray(from, from + width), y * width);
  }
  const likely = enlarge(part, small.height, small.width);
  const area = likely.data.reduce((sum, one) => sum + one, 0);
  const reach = Math.max(roundEven(GUESS_DOUBT * Math.sqrt(area)), 1);
  const core = reached(likely, reach, false);
  const near = reached(likely, reach, true);
  const hints = filled(small.height, small.width, BACK);
  for (let i = 0; i < hints.data.length; i++) {
    if (core.data[i]) hints.data[i] = FORE;
    else if (near.data[i]) hints.data[i] = likely.data[i] ? MAYBE_FORE : MAYBE_BACK;
  }
  const found = enlarge(grabCut(small, hints), height, width);
  const mask = filled(picture.height, picture.width, 0);
  for (let y = 0; y < height; y++) {
    mask.data.set(found.data.subarray(y * width, (y + 1) * width), (top + y) * picture.width + left);
  }
  return mask;
}

/** @param {Picture} picture @param {Mask} now @param {[number, number][]} points @param {number[]} labels @returns {Mask} */
function correctMask(picture, now, points, labels) {
  const { small, scale } = shrink(picture, SIDE_PX.box);
  const likely = enlarge(now, small.height, small.width);
  const side = Math.min(small.height, small.width);
  const near = reached(likely, Math.max(roundEven(SURE_RADIUS * side), 1), true);
  const hints = filled(small.height, small.width, BACK);
  for (let i = 0; i < hints.data.length; i++) {
    if (likely.data[i]) hints.data[i] = MAYBE_FORE;
    else if (near.data[i]) hints.data[i] = MAYBE_BACK;
  }
  const seeds = seedsOf(points, scale);
  seeds.forEach(([sx, sy], n) => {
    // A tap speaks for what is near it in place and alike in colour.
    const seed = 4 * (sy * small.width + sx);
    for (let y = 0, i = 0; y < small.height; y++) {
      for (let x = 0; x < small.width; x++, i++) {
        let unlike = 0;
        for (let c = 0; c < 3; c++) unlike += ((small.data[4 * i + c] - small.data[seed + c]) / 255) ** 2;
        const away = Math.hypot(x - sx, y - sy) / side + COLOUR_WEIGHT * Math.sqrt(unlike);
        if (away < REACH_RADIUS) hints.data[i] = labels[n] === 1 ? MAYBE_FORE : MAYBE_BACK;
      }
    }
  });
  const sure = Math.max(roundEven((SURE_RADIUS / 2) * side), 1);
  seeds.forEach((seed, n) => fillCircle(hints, seed, sure, labels[n] === 1 ? FORE : BACK));
  return enlarge(grabCut(small, hints), picture.height, picture.width);
}
