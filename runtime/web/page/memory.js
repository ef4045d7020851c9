// @ts-check
// Keep the entries of past frames in a constant number of slots: runtime/memory.py.

const REFERENCE = 0;
const PREVIOUS = 1;
const FORGET_FRAMES = 30;

export class MemoryBank {
  /**
   * @param {number[]} keyShape (N, Ck, h, w)
   * @param {number[]} valueShape (N, Cv, h, w)
   * @param {number} channels K, the background and the objects
   * @param {{ mem_every: number, write_confidence: number }} policy
   */
  constructor(keyShape, valueShape, channels, policy) {
    /** @param {number[]} shape */
    const count = (shape) => shape.reduce((a, b) => a * b, 1);
    this.slots = keyShape[0];
    this.key = new Float32Array(count(keyShape));
    this.value = new Float32Array(count(valueShape));
    this.valid = new Float32Array(this.slots);
    this.policy = policy;
    this.channels = channels;
    this.valueChannels = valueShape[1];
    this.cells = valueShape[2] * valueShape[3];
    /** @type {Map<number, number>} slot to frame */
    this.written = new Map();
    /** @type {Map<number, number>} object to the slot of the reference that it depends on */
    this.home = new Map();
    /** @type {Set<number>} */
    this.references = new Set();
    /** @type {number | null} the slot of the newest reference's whole frame */
    this.wide = null;
    /** @type {Float32Array | null} what memory holds of an object that is nowhere */
    this.blank = null;
    /** @type {Set<number>} */
    this.forgotten = new Set();
    this.lastKept = 0;
    this.unseen = 0;
  }

  /** Empty every slot. */
  clear() {
    this.valid.fill(0);
    this.written.clear();
    this.home.clear();
    this.references.clear();
    this.wide = null;
    this.forgotten.clear();
    this.unseen = 0;
  }

  /** @param {number} id of an object that is no longer among the living */
  forget(id) {
    this.forgotten.add(id);
    this.#blankForgotten();
  }

  /**
   * Store a frame's entry where it belongs.
   * @param {Float32Array} key
   * @param {Float32Array} value
   * @param {number} frame
   * @param {Map<number, number>} confidence of every living object; 0 for one that is not seen
   * @param {Set<number>} given the objects whose mask the user gave for this frame
   * @param {{ key: Float32Array, value: Float32Array } | null} wide the whole frame, where key and
   *   value are a part's in which something was given
   */
  write(key, value, frame, confidence, given, wide = null) {
    for (const id of [...this.home.keys()]) {
      if (!confidence.has(id) || given.has(id)) this.home.delete(id);
    }
    this.#learnBlank(value, confidence);
    this.#blankForgotten();
    for (const id of confidence.keys()) this.forgotten.delete(id);
    const anySeen = [...confidence.values()].some((one) => one > 0);
    this.unseen = given.size || anySeen ? 0 : this.unseen + 1;
    const slots = [PREVIOUS];
    if (this.unseen >= FORGET_FRAMES) {
      slots.length = 0;
      this.valid[PREVIOUS] = 0;
      this.written.delete(PREVIOUS);
    }
    if (given.size) this.wide = null;
    const kept = given.size ? this.#referenceSlot(confidence, wide !== null) : this.#ringSlot(frame, confidence);
    if (kept !== null) {
      slots.push(kept);
      this.lastKept = frame;
      if (given.size) {
        this.references.add(kept);
        for (const id of given) this.home.set(id, kept);
      }
    }
    for (const slot of slots) this.put(slot, key, value, frame);
    const ring = this.#ring();
    if (wide && ring.length) {
      this.wide = ring[0];
      this.put(ring[0], wide.key, wide.value, frame);
    }
  }

  /** @param {number} slot @param {Float32Array} key @param {Float32Array} value @param {number} frame */
  put(slot, key, value, frame) {
    this.key.set(key, slot * key.length);
    this.value.set(value, slot * value.length);
    this.valid[slot] = 1;
    this.written.set(slot, frame);
  }

  /** @param {number} id @returns {[number, number]} from and to in one slot's value */
  #part(id) {
    const own = this.valueChannels / this.channels;
    return [id * own * this.cells, (id + 1) * own * this.cells];
  }

  /** @param {Float32Array} value @param {Map<number, number>} living */
  #learnBlank(value, living) {
    if (this.blank || this.valueChannels % this.channels) return;
    for (let id = 1; id < this.channels; id++) {
      if (!living.has(id)) {
        this.blank = value.slice(...this.#part(id));
        return;
      }
    }
  }

  #blankForgotten() {
    if (!this.blank) return;
    const length = this.value.length / this.slots;
    for (const id of this.forgotten) {
      for (let slot = 0; slot < this.slots; slot++) {
        this.value.set(this.blank, slot * length + this.#part(id)[0]);
      }
    }
    this.forgotten.clear();
  }

  /** @returns {number[]} the ring's slots, empty ones first, then oldest first */
  #ring() {
    const ring = [];
    for (let slot = 2; slot < this.slots; slot++) {
      if (!this.references.has(slot) && slot !== this.wide) ring.push(slot);
    }
    return ring.sort((a, b) => (this.written.get(a) ?? -1) - (this.written.get(b) ?? -1));
  }

  /** @param {number} frame @param {Map<number, number>} confidence @returns {number | null} */
  #ringSlot(frame, confidence) {
    const due = frame - this.lastKept >= this.policy.mem_every;
    const seen = [...confidence.values()].filter((one) => one > 0);
    const confident = seen.length > 0 && Math.min(...seen) >= this.policy.write_confidence;
    return due && confident ? (this.#ring()[0] ?? null) : null;
  }

  /** @param {Map<number, number>} confidence @param {boolean} isPart of its frame @returns {number | null} */
  #referenceSlot(confidence, isPart) {
    if (!this.references.has(REFERENCE)) return REFERENCE;
    const oldestFirst = [...this.references].sort(
      (a, b) => (this.written.get(a) ?? 0) - (this.written.get(b) ?? 0),
    );
    const needed = new Set(this.home.values());
    const ring = this.#ring();
    if (oldestFirst.length >= Math.max(1, this.slots - 2 - Number(isPart))) {
      for (const slot of oldestFirst) if (!needed.has(slot)) return slot;
    }
    if (ring.length) return ring[0];
    for (const slot of oldestFirst) {
      const moving = [...this.home].filter(([, home]) => home === slot);
      if (moving.every(([id]) => (confidence.get(id) ?? 0) >= this.policy.write_confidence)) {
        return slot;
      }
    }
    return null;
  }
}
