// @ts-check
// Decide when an object is hidden and when it is back: runtime/objects/presence.py and appearance.py.

/** @typedef {import("./types").Look} Look */
/** @typedef {import("./types").ObjectState} ObjectState */

const UNLIKE = 0.7;
const FILLED = 0.5;
const TOUCHED = 0.05;
const PACE = 0.02;
const ALIKE = 0.6;
const GONE_FRAMES = 5;
const BACK_FRAMES = 3;
const BACK_AREA = [0.05, 4];
const BACK_CONFIDENCE = 0.6;
const DOUBT_FRAMES = [2, 60];
const SHRED_AREA = 0.05;
const SHRED_UNLIKE = UNLIKE / 2;
const STEADY = 0.95;

/**
 * Return the look of each object that touches a cell.
 * @param {Float32Array} key (Ck, h, w)
 * @param {Float32Array} probability (K, 4 h, 4 w)
 * @param {number[]} ids
 * @param {number} height
 * @param {number} width
 * @returns {Map<number, Look>}
 */
export function findLooks(key, probability, ids, height, width) {
  const cells = height * width;
  const channels = key.length / cells;
  const looks = new Map();
  for (const id of ids) {
    const share = new Float32Array(cells);
    for (let y = 0; y < 4 * height; y++) {
      const from = (id * 4 * height + y) * 4 * width;
      for (let x = 0; x < 4 * width; x++) share[(y >> 2) * width + (x >> 2)] += probability[from + x] / 16;
    }
    const whole = share.some((part) => part > FILLED);
    const least = whole ? FILLED : TOUCHED;
    let total = 0;
    for (let i = 0; i < cells; i++) {
      if (share[i] > least) total += share[i];
      else share[i] = 0;
    }
    if (!total) continue;
    const look = new Float32Array(channels);
    for (let c = 0; c < channels; c++) {
      let sum = 0;
      for (let i = 0; i < cells; i++) if (share[i]) sum += share[i] * key[c * cells + i];
      look[c] = sum / total;
    }
    looks.set(id, { key: look, whole });
  }
  return looks;
}

/** @param {Float32Array} a @param {Float32Array} b */
function squaredDistance(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
  return sum;
}

class Appearance {
  /** @param {Float32Array[]} looks as it was shown, from close and from afar */
  constructor(looks) {
    this.shown = looks;
    this.lately = looks[0];
    this.length = looks[0].reduce((sum, value) => sum + value * value, 0) || 1;
  }

  /** @param {Float32Array} look */
  distance(look) {
    return Math.min(...[...this.shown, this.lately].map((one) => squaredDistance(look, one))) / this.length;
  }

  /** @param {Float32Array} look */
  isUnlike(look) {
    const distance = this.distance(look);
    if (distance < ALIKE * UNLIKE) {
      this.lately = this.lately.map((value, i) => (1 - PACE) * value + PACE * look[i]);
    }
    return distance > UNLIKE;
  }
}

/** @typedef {{ usualPx: number, appearance: Appearance | null, unseen: number, sightings: number, doubted: number }} Trace */

export class Presence {
  constructor() {
    /** @type {Map<number, Trace>} */
    this.traces = new Map();
  }

  clear() {
    this.traces.clear();
  }

  /**
   * Take the pixels of what is not the object, or not yet surely.
   * @param {Uint8Array} mask changed in place
   * @param {ObjectState[]} objects
   * @param {Map<number, Look>} looks
   * @param {Set<number>} given
   * @param {Map<number, Look>} wideLooks in the whole frame, where the mask was found in a part of it
   * @returns {ObjectState[]}
   */
  confirm(mask, objects, looks, given, wideLooks = new Map()) {
    this.traces = new Map(
      objects.map((state) => [
        state.id,
        this.traces.get(state.id) ?? { usualPx: state.areaPx, appearance: null, unseen: 0, sightings: 0, doubted: 0 },
      ]),
    );
    for (const state of objects) {
      if (given.has(state.id)) this.#begin(state, [looks.get(state.id), wideLooks.get(state.id)]);
    }
    return objects.map((state) => this.#confirm(mask, state, looks.get(state.id)));
  }

  /** Take what the user shows for granted. @param {ObjectState} state @param {(Look | undefined)[]} looks */
  #begin(state, looks) {
    const trace = /** @type {Trace} */ (this.traces.get(state.id));
    const keys = looks.flatMap((look) => (look?.whole ? [look.key] : []));
    trace.appearance = keys.length ? new Appearance(keys) : null;
    trace.usualPx = state.areaPx;
    trace.unseen = 0;
  }

  /** @param {Uint8Array} mask @param {ObjectState} state @param {Look | undefined} look @returns {ObjectState} */
  #confirm(mask, state, look) {
    const trace = /** @type {Trace} */ (this.traces.get(state.id));
    const unlike = !state.lost && (isUnlike(trace, look) || isShred(state, trace, look));
    let seen;
    if (trace.unseen >= GONE_FRAMES) {
      trace.sightings = !unlike && isSighting(state, trace) ? trace.sightings + 1 : 0;
      seen = trace.sightings >= BACK_FRAMES;
    } else {
      trace.sightings = 0;
      seen = !(state.lost || unlike);
    }
    if (seen) {
      trace.unseen = 0;
      trace.usualPx = STEADY * trace.usualPx + (1 - STEADY) * state.areaPx;
      return state;
    }
    trace.unseen++;
    if (state.lost) return state;
    for (let i = 0; i < mask.length; i++) if (mask[i] === state.id) mask[i] = 0;
    return { id: state.id, areaPx: 0, box: [0, 0, 0, 0], confidence: 0, lost: true };
  }
}

/** @param {Trace} trace @param {Look | undefined} look */
function isUnlike(trace, look) {
  if (!trace.appearance || !look?.whole) return false;
  const [first, last] = DOUBT_FRAMES;
  trace.doubted = trace.appearance.isUnlike(look.key) ? trace.doubted + 1 : 0;
  if (trace.doubted >= last) trace.appearance.lately = look.key;
  return first <= trace.doubted && trace.doubted < last;
}

/** @param {ObjectState} state @param {Trace} trace @param {Look | undefined} look */
function isShred(state, trace, look) {
  if (!trace.appearance || state.areaPx >= SHRED_AREA * trace.usualPx) return false;
  if (!look) return true;
  return !look.whole && trace.appearance.distance(look.key) > SHRED_UNLIKE;
}

/** @param {ObjectState} state @param {Trace} trace */
function isSighting(state, trace) {
  if (state.lost || state.confidence < BACK_CONFIDENCE) return false;
  const part = state.areaPx / trace.usualPx;
  return !trace.usualPx || (BACK_AREA[0] <= part && part <= BACK_AREA[1]);
}
