// @ts-check
// Paint a frame with its masks: marked, before green, or before a blurred background.

/** @typedef {import("./types").Result} Result */
/** @typedef {"overlay" | "green" | "blur"} Effect */

/** Of objects 1 to 10. */
export const COLOURS = ["#4f8cff", "#ff5c8a", "#39d98a", "#ffb454", "#b57bff", "#2fd6e6", "#ff7a45", "#a8e05f", "#ff6be0", "#ffe066"];
const GREEN = "#00b140";
const FILL = 0.42;
const EDGE = [70, 190];
const BLUR_SIDE = 28;

const RGB = COLOURS.map((colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)));

/** @param {number} height @param {number} width */
export function canvasOf(height, width) {
  const canvas = document.createElement("canvas");
  canvas.height = height;
  canvas.width = width;
  return canvas;
}

/** @param {HTMLCanvasElement} canvas @param {number} height @param {number} width resize it if needed, which empties it */
export function fitCanvas(canvas, height, width) {
  if (canvas.height !== height) canvas.height = height;
  if (canvas.width !== width) canvas.width = width;
}

/** @param {HTMLCanvasElement} canvas @param {boolean} [read] */
export function penOf(canvas, read = false) {
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: read }));
}

export class Painter {
  /** @param {HTMLCanvasElement} view */
  constructor(view) {
    this.view = view;
    this.pen = penOf(view);
    this.layer = canvasOf(1, 1);
    this.blurred = canvasOf(1, 1);
    /** @type {ImageData | null} */
    this.pixels = null;
    /** @type {Effect} */
    this.effect = "overlay";
    /** @type {number | null} the object to bring out */
    this.chosen = null;
  }

  /**
   * @param {HTMLCanvasElement} frame
   * @param {Result | null} result
   */
  paint(frame, result) {
    const { view, pen } = this;
    fitCanvas(view, frame.height, frame.width);
    pen.globalCompositeOperation = "copy";
    pen.drawImage(frame, 0, 0);
    pen.globalCompositeOperation = "source-over";
    if (!result) return;
    this.#fillLayer(result);
    const { top, bottom, left, right } = result.view;
    const place = /** @type {const} */ ([left, top, right - left, bottom - top]);
    pen.imageSmoothingEnabled = true;
    pen.imageSmoothingQuality = "high";
    if (this.effect === "overlay") {
      pen.drawImage(this.layer, ...place);
      return;
    }
    pen.globalCompositeOperation = "destination-in";
    pen.drawImage(this.layer, ...place);
    pen.globalCompositeOperation = "destination-over";
    if (this.effect === "green") {
      pen.fillStyle = GREEN;
      pen.fillRect(0, 0, view.width, view.height);
    } else {
      this.#blur(frame);
    }
    pen.globalCompositeOperation = "source-over";
  }

  /** Blur by shrinking: `filter` is missing in some browsers. @param {HTMLCanvasElement} frame */
  #blur(frame) {
    const scale = BLUR_SIDE / Math.min(frame.height, frame.width);
    fitCanvas(this.blurred, Math.round(frame.height * scale), Math.round(frame.width * scale));
    const small = penOf(this.blurred);
    small.imageSmoothingQuality = "high";
    small.drawImage(frame, 0, 0, this.blurred.width, this.blurred.height);
    this.pen.drawImage(this.blurred, 0, 0, this.view.width, this.view.height);
  }

  /** @param {Result} result */
  #fillLayer({ owner, alpha, height, width }) {
    fitCanvas(this.layer, height, width);
    if (!this.pixels || this.pixels.height !== height || this.pixels.width !== width) {
      this.pixels = new ImageData(width, height);
    }
    const { data } = this.pixels;
    const marks = this.effect === "overlay";
    // A mark shows the mask; a cut-out, how surely each pixel belongs to it.
    const smooth = smoothed(marks ? alpha.map((a) => (a > 127 ? 255 : 0)) : alpha, height, width);
    for (let i = 0, to = 0; i < alpha.length; i++, to += 4) {
      const a = smooth[i];
      const id = owner[i];
      if (!a || !id) {
        data[to + 3] = 0;
        continue;
      }
      const colour = RGB[(id - 1) % RGB.length];
      data[to] = colour[0];
      data[to + 1] = colour[1];
      data[to + 2] = colour[2];
      // The edge is brought out: it is where the alpha is neither.
      const isEdge = a > EDGE[0] && a < EDGE[1];
      data[to + 3] = !marks ? a : isEdge ? 245 : a * (FILL + (this.chosen === id ? 0.14 : 0));
    }
    penOf(this.layer).putImageData(this.pixels, 0, 0);
  }
}

/** @param {Uint8Array} alpha @param {number} height @param {number} width @returns {Uint8Array} the mean of 3x3 pixels, so that noise makes no specks */
function smoothed(alpha, height, width) {
  const across = new Uint16Array(alpha.length);
  for (let i = 1; i < alpha.length - 1; i++) across[i] = alpha[i - 1] + alpha[i] + alpha[i + 1];
  const result = new Uint8Array(alpha.length);
  for (let y = 0, i = 0; y < height; y++) {
    const above = y ? -width : 0;
    const below = y < height - 1 ? width : 0;
    for (let x = 0; x < width; x++, i++) result[i] = (across[i + above] + across[i] + across[i + below]) / 9;
  }
  return result;
}
