// @ts-check
// Step through a video: prompts and frames in, masks out: runtime/segmenter.py.

import { inFrame, labelFrame } from "./labels.js";
import { NEUTRAL, STRIDE, fit } from "./letterbox.js";
import { MemoryBank } from "./memory.js";
import { Presence, findLooks } from "./presence.js";
import { area, soft } from "./resize.js";
import { TargetModel, takeAway } from "./target_model.js";
import { boxAround, partOf, sizeOf, wholeView } from "./view.js";
import { Zoom } from "./zoom.js";

/** @typedef {import("./types").Engine} Engine */
/** @typedef {import("./types").Letterbox} Letterbox */
/** @typedef {import("./types").Manifest} Manifest */
/** @typedef {import("./types").Mask} Mask */
/** @typedef {import("./types").Outputs} Outputs */
/** @typedef {import("./types").Picture} Picture */
/** @typedef {import("./types").Size} Size */
/** @typedef {import("./types").View} View */

/** @param {number[]} shape */
export const count = (shape) => shape.reduce((a, b) => a * b, 1);

/** @param {Mask} mask @returns {Set<number>} the objects in it */
function idsOf(mask) {
  const ids = new Set(mask.data);
  ids.delete(0);
  return ids;
}

export class Segmenter {
  /**
   * @param {Manifest} manifest
   * @param {Engine} engine
   */
  constructor(manifest, engine) {
    this.manifest = manifest;
    this.engine = engine;
    this.height = manifest.size[0];
    this.width = manifest.size[1];
    const shape = Object.fromEntries(manifest.inputs.map((one) => [one.name, one.shape]));
    this.channels = shape.prompt[1];
    this.cells = shape.prompt[2] * shape.prompt[3];
    this.keyCells = { height: shape.memory_key[2], width: shape.memory_key[3] };
    this.memory = new MemoryBank(shape.memory_key, shape.memory_value, this.channels, manifest.memory);
    /** @type {Record<string, Float32Array>} */
    this.inputs = {
      image: new Float32Array(count(shape.image)).fill(NEUTRAL),
      prompt: new Float32Array(count(shape.prompt)),
      prompted: new Float32Array(this.channels),
      active: new Float32Array(this.channels),
      memory_key: this.memory.key,
      memory_value: this.memory.value,
      memory_valid: this.memory.valid,
    };
    this.presence = new Presence();
    this.zoom = new Zoom(this);
    this.targets = new TargetModel(this.keyCells);
    /** @type {Set<number>} */
    this.living = new Set();
    /** @type {Letterbox | null} */
    this.letterbox = null;
    this.frame = 0;
  }

  /** Forget all objects and frames. */
  reset() {
    this.memory.clear();
    this.presence.clear();
    this.targets.clear();
    this.zoom.clear();
    this.living.clear();
    this.frame = 0;
  }

  /** @param {number} id */
  drop(id) {
    if (!this.living.delete(id)) return;
    this.memory.forget(id);
    this.targets.forget(id);
    if (!this.living.size) this.memory.clear();
  }

  /**
   * Choose the part of the next frame to look at.
   * @param {Size} frame
   * @param {Mask | null} shown a label map of the frame: what the user gives for it
   * @returns {View}
   */
  view(frame, shown = null) {
    if (!shown) return this.zoom.view(frame);
    const given = idsOf(shown);
    return this.zoom.view(frame, boxAround(shown), [...this.living].every((id) => given.has(id)));
  }

