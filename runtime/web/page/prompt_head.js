// @ts-check
// Find an object from a box, taps and the mask so far, with the network of the bundle that does:
// runtime/prompts/prompt_head.py. It looks at the part of the frame that matters, so small objects
// are seen as large as large ones, and does so twice, the second time mirrored; after taps a third time,
// closer at what it found.

import { OUTLINE, cropCells, findOutline, levelOf } from "./labels.js";
import { NEUTRAL, STRIDE, fit } from "./letterbox.js";
import { area, crop, linear, plane, soft } from "./resize.js";
import { boxAround, joined, middleOf, partOf, placed, sizeOf, viewAt, wholeView } from "./view.js";

/** @typedef {import("./types").Mask} Mask */
/** @typedef {import("./types").Picture} Picture */
/** @typedef {import("./types").Size} Size */
/** @typedef {import("./types").Box} Box */
/** @typedef {import("./types").View} View */
/** @typedef {{ box: Box | null, points: [number, number][], labels: number[], mask: Mask | null }} Shown */

/** @typedef {{ view: View, letterbox: import("./types").Letterbox, image: Float32Array, prompt: Float32Array }} Look */

const MASK = 3; // of the prompt's channels
const CLICK_CELLS = 1.5;
const BOX_MARGIN = 0.25;
const MASK_MARGIN = 0.4;
const FOUND_MARGIN = 0.15;
const LEAST_VIEW_PX = 64;
const LEAST_GAIN = 1.25;
const MOST_LINEAR_SHRINK = 2.25;

/** @param {[number, number]} size of the image @returns {{ inputs: import("./types").TensorInfo[], outputs: import("./types").TensorInfo[] }} */
export function promptGraph([height, width]) {
  const cells = [height / STRIDE, width / STRIDE];
  return {
    inputs: [
      { name: "image", shape: [1, 3, height, width] },
      { name: "prompt", shape: [1, 4, ...cells] },
    ],
    outputs: [{ name: "probability", shape: [1, 1, ...cells] }],
  };
}

export class PromptHead {
  /**
   * @param {[number, number]} size of the network's image
   * @param {import("./types").Engine<{ probability: Float32Array }>} engine
   */
  constructor([height, width], engine) {
    this.size = { height, width };
    this.engine = engine;
  }

  /**
   * Find one object in a frame.
   * @param {Picture} frame
   * @param {Shown} shown in pixels of the frame; `mask` is null for a new object
   * @returns {Promise<Mask>} 1 on the object, of the frame's size
   */
  async find(frame, shown) {
    const { box, points } = shown;
    let view = wholeView(frame);
    if (shown.mask) view = this.#viewOfMask(shown.mask, points, MASK_MARGIN, frame);
    else if (box) view = this.#view(joined([box, ...spots(points)]), BOX_MARGIN, frame);
    let look = this.#look(frame, view, shown);
    let found = await this.#run(look);
    let isClose = !shown.mask && box !== null;
    if (!shown.mask && !box) {
      const mask = drawn(look, found, frame, this.size);
      const closer = this.#viewOfMask(mask, points, MASK_MARGIN, frame);
      isClose = this.#scale(closer) / this.#scale(view) >= LEAST_GAIN;
      if (isClose) {
        look = this.#look(frame, closer, { ...shown, mask });
        found = await this.#run(look);
      }
    }
    if (!shown.mask) look.prompt.set(found, MASK * found.length);
    const again = await this.#run(look, true);
    if (shown.mask) for (let i = 0; i < again.length; i++) again[i] = (found[i] + again[i]) / 2;
    const mask = drawn(look, again, frame, this.size);
    if (isClose || !boxAround(mask)) return mask;
    look = this.#look(frame, this.#viewOfMask(mask, points, FOUND_MARGIN, frame), { ...shown, mask });
    return drawn(look, await this.#run(look), frame, this.size);
  }

  /** @param {Mask} mask @param {[number, number][]} points @param {number} margin @param {Size} frame */
  #viewOfMask(mask, points, margin, frame) {
    const box = boxAround(mask);
    return this.#view(joined([...(box ? [box] : []), ...spots(points)]), margin, frame);
  }

  /** @param {Box} box @param {number} margin @param {Size} frame @returns {View} in the network's aspect ratio as far as the frame reaches */
  #view(box, margin, frame) {
    const [width, height] = box.slice(2).map((side) => Math.max(side * (1 + 2 * margin), LEAST_VIEW_PX));
    const ratio = this.size.width / this.size.height;
    const seen = { height: Math.max(height, width / ratio), width: Math.max(width, height * ratio) };
    return viewAt(middleOf(box), seen, frame);
  }

  /** @param {View} view @returns {number} how much the network's image enlarges it */
  #scale(view) {
    const { height, width } = sizeOf(view);
    return Math.min(this.size.height / height, this.size.width / width);
  }

  /** @param {Picture} frame @param {View} view @param {Shown} shown @returns {Look} */
  #look(frame, view, shown) {
    const part = sizeOf(view);
    const letterbox = fit(part, this.size);
    const image = imageOf(crop(frame, view.top, view.left, part.height, part.width), letterbox, this.size);
    return { view, letterbox, image, prompt: promptMaps(letterbox, view, shown, this.size) };
  }

  /** @param {Look} look @param {boolean} isMirrored @returns {Promise<Float32Array>} the object's probability */
  async #run({ image, prompt }, isMirrored = false) {
    if (!isMirrored) return (await this.engine.run({ image, prompt })).probability;
    const { width } = this.size;
    const cells = width / STRIDE;
    const { probability } = await this.engine.run({ image: mirrored(image, width), prompt: mirrored(prompt, cells) });
    return mirrored(probability, cells);
  }
}

