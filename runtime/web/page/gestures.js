// @ts-check
// What a finger or the mouse draws on the picture: a box, a tap, a stroke.

import { canvasOf, fitCanvas, penOf } from "./painter.js";

/** @typedef {[number, number]} Point in [0, 1] of the picture */
/** @typedef {{ kind: "box", box: import("./types").Box } | { kind: "tap", at: [number, number] } | { kind: "stroke", along: [number, number][] }} Shape in its pixels */

const TAP_PX = 9;
const PLAIN = "#ffffff";

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
    this.sign = "add";
    /** The brush's radius, in parts of the picture's longer side. */
    this.brush = 0.035;
    /** Whether the right button or Shift takes away, whatever the sign. */
    this.isTurned = false;
    /** Whether the path has stayed where it began. */
    this.isTap = true;
    this.colour = PLAIN;
    /** @type {Point[]} */
    this.path = [];
    /** @type {Point | null} where a mouse is that draws nothing */
    this.hover = null;
    /** @type {HTMLCanvasElement | null} the mask that the path would make */
    this.preview = null;
    this.onStart = () => {};
    this.onMove = () => {};
    this.onCancel = () => {};
    /** @type {(shape: Shape) => void} */
    this.onEnd = () => {};
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#up(event));
    canvas.addEventListener("pointercancel", () => this.#end(false));
    canvas.addEventListener("pointerleave", () => this.#hover(null));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  /** @returns {number} the brush's radius in the picture's pixels */
  radius() {
    const { height, width } = this.sizeOf();
    return this.brush * Math.max(height, width);
  }

  /** @returns {boolean} whether what is drawn takes away */
  get erases() {
    return this.sign === "erase" || this.isTurned;
  }

  /** @returns {Shape} what the path means */
  shape() {
    const { height, width } = this.sizeOf();
    const along = this.path.map(([x, y]) => /** @type {[number, number]} */ ([x * width, y * height]));
    const last = along[along.length - 1];
    if (this.tool === "brush") return { kind: "stroke", along };
    if (this.tool !== "box" || this.isTap || this.erases) {
      return { kind: "tap", at: [Math.min(Math.floor(last[0]), width - 1), Math.min(Math.floor(last[1]), height - 1)] };
    }
    const [[x0, y0], [x1, y1]] = [along[0], last];
    const [left, right] = [x0, x1].sort((a, b) => a - b).map(Math.round);
    const [top, bottom] = [y0, y1].sort((a, b) => a - b).map(Math.round);
    return { kind: "box", box: [left, top, right - left, bottom - top] };
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
    if (event.button !== 0 && event.button !== 2) return;
    if (this.path.length) return this.#end(false); // a second finger
    this.canvas.setPointerCapture(event.pointerId);
    this.path = [this.#place(event)];
    this.startPx = [event.clientX, event.clientY];
    this.isTap = true;
    this.isTurned = event.button === 2 || event.shiftKey;
    this.onStart();
    this.draw();
    this.onMove();
  }

  /** @param {PointerEvent} event */
  #move(event) {
    if (!this.path.length) return this.#hover(event.pointerType === "mouse" ? this.#place(event) : null);
    this.#follow(event);
    this.draw();
    this.onMove();
  }

  /** @param {PointerEvent} event */
  #follow(event) {
    const [x, y] = this.startPx ?? [0, 0];
    this.isTap &&= Math.hypot(event.clientX - x, event.clientY - y) < TAP_PX;
    this.path.push(this.#place(event));
  }

  /** @param {Point | null} place */
  #hover(place) {
    this.hover = place;
    this.draw();
  }

  /** @param {import("./types").Mask | null} mask to show below what is drawn; of the picture's aspect ratio */
  show(mask) {
    this.preview = mask && this.path.length ? coloured(mask, this.colour) : null;
    this.draw();
  }

  /** @param {PointerEvent} event */
  #up(event) {
    if (!this.path.length) return;
    this.#follow(event);
    this.#end(true);
  }

  /** @param {boolean} isWanted or given up */
  #end(isWanted) {
    const shape = this.path.length ? this.shape() : null;
    this.path = [];
    this.preview = null;
    this.draw();
    if (isWanted && shape) this.onEnd(shape);
    else this.onCancel();
    this.isTurned = false;
  }

  /** Draw the path, or where the brush would be. */
  draw() {
    const { height, width } = this.sizeOf();
    fitCanvas(this.canvas, height, width);
    const pen = penOf(this.canvas);
    pen.clearRect(0, 0, width, height);
    if (this.preview) pen.drawImage(this.preview, 0, 0, width, height);
    const unit = Math.max(height, width) / 400;
    if (!this.path.length) {
      if (this.hover && this.tool === "brush") this.#ring(pen, this.hover, unit);
      return;
    }
    pen.strokeStyle = pen.fillStyle = this.erases ? PLAIN : this.colour;
    const at = this.path.map(([x, y]) => [x * width, y * height]);
    const [first, last] = [at[0], at[at.length - 1]];
    if (this.tool === "box" && !this.erases) {
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

  /** @param {CanvasRenderingContext2D} pen @param {Point} place @param {number} unit */
  #ring(pen, [x, y], unit) {
    pen.strokeStyle = PLAIN;
    pen.lineWidth = unit;
    pen.setLineDash([]);
    pen.beginPath();
    pen.arc(x * this.canvas.width, y * this.canvas.height, this.radius(), 0, 7);
    pen.stroke();
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
