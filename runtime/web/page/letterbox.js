// @ts-check
// Fit a frame into the network's image: runtime/preprocess.py, Letterbox.fit.

/** @typedef {import("./types").Size} Size */
/** @typedef {import("./types").Letterbox} Letterbox */

/** Cells of the mask are so many pixels wide. */
export const STRIDE = 4;

/** What the padding holds. */
export const NEUTRAL = 127;

/** @param {number} value @returns {number} the nearest whole number, an even one in the middle */
export function roundEven(value) {
  const rounded = Math.round(value);
  return Math.abs(value % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

/**
 * Centre a frame in an image, as large as it fits.
 * @param {Size} frame
 * @param {Size} image
 * @returns {Letterbox}
 */
export function fit(frame, image) {
  const scale = Math.min(image.height / frame.height, image.width / frame.width);
  /** @param {number} side @param {number} most */
  const cells = (side, most) =>
    Math.min(Math.max(STRIDE, roundEven((side * scale) / STRIDE) * STRIDE), most);
  const height = cells(frame.height, image.height);
  const width = cells(frame.width, image.width);
  /** @param {number} free */
  const middle = (free) => Math.floor(free / (2 * STRIDE)) * STRIDE;
  return { top: middle(image.height - height), left: middle(image.width - width), height, width };
}
