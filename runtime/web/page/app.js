// @ts-check
// The page: buttons, objects, messages.

import { $, button, check, onPick, say, showFacts, showObjects, showStates, showTools, wireTools } from "./controls.js";
import { Gestures, strokePath } from "./gestures.js";
import { keepOffline, keepRest } from "./offline.js";
import { COLOURS, Painter, canvasOf, penOf } from "./painter.js";
import { Recorder, save } from "./recorder.js";
import { makeReport } from "./report.js";
import { Session } from "./session.js";
import { Source } from "./source.js";
import { WorkerClient } from "./worker_client.js";

/** @typedef {import("./gestures.js").Shape} Shape */
/** @typedef {import("./types").Prompt} Prompt */
/** @typedef {import("./types").Site} Site */

const options = new URLSearchParams(location.search);

const source = new Source($("video"));
const painter = new Painter($("view"));
const recorder = new Recorder($("view"));
/** @type {Session} */
let session;
/** @type {number | null} the object that prompts go to; null is a new one */
let chosen = null;
let isLooking = false;
/** @type {string[]} what the browser denies */
const denied = [];
/** @type {object | null} */
let report = null;

/** @param {string[]} notes */
function deny(notes) {
  denied.push(...notes);
  $("notes").replaceChildren(
    ...denied.map((note) => Object.assign(document.createElement("li"), { textContent: note })),
  );
}

/** @param {() => Promise<unknown>} action */
async function attempt(action) {
  try {
    await action();
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
  }
}

const gestures = new Gestures($("draw"), () => session?.frame ?? $("view"), () => source.mirrored);
gestures.onStart = () => {
  gestures.colour = COLOURS[((chosen ?? session.freeId()) - 1 + COLOURS.length) % COLOURS.length];
  if (chosen === null) gestures.isTurned = false; // there is nothing to take away from
  session.isHeld = true;
};
gestures.onMove = () => void preview();
gestures.onCancel = () => (session.isHeld = false);
gestures.onEnd = (/** @type {Shape} */ shape) => {
  const prompt = promptOf(shape);
  if (!prompt) {
    session.isHeld = false;
    return;
  }
  session.show(prompt);
  // The next one is a new object only where that is asked for: most people correct what they see.
  choose(prompt.id);
};

/** Show what the path would make, one look after the other, while it is drawn. */
async function preview() {
  if (isLooking || gestures.tool === "brush" || (gestures.tool === "box" && gestures.isTap)) return;
  isLooking = true;
  for (let seen = 0; seen < gestures.path.length; ) {
    seen = gestures.path.length;
    const prompt = promptOf(gestures.shape());
    gestures.show(prompt && (await session.preview(prompt)));
  }
  isLooking = false;
}

/** @param {Shape} shape @returns {Prompt | null} */
function promptOf(shape) {
  if (!session.hasFrame) return null;
  const id = chosen ?? session.freeId();
  if (!id) {
    say(`All ${session.loaded.channels - 1} objects are in use: drop one first.`);
    return null;
  }
  if (shape.kind === "stroke") {
    const { height, width } = session.frame;
    const pen = penOf(canvasOf(height, width), true);
    strokePath(pen, shape.along, gestures.radius());
    const { data } = pen.getImageData(0, 0, width, height);
    const stroke = { height, width, data: Uint8Array.from({ length: data.length / 4 }, (_, i) => (data[4 * i + 3] > 127 ? 1 : 0)) };
    return { kind: "brush", id, stroke, add: !gestures.erases };
  }
  if (shape.kind === "box") return { kind: "box", id, box: shape.box };
  if (gestures.tool === "box" && chosen === null) {
    say("Drag a box around the object, or choose Tap.");
    return null;
  }
  return { kind: "points", id, points: [shape.at], labels: [gestures.erases ? 0 : 1] };
}

/** @param {number | null} id */
function choose(id) {
  chosen = id;
  painter.chosen = session.objects.size > 1 ? id : null;
  if (id === null) gestures.sign = "add";
  show();
}

