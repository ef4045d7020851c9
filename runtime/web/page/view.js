// @ts-check
// The part of a frame that the network looks at: runtime/objects/view.py.

import { roundEven } from "./letterbox.js";

/** @typedef {import("./types").Box} Box */
/** @typedef {import("./types").Mask} Mask */
/** @typedef {import("./types").Size} Size */
/** @typedef {import("./types").View} View */

/** @param {Size} frame @returns {View} all of it */
export function wholeView({ height, width }) {
  return { top: 0, bottom: height, left: 0, right: width };
}

/** @param {View} view @returns {Size} */
export function sizeOf({ top, bottom, left, right }) {
  return { height: bottom - top, width: right - left };
}

/**
 * Look at a part of a frame, moved and cut so that it lies in the frame.
 * @param {[number, number]} centre x and y in pixels
 * @param {Size} size in pixels
 * @param {Size} frame
 * @returns {View}
 */
export function viewAt([x, y], size, frame) {
  /** @param {number} middle @param {number} length @param {number} limit */
  const span = (middle, length, limit) => {
    const whole = Math.min(roundEven(length), limit);
    const first = Math.min(Math.max(roundEven(middle - whole / 2), 0), limit - whole);
    return [first, first + whole];
  };
  const [top, bottom] = span(y, size.height, frame.height);
  const [left, right] = span(x, size.width, frame.width);
  return { top, bottom, left, right };
}

/** @param {View} view @param {Box} box @param {Size} frame @returns {boolean} whether it reaches a side that is not the frame's */
export function cuts(view, [left, top, width, height], frame) {
  return (
    (left <= view.left && view.left > 0) ||
    (top <= view.top && view.top > 0) ||
    (left + width >= view.right && view.right < frame.width) ||
    (top + height >= view.bottom && view.bottom < frame.height)
  );
}

/** @param {Mask} mask of a frame @param {View} view @returns {Mask} its part */
export function partOf(mask, view) {
  const { height, width } = sizeOf(view);
  const data = new Uint8Array(height * width);
  for (let y = 0; y < height; y++) {
    const from = (view.top + y) * mask.width + view.left;
    data.set(mask.data.subarray(from, from + width), y * width);
  }
  return { height, width, data };
}

/** @param {Mask} part @param {View} view @param {Size} frame @returns {Mask} the frame's: a part's, and 0 elsewhere */
export function placed(part, view, { height, width }) {
  const data = new Uint8Array(height * width);
  for (let y = 0; y < part.height; y++) {
    data.set(part.data.subarray(y * part.width, (y + 1) * part.width), (view.top + y) * width + view.left);
  }
  return { height, width, data };
}

/** @param {Mask} mask @returns {Box | null} the smallest box that holds what is not zero; null for nothing */
export function boxAround({ height, width, data }) {
  let [top, bottom, left, right] = [height, 0, width, 0];
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (!data[i]) continue;
      top = Math.min(top, y);
      bottom = y + 1;
      left = Math.min(left, x);
      right = Math.max(right, x + 1);
    }
  }
  return bottom ? [left, top, right - left, bottom - top] : null;
}

/** @param {Box[]} boxes @returns {Box} the smallest that holds all of them */
export function joined(boxes) {
  const left = Math.min(...boxes.map((box) => box[0]));
  const top = Math.min(...boxes.map((box) => box[1]));
  const right = Math.max(...boxes.map((box) => box[0] + box[2]));
  const bottom = Math.max(...boxes.map((box) => box[1] + box[3]));
  return [left, top, right - left, bottom - top];
}

/** @param {Box} box @returns {[number, number]} x and y */
export function middleOf([left, top, width, height]) {
  return [left + width / 2, top + height / 2];
}
