// @ts-check
// The run: frames from the source to the worker, masks back to the painter.

import { fit } from "./letterbox.js";
import { canvasOf, fitCanvas, penOf } from "./painter.js";
import { findTransform, turnLabels } from "./turning.js";
import { sizeOf, wholeView } from "./view.js";

/** @typedef {import("./types").ModelEntry} ModelEntry */
/** @typedef {import("./types").ObjectState} ObjectState */
/** @typedef {import("./types").Prompt} Prompt */
/** @typedef {import("./types").Result} Result */
/** @typedef {import("./types").Site} Site */
/** @typedef {import("./types").Size} Size */
/** @typedef {import("./types").View} View */
/** @typedef {{ id: number, name: string, state: ObjectState | null }} Followed */

const STEADY = 0.9; // of a figure on the screen, from frame to frame

export class Session {
  /**
   * @param {Site} site
   * @param {import("./worker_client.js").WorkerClient} client
   * @param {import("./source.js").Source} source
   * @param {import("./painter.js").Painter} painter
   * @param {{ build: string | null, threads: number }} wish
   */
  constructor(site, client, source, painter, wish) {
    this.site = site;
    this.client = client;
    this.source = source;
    this.painter = painter;
    this.wish = wish;
    /** @type {any} what the worker said of the engine and the model */
    this.loaded = null;
    /** @type {ModelEntry | null} */
    this.model = null;
    this.frame = canvasOf(1, 1);
    this.older = canvasOf(1, 1);
    this.small = canvasOf(1, 1);
    this.hasFrame = false;
    /** @type {View | null} the part of the next frame to look at; null is all of it */
    this.next = null;
    /** @type {Result | null} */
    this.result = null;
    /** @type {Map<number, Followed>} */
    this.objects = new Map();
    /** @type {Prompt[]} */
    this.prompts = [];
    /** @type {number[]} */
    this.drops = [];
    /** A person is drawing: the picture stands still. */
    this.isHeld = false;
    this.isRunning = false;
    this.turn = 0; // of runs: one that was stopped ends, though another began
    this.figures = { fps: 0, latencyMs: 0, stepMs: 0, memoryBytes: 0 };
    /** @type {{ infer: number[], end_to_end: number[] }} the newest steps */
    this.history = { infer: [], end_to_end: [] };
    /** @type {(said: string) => void} */
    this.say = () => {};
    this.onChange = () => {};
    /** @type {((step: object) => void) | null} told everything of each step: for tests */
    this.onStep = null;
    this.steps = 0;
  }

  /** @param {Size} frame @returns {ModelEntry} the one that shows most of it */
  choose(frame) {
    /** @param {ModelEntry} model */
    const area = (model) => {
      const box = fit(frame, imageSize(model));
      return (box.height * box.width) / (model.size[0] * model.size[1]);
    };
    return this.site.models.reduce((best, one) => (area(one) > area(best) + 1e-6 ? one : best));
  }

  /** @param {ModelEntry} model */
  async load(model) {
    const here = new URL(".", location.href).href;
    this.loaded = await this.client.ask("load", {
      engineFolder: `${here}${this.site.engine.folder}/`,
      modelFolder: `${here}${model.folder}`,
      manifestSha256: model.manifest_sha256,
      ...this.wish,
    });
    this.model = model;
    this.next = null;
    this.figures.memoryBytes = this.loaded.memoryBytes;
  }

  /** @returns {number} an id for a new object, or 0 when all are in use */
  freeId() {
    for (let id = 1; id < this.loaded.channels; id++) if (!this.objects.has(id)) return id;
    return 0;
  }

  /** @param {Prompt} prompt @param {string} [name] */
  show(prompt, name) {
    if (!this.objects.has(prompt.id)) {
      this.objects.set(prompt.id, { id: prompt.id, name: name ?? `Object ${prompt.id}`, state: null });
    }
    const before = this.prompts[this.prompts.length - 1];
    if (before?.kind === "points" && prompt.kind === "points" && before.id === prompt.id) {
      before.points.push(...prompt.points); // of one frame: they count together
      before.labels.push(...prompt.labels);
    } else {
      this.prompts.push(prompt);
    }
    this.isHeld = false;
    this.onChange();
  }

  /** @param {Prompt} prompt @returns {Promise<import("./types").Mask | null>} what it would make of the frame that stands still */
  async preview(prompt) {
    if (!this.hasFrame || !this.isHeld) return null;
    return this.client.ask("find", { frame: this.#pixels([prompt]), prompt }).then(({ mask }) => mask, () => null);
  }

  /** @param {Prompt[]} prompts the frame's size, and its pixels where a prompt needs them */
  #pixels(prompts) {
    const { height, width } = this.frame;
    const isNeeded = prompts.some((one) => one.kind === "box" || one.kind === "points");
    return { height, width, data: isNeeded ? penOf(this.frame).getImageData(0, 0, width, height).data : null };
  }

  /** @param {number} id */
  drop(id) {
    this.objects.delete(id);
    this.prompts = this.prompts.filter((one) => one.id !== id);
    this.drops.push(id);
    this.onChange();
  }

  reset() {
    for (const id of [...this.objects.keys()]) this.drop(id);
  }

  /** Run until the source ends or `stop` is called. */
  async run() {
    if (this.isRunning) return;
    this.isRunning = true;
    const turn = ++this.turn;
    const goesOn = () => turn === this.turn;
    let before = performance.now();
    while (goesOn()) {
      const { isHeld: wasHeld, model } = this;
      await this.#waitForFrame();
      if (!goesOn()) break;
      const began = performance.now();
      // A prompt is for the frame that the person saw.
      const isSeen = (wasHeld || this.prompts.length > 0) && this.hasFrame && this.#fits();
      try {
        if (!isSeen) await this.#grab();
        await this.#step();
      } catch (error) {
        if (goesOn()) this.stop();
        this.say(error instanceof Error ? error.message : String(error));
        break;
      }
      this.painter.paint(this.frame, this.result);
      const now = performance.now();
      // The frame for which another model had to be loaded says nothing about the others.
      if (model === this.model) this.#measure(now - began, now - before);
      before = now;
    }
  }

  stop() {
    this.isRunning = false;
    this.turn++;
  }

  async #waitForFrame() {
    const pause = () => new Promise((next) => setTimeout(next, 16));
    if (this.isHeld) {
      while (this.isHeld && this.isRunning) await pause();
      return;
    }
    // No frame comes from a camera that stalls; the page must still end or hold.
    await Promise.race([this.source.nextFrame(), new Promise((next) => setTimeout(next, 500))]);
  }