  /**
   * Find all objects in the next frame.
   * @param {Picture} content the part that is looked at, as large as it fits into the network's image
   * @param {View} view that part
   * @param {Size} frame
   * @param {Mask | null} shown a label map of the frame: what the user gives for it
   * @param {Picture | null} wide all of that frame, where something is shown and the view is a part
   * @returns {Promise<{ mask: Uint8Array, owner: Uint8Array, alpha: Uint8Array,
   *   objects: import("./types").ObjectState[], outputs: Outputs, inferMs: number }>} maps of the
   *   content, and objects in pixels of the frame
   */
  async step(content, view, frame, shown, wide = null) {
    const given = shown ? idsOf(shown) : new Set();
    for (const id of given) this.living.add(id);
    const ids = [...this.living].sort((a, b) => a - b);
    const began = performance.now();
    // What is lost is searched for in whole frames. So memory has to know what lies outside the
    // view, and how the object looks from afar; or else other things are taken for it.
    const afar = shown && wide ? await this.#run(wide, wholeView(frame), shown, given, ids) : null;
    const outputs = await this.#run(content, view, shown, given, ids);
    const inferMs = performance.now() - began;
    this.#correct(outputs, afar, given, ids);
    const letterbox = fit(sizeOf(view), this);
    const { probability, key, value } = outputs;
    const labelled = labelFrame(probability, ids, letterbox, this.inputs.image, this.height, this.width);
    const { mask, owner, alpha } = labelled;
    const looks = this.#looks(outputs, ids);
    const found = labelled.objects.map((state) => inFrame(state, view, letterbox));
    const objects = this.presence.confirm(mask, found, looks, given, afar ? this.#looks(afar, ids) : undefined);
    this.zoom.update(view, objects, frame, given.size > 0);
    const lost = new Set(objects.filter((one) => one.lost).map((one) => one.id));
    if (lost.size) for (let i = 0; i < owner.length; i++) if (lost.has(owner[i])) alpha[i] = 0;
    const confidence = new Map(objects.map((one) => [one.id, one.confidence]));
    this.memory.write(key, value, this.frame, confidence, given, afar);
    this.frame++;
    return { mask, owner, alpha, objects, outputs, inferMs };
  }

  /**
   * @param {Picture} content
   * @param {View} view
   * @param {Mask | null} shown
   * @param {Set<number>} given
   * @param {number[]} ids
   * @returns {Promise<Outputs>}
   */
  async #run(content, view, shown, given, ids) {
    const letterbox = fit(sizeOf(view), this);
    this.#setImage(content, letterbox);
    this.#setPrompt(shown && partOf(shown, view), letterbox, given, ids);
    return this.engine.run(this.inputs);
  }

  /**
   * Take cells away from objects that look like what was beside them when they were shown.
   * @param {Outputs} outputs changed in place
   * @param {Outputs | null} afar
   * @param {Set<number>} given
   * @param {number[]} ids
   */
  #correct(outputs, afar, given, ids) {
    if (given.size) this.targets.learn(afar ? [outputs, afar] : [outputs], given);
    const others = ids.filter((id) => !given.has(id));
    const doubted = this.targets.doubted(outputs.key, outputs.probability, others);
    if (doubted.size) takeAway(outputs, doubted, this.keyCells);
  }

  /** @param {Outputs} outputs @param {number[]} ids */
  #looks({ key, probability }, ids) {
    return findLooks(key, probability, ids, this.keyCells.height, this.keyCells.width);
  }

  /** @param {Picture} content @param {Letterbox} letterbox */
  #setImage(content, letterbox) {
    const { image } = this.inputs;
    const { top, left, height, width } = letterbox;
    const before = this.letterbox;
    const same = before && before.top === top && before.left === left && before.height === height;
    if (!same || before.width !== width) image.fill(NEUTRAL);
    this.letterbox = letterbox;
    const plane = this.height * this.width;
    for (let y = 0, from = 0; y < height; y++) {
      let to = (top + y) * this.width + left;
      for (let x = 0; x < width; x++, from += 4, to++) {
        image[to] = content.data[from];
        image[to + plane] = content.data[from + 1];
        image[to + 2 * plane] = content.data[from + 2];
      }
    }
  }

  /**
   * @param {Mask | null} shown in the part that is looked at
   * @param {Letterbox} letterbox
   * @param {Set<number>} given
   * @param {number[]} ids
   */
  #setPrompt(shown, letterbox, given, ids) {
    const { prompt, prompted, active } = this.inputs;
    prompt.fill(0);
    prompted.fill(0);
    active.fill(0);
    active[0] = 1;
    for (const id of ids) active[id] = 1;
    if (!shown || !given.size) return;
    const columns = this.width / STRIDE;
    const background = prompt.subarray(0, this.cells).fill(1);
    for (const id of given) {
      const one = soft({ ...shown, data: shown.data.map((value) => (value === id ? 1 : 0)) });
      const part = area(one, letterbox.height / STRIDE, letterbox.width / STRIDE);
      for (let y = 0, from = 0; y < part.height; y++) {
        let to = (letterbox.top / STRIDE + y) * columns + letterbox.left / STRIDE;
        for (let x = 0; x < part.width; x++, from++, to++) {
          prompt[id * this.cells + to] = part.data[from];
          background[to] = Math.max(background[to] - part.data[from], 0);
        }
      }
      prompted[id] = 1;
    }
    // The background is given only where nothing else can be there: every object is given, and
    // memory has no say.
    if (given.size === ids.length && !this.memory.valid.some((one) => one > 0)) prompted[0] = 1;
  }
}
