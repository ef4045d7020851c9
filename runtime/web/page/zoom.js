// @ts-check
// Choose the part of each frame to look at: around the objects, from where they just were:
// runtime/objects/zoom.py.

import { cuts, joined, middleOf, sizeOf, viewAt, wholeView } from "./view.js";

/** @typedef {import("./types").Box} Box */
/** @typedef {import("./types").ObjectState} ObjectState */
/** @typedef {import("./types").Size} Size */
/** @typedef {import("./types").View} View */
/** @typedef {[number, number]} Point x and y in pixels */

const FILL = 0.7;
const SMALLEST = 0.6;
const GROW = 1.1;
const SHRINK = 0.98;
const FOLLOW = 0.4;
const SPEED = 0.1;
const NEARLY_WHOLE = 0.98;

/** @param {Size} a @param {Size} b */
const isSame = (a, b) => a.height === b.height && a.width === b.width;

/** @param {Point} a @param {Point} b @param {number} part @returns {Point} a, and that part of b */
const add = (a, b, part = 1) => [a[0] + part * b[0], a[1] + part * b[1]];

export class Zoom {
  /** @param {Size} image the network's */
  constructor(image) {
    this.image = image;
    /** @type {Size} */
    this.frame = { height: 0, width: 0 };
    /** @type {Box | null} around all objects; null where one is lost */
    this.box = null;
    /** Their ids. */
    this.ids = "";
    /** Of the view. */
    this.height = 0;
    /** @type {Point} */
    this.centre = [0, 0];
    /** @type {Point} between two frames */
    this.motion = [0, 0];
  }

  /** Begin with the whole frame. */
  clear() {
    this.frame = { height: 0, width: 0 };
    this.box = null;
    this.height = 0;
    this.centre = [0, 0];
    this.motion = [0, 0];
  }

  /**
   * Return the part of the next frame to look at.
   * @param {Size} frame
   * @param {Box | null} shown around what the user shows in it
   * @param {boolean} isAnew whether that is all there is
   * @returns {View}
   */
  view(frame, shown = null, isAnew = false) {
    if (shown && isAnew) return this.#at(middleOf(shown), this.#heightFor(shown, frame), frame);
    if (!this.box || !isSame(frame, this.frame)) return wholeView(frame);
    if (!shown) return this.#at(add(this.centre, this.motion), this.height, frame);
    const box = joined([shown, this.box]);
    return this.#at(middleOf(box), Math.max(this.height, this.#heightFor(box, frame)), frame);
  }

  /**
   * Take what was found.
   * @param {View} view that was looked at
   * @param {ObjectState[]} objects all that live
   * @param {Size} frame
   * @param {boolean} isShown whether the user showed something in it, perhaps far from all before
   */
  update(view, objects, frame, isShown = false) {
    const isLost = !objects.length || objects.some((one) => one.lost);
    if (isLost || !isSame(frame, this.frame)) {
      this.clear();
      this.frame = frame;
    }
    if (isLost) return;
    const box = joined(objects.map((one) => one.box));
    const ids = objects.map((one) => one.id).join();
    this.#resize(view, box);
    if (!this.box || isShown || ids !== this.ids) {
      this.centre = middleOf(box);
      this.motion = [0, 0];
    } else {
      const expected = add(this.centre, this.motion);
      const missed = add(middleOf(box), expected, -1);
      this.centre = add(expected, missed, FOLLOW);
      this.motion = add(this.motion, missed, SPEED);
    }
    this.box = box;
    this.ids = ids;
  }

  /** @param {View} view @param {Box} box */
  #resize(view, box) {
    const size = sizeOf(view);
    const whole = this.#whole(this.frame);
    let height = Math.max(size.height, (size.width * this.image.height) / this.image.width);
    if (isSame(size, this.frame)) height = this.height || whole;
    let wanted = this.#heightFor(box, this.frame);
    if (cuts(view, box, this.frame)) wanted = Math.max(wanted, height * GROW);
    this.height = Math.min(Math.max(wanted, height * SHRINK), height * GROW, whole);
  }

  /** @param {Box} box @param {Size} frame @returns {number} how high a view is that a box fills as it should */
  #heightFor([, , width, height], frame) {
    const wanted = Math.max(height, (width * this.image.height) / this.image.width) / FILL;
    return Math.min(Math.max(wanted, SMALLEST * this.image.height), this.#whole(frame));
  }

  /** @param {Point} centre @param {number} height @param {Size} frame @returns {View} what is nearly the whole frame is all of it */
  #at(centre, height, frame) {
    if (height >= NEARLY_WHOLE * this.#whole(frame)) return wholeView(frame);
    return viewAt(centre, { height, width: (height * this.image.width) / this.image.height }, frame);
  }

  /** @param {Size} frame @returns {number} */
  #whole(frame) {
    return Math.max(frame.height, (frame.width * this.image.height) / this.image.width);
  }
}