/** @param {Float32Array} rows @param {number} width @returns {Float32Array} each row from its end */
function mirrored(rows, width) {
  const turned = new Float32Array(rows.length);
  for (let at = 0; at < rows.length; at += width) turned.set(rows.slice(at, at + width).reverse(), at);
  return turned;
}

/** @param {Look} look @param {Float32Array} probability @param {Size} frame @param {Size} size of the network's image @returns {Mask} */
function drawn({ view, letterbox, image }, probability, frame, { height, width }) {
  const object = cropCells(probability, letterbox, width);
  const background = plane(object.height, object.width, object.data.map((one) => 1 - one));
  const part = sizeOf(view);
  const mask = { ...part, data: new Uint8Array(part.height * part.width) };
  const found = findOutline([background, object], letterbox, image, height, width);
  if (found) {
    const levels = plane(letterbox.height, letterbox.width);
    for (let y = 0; y < found.outline.height; y++) {
      const from = y * found.outline.width;
      const row = found.outline.data.subarray(from, from + found.outline.width).map(levelOf);
      levels.data.set(row, (found.top + y) * levels.width + found.left);
    }
    const enlarged = linear(levels, part.height, part.width);
    for (let i = 0; i < mask.data.length; i++) mask.data[i] = Math.round(enlarged.data[i]) > OUTLINE ? 1 : 0;
  }
  return placed(mask, view, frame);
}

/** @param {[number, number][]} points @returns {Box[]} */
function spots(points) {
  return points.map(([x, y]) => [x, y, 1, 1]);
}

/** @param {Picture} part @param {import("./types").Letterbox} letterbox @param {Size} size @returns {Float32Array} (3, H, W) in [0, 255] */
function imageOf(part, letterbox, size) {
  const image = new Float32Array(3 * size.height * size.width).fill(NEUTRAL);
  const shrink = Math.max(part.height / letterbox.height, part.width / letterbox.width);
  const resize = shrink > MOST_LINEAR_SHRINK ? area : linear;
  for (let channel = 0; channel < 3; channel++) {
    const one = plane(part.height, part.width);
    for (let i = 0; i < one.data.length; i++) one.data[i] = part.data[4 * i + channel];
    const content = resize(one, letterbox.height, letterbox.width).data.map(Math.round);
    for (let y = 0; y < letterbox.height; y++) {
      const row = content.subarray(y * letterbox.width, (y + 1) * letterbox.width);
      image.set(row, (channel * size.height + letterbox.top + y) * size.width + letterbox.left);
    }
  }
  return image;
}

/**
 * Draw what the user showed as the maps that the network takes.
 * @param {import("./types").Letterbox} letterbox how the view lies in the network's image
 * @param {View} view
 * @param {Shown} shown
 * @param {Size} size of the image
 * @returns {Float32Array} (4, H/4, W/4) in [0, 1]: taps on the object, beside it, the box, the mask
 */
function promptMaps(letterbox, view, { box, points, labels, mask }, size) {
  const [rows, columns] = [letterbox.height / STRIDE, letterbox.width / STRIDE];
  const [scaleY, scaleX] = [rows / (view.bottom - view.top), columns / (view.right - view.left)];
  const content = [0, 1, 2, 3].map(() => plane(rows, columns));
  points.forEach(([x, y], n) => {
    const spot = content[labels[n] === 1 ? 0 : 1].data;
    const row = (y + 0.5 - view.top) * scaleY - 0.5;
    const column = (x + 0.5 - view.left) * scaleX - 0.5;
    for (let i = 0, at = 0; i < rows; i++) {
      for (let j = 0; j < columns; j++, at++) {
        const away = ((i - row) / CLICK_CELLS) ** 2 + ((j - column) / CLICK_CELLS) ** 2;
        spot[at] = Math.max(spot[at], Math.exp(-0.5 * away));
      }
    }
  });
  if (box) {
    const [x, y, width, height] = box;
    const down = covered(y - view.top, y + height - view.top, scaleY, rows);
    const across = covered(x - view.left, x + width - view.left, scaleX, columns);
    for (let i = 0, at = 0; i < rows; i++) for (let j = 0; j < columns; j++, at++) content[2].data[at] = down[i] * across[j];
  }
  if (mask) content[3] = area(soft(partOf(mask, view)), rows, columns);
  const [height, width] = [size.height / STRIDE, size.width / STRIDE];
  const maps = new Float32Array(4 * height * width);
  content.forEach(({ data }, channel) => {
    for (let y = 0; y < rows; y++) {
      const to = (channel * height + letterbox.top / STRIDE + y) * width + letterbox.left / STRIDE;
      maps.set(data.subarray(y * columns, (y + 1) * columns), to);
    }
  });
  return maps;
}

/** @param {number} start @param {number} stop @param {number} scale @param {number} cells @returns {number[]} the part of each cell between two places */
function covered(start, stop, scale, cells) {
  return Array.from({ length: cells }, (_, i) =>
    Math.min(Math.max(Math.min(stop * scale, i + 1) - Math.max(start * scale, i), 0), 1),
  );
}