  #fits() {
    const { videoHeight, videoWidth } = this.source.video;
    return this.frame.height === videoHeight && this.frame.width === videoWidth;
  }

  /** Take the newest frame. */
  async #grab() {
    const { video } = this.source;
    const size = { height: video.videoHeight, width: video.videoWidth };
    if (!size.width) return;
    const isNew = !this.hasFrame || this.frame.height !== size.height || this.frame.width !== size.width;
    if (isNew) [this.frame, this.older] = [this.older, this.frame];
    fitCanvas(this.frame, size.height, size.width);
    penOf(this.frame).drawImage(video, 0, 0);
    if (isNew) await this.#refit(size);
  }

  /** @param {View} view @returns {import("./types").Picture} that part of the frame, as the network takes it */
  #look(view) {
    const part = sizeOf(view);
    const { height, width } = fit(part, imageSize(/** @type {ModelEntry} */ (this.model)));
    fitCanvas(this.small, height, width);
    const pen = penOf(this.small, true);
    pen.imageSmoothingEnabled = true;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(this.frame, view.left, view.top, part.width, part.height, 0, 0, width, height);
    return { height, width, data: pen.getImageData(0, 0, width, height).data };
  }

  /** The frames have another size now. @param {Size} size */
  async #refit(size) {
    const model = this.choose(size);
    const known = this.result;
    const isTurned = this.hasFrame && model !== this.model;
    if (model !== this.model) await this.load(model);
    this.hasFrame = true;
    this.result = this.next = null;
    if (!isTurned || !known) return;
    const { height, width } = size;
    const mask = turnLabels(known, findTransform(this.older, this.frame), size);
    this.drops = [];
    for (const { id, name } of this.objects.values()) {
      const data = mask.map((one) => (one === id ? 1 : 0));
      if (data.some((one) => one)) this.prompts.push({ kind: "mask", id, mask: { height, width, data } });
      else this.say(`${name} was out of sight when the picture turned: show it again.`);
    }
  }

  async #step() {
    if (!this.hasFrame) return;
    const { prompts, drops, onStep } = this; // who asks during a step is told of the next one
    const { height, width } = this.frame;
    const frame = { height, width };
    let view = this.next ?? wholeView(frame);
    let isRefused = false;
    /** @type {import("./types").Picture | null} */
    let wide = null;
    if (prompts.length || drops.length) {
      this.prompts = [];
      this.drops = [];
      const pixels = this.#pixels(prompts);
      const told = await this.client.ask("show", { frame: pixels, prompts, drops }, pixels.data ? [pixels.data.buffer] : []);
      for (const reason of told.refused) this.say(reason);
      view = told.view;
      isRefused = told.refused.length > 0;
      const part = sizeOf(view);
      if (part.height < height || part.width < width) wide = this.#look(wholeView(frame));
    }
    const content = this.#look(view);
    const seen = onStep ? { ...content, data: content.data.slice() } : null;
    const found = await this.client.ask("step", { content, view, frame, wide }, [content.data.buffer]);
    this.result = found.result;
    this.next = found.next;
    if (found.memoryBytes) this.figures.memoryBytes = found.memoryBytes;
    this.#update(prompts, isRefused);
    this.steps++;
    onStep?.({ ...found, content: seen, wide, model: this.model?.folder });
  }

  /** @param {Prompt[]} prompts @param {boolean} refused */
  #update(prompts, refused) {
    const states = new Map((this.result?.objects ?? []).map((one) => [one.id, one]));
    let changed = prompts.length > 0;
    for (const [id, object] of this.objects) {
      const state = states.get(id) ?? null;
      if (object.state?.lost !== state?.lost) changed = true;
      object.state = state;
      // One that was refused when it was first shown was never there.
      if (refused && !state && prompts.some((one) => one.id === id)) this.objects.delete(id);
    }
    if (changed) this.onChange();
  }

  /** @param {number} latencyMs @param {number} intervalMs */
  #measure(latencyMs, intervalMs) {
    const { figures, result, history } = this;
    /** @param {number} old @param {number} one */
    const steady = (old, one) => (old ? STEADY * old + (1 - STEADY) * one : one);
    figures.fps = 1000 / steady(figures.fps ? 1000 / figures.fps : 0, intervalMs);
    if (!result) return;
    figures.latencyMs = steady(figures.latencyMs, latencyMs);
    figures.stepMs = steady(figures.stepMs, result.ms.infer);
    history.infer.push(result.ms.infer);
    history.end_to_end.push(latencyMs);
    if (history.infer.length > 600) for (const list of [history.infer, history.end_to_end]) list.shift();
  }
}

/** @param {ModelEntry} model @returns {Size} */
function imageSize({ size: [height, width] }) {
  return { height, width };
}
