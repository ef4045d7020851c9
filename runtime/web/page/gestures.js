// @ts-check
// What a finger draws on the picture: a box, a tap, a stroke.

import { canvasOf, fitCanvas, penOf } from "./painter.js";

/** @typedef {[number, number]} Point in [0, 1] of the picture */

const TAP_PX = 9;
const BRUSH = 0.035; // of the picture's longer side

export class Gestures {
  /**
   * @param {HTMLCanvasElement} canvas lies over the picture
   * @param {() => { height: number, width: number }} sizeOf the picture's
   * @param {() => boolean} isMirrored
   */
  constructor(canvas, sizeOf, isMirrored) {
    this.canvas = canvas;
    this.sizeOf = sizeOf;
    this.isMirrored = isMirrored;
    this.tool = "box";
    this.colour = "#ffffff";
    /** @type {Point[]} */
    this.path = [];
    /** @type {HTMLCanvasElement | null} the mask that the path would make */
    this.preview = null;
    this.onStart = () => {};
    this.onMove = () => {};
    this.onCancel = () => {};
    /** @type {(path: Point[], isTap: boolean) => void} */
    this.onEnd = () => {};
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#up(event));
    canvas.addEventListener("pointercancel", () => this.#end(null));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  /** @returns {number} the brush's radius in the picture's pixels */
  radius() {
    const { height, width } = this.sizeOf();
    return BRUSH * Math.max(height, width);
  }

  /** @param {PointerEvent} event @returns {Point} */
  #place(event) {
    const box = this.canvas.getBoundingClientRect();
    const { height, width } = this.sizeOf();
    const scale = Math.min(box.width / width, box.height / height);
    const x = (event.clientX - box.left - (box.width - width * scale) / 2) / (width * scale);
    const y = (event.clientY - box.top - (box.height - height * scale) / 2) / (height * scale);
    /** @param {number} value */
    const inside = (value) => Math.min(Math.max(value, 0), 1);
    return [inside(this.isMirrored() ? 1 - x : x), inside(y)];
  }

  /** @param {PointerEvent} event */
  #down(event) {
    if (this.path.length) return this.#end(null); // a second finger
    this.canvas.setPointerCapture(event.pointerId);
    this.path = [this.#place(event)];
    this.startPx = [event.clientX, event.clientY];
    this.onStart();
    this.#draw();
    this.onMove();
  }

  /** @param {PointerEvent} event */
  #move(event) {
    if (!this.path.length) return;
    this.path.push(this.#place(event));
    this.#draw();
    this.onMove();
  }

  /** @param {import("./types").Mask | null} mask to show below what is drawn; of the picture's aspect ratio */
  show(mask) {
    this.preview = mask && this.path.length ? coloured(mask, this.colour) : null;
    if (this.path.length) this.#draw();
  }

  /** @param {PointerEvent} event */
  #up(event) {
    if (!this.path.length) return;
    const [x, y] = this.startPx ?? [0, 0];
    const isTap = Math.hypot(event.clientX - x, event.clientY - y) < TAP_PX && this.path.length < 12;
    this.path.push(this.#place(event));
    this.#end(isTap);
  }

  /** @param {boolean | null} isTap null where it was given up */
  #end(isTap) {
    const path = this.path;
    this.path = [];
    this.preview = null;
    penOf(this.canvas).clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (isTap === null) this.onCancel();
    else this.onEnd(path, isTap);
  }

  #draw() {
    const { height, width } = this.sizeOf();
    fitCanvas(this.canvas, height, width);
    const pen = penOf(this.canvas);
    pen.clearRect(0, 0, width, height);
    if (this.preview) pen.drawImage(this.preview, 0, 0, width, height);
    const unit = Math.max(height, width) / 400;
    pen.strokeStyle = pen.fillStyle = this.colour;
    const at = this.path.map(([x, y]) => [x * width, y * height]);
    const [first, last] = [at[0], at[at.length - 1]];
    if (this.tool === "box") {
      pen.lineWidth = 1.6 * unit;
      pen.setLineDash([5 * unit, 3 * unit]);
      pen.strokeRect(first[0], first[1], last[0] - first[0], last[1] - first[1]);
      pen.globalAlpha = 0.12;
      pen.fillRect(first[0], first[1], last[0] - first[0], last[1] - first[1]);
    } else if (this.tool === "brush") {
      pen.setLineDash([]);
      pen.globalAlpha = 0.55;
      strokePath(pen, at, this.radius());
    } else {
      pen.globalAlpha = 0.8;
      pen.beginPath();
      pen.arc(last[0], last[1], 4 * unit, 0, 7);
      pen.fill();
    }
    pen.globalAlpha = 1;
  }
}

/** @param {import("./types").Mask} mask @param {string} colour @returns {HTMLCanvasElement} half transparent */
function coloured({ height, width, data }, colour) {
  const canvas = canvasOf(height, width);
  const pen = penOf(canvas);
  const pixels = new ImageData(width, height);
  data.forEach((one, i) => (pixels.data[4 * i + 3] = one ? 140 : 0));
  pen.putImageData(pixels, 0, 0);
  pen.globalCompositeOperation = "source-in";
  pen.fillStyle = colour;
  pen.fillRect(0, 0, width, height);
  return canvas;
}

/** @param {CanvasRenderingContext2D} pen @param {number[][]} path @param {number} radius */
export function strokePath(pen, path, radius) {
  pen.lineCap = pen.lineJoin = "round";
  pen.lineWidth = 2 * radius;
  pen.beginPath();
  pen.moveTo(path[0][0], path[0][1]);
  for (const [x, y] of path) pen.lineTo(x, y);
  pen.lineTo(path[0][0] === path[path.length - 1][0] ? path[0][0] + 0.01 : path[path.length - 1][0], path[path.length - 1][1]);
  pen.stroke();
}
