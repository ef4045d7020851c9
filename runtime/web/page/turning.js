// @ts-check
// A phone that is turned, or a camera that crops: find how the new frames lie to the old ones, and
// bring the masks along.

import { canvasOf, penOf } from "./painter.js";

const SIDE = 48;
const LEAST_COVERED = 0.3;

/** @typedef {[number, number, number, number, number, number]} Transform a canvas's, from old pixels to new ones */

/**
 * @param {{ height: number, width: number }} old
 * @param {{ height: number, width: number }} now
 * @returns {Transform[]} how one may lie to the other: as it was, cropped, or turned either way
 */
function candidates(old, now) {
  /** @param {number} cos @param {number} sin @param {number} scale @returns {Transform} about the middle */
  const about = (cos, sin, scale) => {
    const [a, b, c, d] = [cos * scale, sin * scale, -sin * scale, cos * scale];
    const x = now.width / 2 - (a * old.width + c * old.height) / 2;
    const y = now.height / 2 - (b * old.width + d * old.height) / 2;
    return [a, b, c, d, x, y];
  };
  const turned = Math.max(now.width / old.height, now.height / old.width);
  return [
    about(1, 0, now.height / old.height),
    about(1, 0, now.width / old.width),
    about(0, 1, turned),
    about(0, -1, turned),
    [now.width / old.width, 0, 0, now.height / old.height, 0, 0],
  ];
}

/** @param {HTMLCanvasElement} old @param {Transform} transform @param {HTMLCanvasElement} now @returns {Uint8ClampedArray} */
function thumbnail(old, transform, now) {
  const pen = penOf(canvasOf(SIDE, SIDE), true);
  pen.imageSmoothingQuality = "high";
  pen.scale(SIDE / now.width, SIDE / now.height);
  pen.transform(...transform);
  pen.drawImage(old, 0, 0);
  return pen.getImageData(0, 0, SIDE, SIDE).data;
}

/**
 * Say how the frames before a change of size lie to those after it.
 * @param {HTMLCanvasElement} old
 * @param {HTMLCanvasElement} now
 * @returns {Transform} the one under which the two pictures are most alike
 */
export function findTransform(old, now) {
  const seen = thumbnail(now, [1, 0, 0, 1, 0, 0], now);
  let best = candidates(old, now)[0];
  let least = Infinity;
  for (const transform of candidates(old, now)) {
    const before = thumbnail(old, transform, now);
    let [sum, count] = [0, 0];
    for (let i = 0; i < seen.length; i += 4) {
      if (before[i + 3] < 255) continue;
      count++;
      for (let c = 0; c < 3; c++) sum += Math.abs(seen[i + c] - before[i + c]);
    }
    if (count >= LEAST_COVERED * SIDE * SIDE && sum / count < least) {
      least = sum / count;
      best = transform;
    }
  }
  return best;
}

/**
 * Bring a label map along.
 * @param {import("./types").Result} labels of a part of the old frame
 * @param {Transform} transform from old to new pixels of the frame
 * @param {{ height: number, width: number }} frame the new one's size
 * @returns {Uint8Array} (height, width) of the new frame
 */
export function turnLabels(labels, transform, { height, width }) {
  const source = canvasOf(labels.height, labels.width);
  const pixels = new ImageData(labels.width, labels.height);
  labels.mask.forEach((id, i) => {
    pixels.data[4 * i] = id;
    pixels.data[4 * i + 3] = 255;
  });
  penOf(source).putImageData(pixels, 0, 0);
  const pen = penOf(canvasOf(height, width), true);
  pen.imageSmoothingEnabled = false;
  pen.transform(...transform);
  const { top, bottom, left, right } = labels.view;
  pen.drawImage(source, left, top, right - left, bottom - top);
  const { data } = pen.getImageData(0, 0, width, height);
  const known = new Set(labels.mask);
  // Where the old picture ends, the canvas mixes with nothing.
  return Uint8Array.from({ length: height * width }, (_, i) =>
    data[4 * i + 3] > 127 && known.has(data[4 * i]) ? data[4 * i] : 0,
  );
}