/** Show the state of everything that changes seldom. */
function show() {
  check($("effects"), "effect", painter.effect);
  $("stage").classList.toggle("mirrored", source.mirrored);
  $("flip").hidden = source.kind === "clip";
  const isFollowing = session?.objects.size > 0;
  showTools(gestures, chosen !== null, chosen !== null && gestures.sign === "add" && isFollowing ? "" : undefined);
  const chips = [...(session?.objects.values() ?? [])].map(({ id, name }) => ({ id, name, colour: COLOURS[(id - 1) % COLOURS.length] }));
  showObjects(chips, chosen, { choose, buttons });
  showFigures();
}

/** @param {number} id */
function buttons(id) {
  if (id !== chosen) return [];
  return [button("Rename", "M4 20l4-1L19 8l-3-3L5 16z", () => rename(id)), button("Drop", "M6 6l12 12M18 6L6 18", () => drop(id))];
}

/** Show confidence, speed and memory. */
function showFigures() {
  if (!session?.loaded) return;
  showStates((id) => session.objects.get(id)?.state);
  const { fps, latencyMs, stepMs, memoryBytes } = session.figures;
  const megabytes = `${Math.round(memoryBytes / 1e6)} MB`;
  if (session.isRunning) {
    const parts = session.result ? [`${Math.round(latencyMs)} ms`] : [];
    $("pace").textContent = [...parts, `${Math.round(fps)} fps`, megabytes].join(" · ");
  }
  const heap = /** @type {any} */ (performance).memory?.usedJSHeapSize;
  const { build, threads, manifest } = session.loaded;
  showFacts($("facts"), {
    Engine: `LiteRT.js, ${build} build, ${threads} thread${threads > 1 ? "s" : ""}`,
    Model: `${manifest.name}, ${manifest.precision}, ${manifest.size.join("x")}`,
    "One step": stepMs ? `${Math.round(stepMs)} ms of ${Math.round(latencyMs)} ms a frame` : "–",
    Memory: `${megabytes} engine${heap ? `, ${Math.round(heap / 1e6)} MB page` : ""}`,
    Offline: navigator.serviceWorker?.controller ? "ready" : "not kept",
  });
  if (recorder.isOn) {
    const seconds = Math.floor((performance.now() - recorder.began) / 1000);
    $("rec-time").textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  }
}

/** @param {number} id */
function drop(id) {
  session.drop(id);
  choose(chosen === id ? null : chosen);
}

/** @param {number} id */
function rename(id) {
  const object = session.objects.get(id);
  if (!object) return;
  $("name").value = object.name;
  $("naming").showModal();
  $("name").select();
  $("naming").onclose = () => {
    const name = $("name").value.trim();
    if ($("naming").returnValue === "ok" && name) object.name = name;
    show();
  };
}

/** Pressing Enter saves. */
$("naming").querySelector("form").onsubmit = (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  $("naming").close(event.submitter instanceof HTMLButtonElement && event.submitter.value === "" && event.submitter.matches(":active, :focus") ? "" : "ok");
};

/** @param {() => Promise<void>} open a source */
async function begin(open) {
  session.stop();
  await attempt(async () => {
    session.reset();
    await open();
    document.body.dataset.state = "running";
    session.hasFrame = false;
    choose(null);
    void session.run().finally(() => {
      if (!session.isRunning && source.kind === "none") document.body.dataset.state = "ready";
    });
    if (source.kind === "camera") await listCameras();
  });
  if (source.kind === "none") document.body.dataset.state = "ready";
}

async function listCameras() {
  const cameras = await source.cameras();
  $("cameras").replaceChildren(
    ...cameras.map((one, n) => {
      const option = new Option(one.label || `Camera ${n + 1}`, one.deviceId);
      option.selected = one.deviceId === source.device;
      return option;
    }),
  );
}

const camera = () => begin(() => source.openCamera());
const sample = () => begin(() => source.openClip(session.site.clip, "the sample clip"));

async function record() {
  if (recorder.isOn) {
    const { blob, name } = await recorder.stop();
    save(blob, name);
    say(`Saved as ${name} (${(blob.size / 1e6).toFixed(1)} MB).`);
  } else {
    recorder.start();
  }
  $("record").setAttribute("aria-pressed", String(recorder.isOn));
  $("rec-time").hidden = !recorder.isOn;
}

