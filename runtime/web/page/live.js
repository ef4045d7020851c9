// @ts-check
// The page of a live run: the pictures come as a stream, and what is drawn goes back as wishes.

import { $, button, say, showFacts, showObjects, showStates, showTools, wireTools } from "./controls.js";
import { Gestures } from "./gestures.js";

/** @typedef {{ id: number, name: string, confidence: number, lost: boolean, colour: string }} Item */
/** @typedef {{ about: string, fps: number, latency_ms: number, stages_ms: Record<string, number>, frames: number, dropped: number }} Figures */
/** @typedef {Figures & { message: string, paused: boolean, recording: boolean, draft: number | null, next: number | null, objects: Item[] }} State */
/** @typedef {Record<string, unknown> & { action: string }} Wish */

const POLL_MS = 500;
const RETRY_MS = 2000;
const FOUND_MS = 150; // by then a mask is found, as a rule
/** @type {Record<string, string>} */
const KEYS = { Enter: "accept", Escape: "cancel", u: "undo", n: "next", d: "drop", r: "reset", " ": "pause", v: "record", s: "snapshot" };
const PAUSE = "M8 5v14M16 5v14";
const GO_ON = "M8 5l11 7-11 7z";

const token = new URLSearchParams(location.search).get("token") ?? "";
/** @param {string} path */
const at = (path) => `${path}?token=${encodeURIComponent(token)}`;
/** @type {HTMLImageElement} */
const stream = $("stream");
/** @type {State | null} */
let state = null;
/** What the list of objects shows: it is made anew only where that changes, so that no click is lost. */
let listed = "";
/** @type {Promise<void> | null} */
let asking = null;
/** @type {Wish | null} */
let waiting = null;

const gestures = new Gestures($("draw"), () => ({ height: stream.naturalHeight, width: stream.naturalWidth }), () => false);
gestures.onMove = () => {
  const wish = wishOf(gestures.shape());
  if (wish.action !== "click") preview({ ...wish, action: "drag" });
};
gestures.onCancel = () => void finish({ action: "drag", box_xywh: null });
gestures.onEnd = (/** @type {import("./gestures.js").Shape} */ shape) => void finish(wishOf(shape));

/** @param {import("./gestures.js").Shape} shape @returns {Wish} */
function wishOf(shape) {
  const positive = !gestures.erases;
  if (shape.kind === "box") return { action: "box", box_xywh: shape.box };
  if (shape.kind === "tap") return { action: "click", xy: shape.at, positive };
  const points = shape.along.map(([x, y]) => [Math.min(Math.floor(x), stream.naturalWidth - 1), Math.min(Math.floor(y), stream.naturalHeight - 1)]);
  return { action: "paint", points, radius_px: Math.ceil(gestures.radius()), positive };
}

/** What is drawn is previewed as often as that is answered, and no more. @param {Wish} wish */
function preview(wish) {
  waiting = wish;
  asking ??= askAll().finally(() => (asking = null));
}

async function askAll() {
  while (waiting) {
    const next = waiting;
    waiting = null;
    await post(next);
  }
}

/** @param {Wish} wish */
async function finish(wish) {
  waiting = null;
  await asking; // a preview that came after it would stay in view
  await send(wish.action, wish);
  setTimeout(refresh, FOUND_MS);
}

/** @param {string} action @param {object} [more] */
async function send(action, more = {}) {
  await post({ action, ...more });
  await refresh();
}

/** @param {Wish} wish */
async function post(wish) {
  await fetch(at("do"), { method: "POST", body: JSON.stringify(wish) }).catch(() => {}); // the next look at the state tells why
}

/** @returns {number | null} the object that is being drawn, or that is drawn next; null is a new one */
function chosen() {
  const id = state && (state.draft ?? state.next);
  return state?.objects.some((item) => item.id === id) ? id : null;
}

async function refresh() {
  try {
    const answer = await fetch(at("state"));
    if (!answer.ok) throw new Error(answer.statusText);
    const [before, now] = [state, /** @type {State} */ (await answer.json())];
    state = now;
    if (before?.message !== now.message) say(now.message);
    if (before?.draft && !now.draft) gestures.sign = "add";
    document.body.dataset.state = stream.naturalWidth ? "running" : "loading";
    $("loading").textContent = "Waiting for the camera…";
    show(now);
  } catch {
    document.body.dataset.state = "loading";
    $("loading").textContent = "The run has ended";
  }
}

/** @param {State} now */
function show(now) {
  showTools(gestures, now.draft !== null || chosen() !== null);
  const key = JSON.stringify([chosen(), now.objects.map(({ id, name, colour }) => [id, name, colour])]);
  if (key !== listed) {
    const chips = now.objects.map(({ id, name, colour }) => ({ id, name: name || `Object ${id}`, colour }));
    const choose = (/** @type {number | null} */ id) => void send("choose", { object_id: id });
    showObjects(chips, chosen(), { choose, buttons: (id) => [button("Drop", "M6 6l12 12M18 6L6 18", () => send("drop", { object_id: id }))] });
    listed = key;
  }
  showStates((id) => now.objects.find((item) => item.id === id));
  $("accept").disabled = $("cancel").disabled = now.draft === null;
  $("pause").querySelector("path").setAttribute("d", now.paused ? GO_ON : PAUSE);
  $("pause").setAttribute("aria-pressed", String(now.paused));
  $("record").setAttribute("aria-pressed", String(now.recording));
  $("rec-time").hidden = !now.recording;
  $("pace").textContent = `${now.latency_ms.toFixed(0)} ms · ${now.fps.toFixed(0)} fps`;
  const stages = Object.entries(now.stages_ms).map(([stage, ms]) => [stage, ms.toFixed(1)]);
  showFacts($("facts"), { Model: now.about, Frames: `${now.frames}, ${now.dropped} dropped` });
  showFacts($("stages"), { ...Object.fromEntries(stages), "from camera to here": now.latency_ms.toFixed(0) });
}

const look = () => state && show(state);
wireTools(gestures, look);
for (const action of ["accept", "cancel", "undo", "pause", "record", "snapshot", "reset"]) $(action).onclick = () => send(action);
for (const action of ["snapshot", "reset"]) $(action).addEventListener("click", () => $("menu").close());
// A button that was clicked would take the keys.
document.addEventListener("click", (event) => event.detail && /** @type {HTMLElement} */ (document.activeElement).blur());
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("menu").open) return;
  if (event.target !== document.body && ["Enter", " "].includes(event.key)) return; // what has the focus takes it
  if (event.key === "b") {
    gestures.tool = gestures.tool === "brush" ? "box" : "brush";
    gestures.draw();
    look();
  }
  if (!(event.key in KEYS)) return;
  event.preventDefault();
  void send(KEYS[event.key]);
});
// There may have been too many viewers, or the connection broke: try again while the run is there.
stream.onerror = () => setTimeout(() => (stream.src = `${at("stream")}&try=${Date.now()}`), RETRY_MS);
stream.src = at("stream");
Object.assign(globalThis, { edgeVos: { gestures, send, state: () => state } });
setInterval(refresh, POLL_MS);
void refresh();