/** Repeat the bundle's recording on this device. */
async function checkDevice() {
  const wasRunning = session.isRunning;
  session.stop();
  $("check").disabled = true;
  $("verdict").className = "";
  try {
    const found = await session.client.ask("check", {}, [], ({ frame, frames }) => {
      $("verdict").textContent = `Repeating the recording: frame ${frame} of ${frames}`;
    });
    session.objects.clear();
    report = makeReport(session.loaded, session.site, session.model?.folder ?? "", found, denied, session.figures.memoryBytes);
    const { p50, p90 } = /** @type {any} */ (report).latency_ms.end_to_end;
    $("verdict").textContent =
      `${found.passed ? "Passed" : "FAILED"}: masks overlap the recording's by ${(100 * found.maskIou).toFixed(1)} % ` +
      `(at least ${(100 * found.limitIou).toFixed(0)} %), and those of boxes and taps by ${(100 * found.prompts.maskIou).toFixed(1)} % ` +
      `(at least ${(100 * found.prompts.limitIou).toFixed(0)} %).\nA whole step takes ${p50.toFixed(0)} ms, 9 of 10 at most ${p90.toFixed(0)} ms.`;
    $("verdict").className = found.passed ? "passed" : "failed";
    $("copy").hidden = false;
    return { found, report };
  } finally {
    $("check").disabled = false;
    choose(null);
    if (wasRunning) void session.run();
  }
}

async function copyReport() {
  const text = `${JSON.stringify(report, null, 2)}\n`;
  try {
    await navigator.clipboard.writeText(text);
    say("The report is in the clipboard: edge-vos compare reads it from a file.");
  } catch {
    save(new Blob([text], { type: "application/json" }), "edge-vos-report.json");
  }
}

function wire() {
  wireTools(gestures, show);
  onPick($("effects"), ({ dataset }) => {
    painter.effect = /** @type {import("./painter.js").Effect} */ (dataset.effect);
    document.body.dataset.effect = painter.effect;
    show();
  });
  $("start").onclick = camera;
  for (const id of ["sample", "sample2"]) $(id).onclick = () => ($("menu").close(), sample());
  for (const id of ["file", "file2"]) $(id).onclick = () => ($("menu").close(), $("pick").click());
  $("pick").onchange = () => {
    const [file] = $("pick").files;
    if (file) void begin(() => source.openClip(URL.createObjectURL(file), file.name));
    $("pick").value = "";
  };
  $("flip").onclick = () => attempt(async () => { await source.flip(); show(); await listCameras(); });
  $("cameras").onchange = () => begin(() => source.openCamera($("cameras").value));
  $("record").onclick = () => attempt(record);
  $("check").onclick = () => attempt(checkDevice);
  $("copy").onclick = () => attempt(copyReport);
  $("reset").onclick = () => { session.reset(); choose(null); $("menu").close(); };
  source.onLost = () => {
    session.stop();
    source.stop();
    document.body.dataset.state = "ready";
    say("The camera went away: plug it in or start it again.");
  };
  setInterval(showFigures, 250);
}

async function main() {
  deny(await keepOffline());
  const answer = await fetch("site.json");
  /** @type {Site} */
  const site = await answer.json();
  const wish = { build: options.get("build"), threads: Number(options.get("threads") ?? 4) };
  session = new Session(site, new WorkerClient("worker.js"), source, painter, wish);
  session.say = say;
  session.onChange = show;
  Object.assign(globalThis, { edgeVos: { session, source, painter, gestures, checkDevice, denied, begin } });
  wire();
  const isUpright = matchMedia("(orientation: portrait)").matches;
  await session.load(session.choose(isUpright ? { height: 4, width: 3 } : { height: 3, width: 4 }));
  deny(session.loaded.denied);
  for (const id of ["start", "sample", "file"]) $(id).disabled = false;
  $("loading").textContent = denied.length ? denied.map((one) => `No ${one}.`).join(" ") : "";
  document.body.dataset.state = "ready";
  show();
  await keepRest(site.later);
}

main().catch((error) => {
  document.body.dataset.state = "loading";
  $("loading").className = "failed";
  $("loading").textContent = error instanceof Error ? error.message : String(error);
  document.body.dataset.failed = "yes";
});
