// @ts-check
// What the page and that of a live run show alike: tools, the brush's size, objects, messages.

/** @typedef {import("./gestures.js").Gestures} Gestures */
/** @typedef {{ id: number, name: string, colour: string }} Chip an object as it is listed */
/** @typedef {{ choose: (id: number | null) => void, buttons: (id: number) => HTMLElement[] }} Deeds */

/** @type {Record<string, { fresh: string, known: string, erase: string }>} */
const HINTS = {
  box: { fresh: "Drag a box around an object", known: "Tap what is missing, or drag a new box", erase: "Tap what does not belong to it" },
  points: { fresh: "Tap on an object", known: "Tap what is missing", erase: "Tap what does not belong to it" },
  brush: { fresh: "Brush over an object", known: "Brush over what is missing", erase: "Brush over what does not belong to it" },
};
const BRUSH_STEP = 1.25;

let toastTimer = 0;

/** @param {string} id @returns {any} */
export const $ = (id) => document.getElementById(id);

/** @param {string} text */
export function say(text) {
  $("toast").textContent = text;
  $("toast").hidden = !text;
  clearTimeout(toastTimer);
  toastTimer = window.setTimeout(() => ($("toast").hidden = true), 3500 + 45 * text.length);
}

/** @param {HTMLElement} list @param {Record<string, string>} facts by their terms */
export function showFacts(list, facts) {
  list.replaceChildren(
    ...Object.entries(facts).flatMap(([term, fact]) => [
      Object.assign(document.createElement("dt"), { textContent: term }),
      Object.assign(document.createElement("dd"), { textContent: fact }),
    ]),
  );
}

/** @param {HTMLElement} group @param {string} key @param {string} value */
export function check(group, key, value) {
  for (const button of group.querySelectorAll("button")) {
    button.setAttribute("aria-checked", String(button.dataset[key] === value));
  }
}

/** @param {HTMLElement} group @param {(button: HTMLButtonElement) => void} action */
export function onPick(group, action) {
  group.addEventListener("click", (event) => {
    const picked = /** @type {HTMLElement} */ (event.target).closest("button");
    if (picked) action(picked);
  });
}

/** @param {Gestures} gestures @param {() => void} show what changed */
export function wireTools(gestures, show) {
  onPick($("tools"), ({ dataset }) => { gestures.tool = dataset.tool ?? "box"; show(); });
  onPick($("signs"), ({ dataset }) => { gestures.sign = dataset.sign ?? "add"; show(); });
  const slider = $("size").querySelector("input");
  slider.oninput = () => { gestures.brush = slider.valueAsNumber / 1000; gestures.draw(); };
  document.addEventListener("keydown", ({ key }) => {
    if ((key !== "[" && key !== "]") || document.querySelector("dialog[open]")) return;
    slider.value *= key === "]" ? BRUSH_STEP : 1 / BRUSH_STEP;
    slider.oninput();
  });
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  }
  $("more").onclick = () => $("menu").showModal();
  $("close").onclick = () => $("menu").close();
}

/** @param {Gestures} gestures @param {boolean} isKnown whether they correct something @param {string} [hint] */
export function showTools(gestures, isKnown, hint) {
  document.body.classList.toggle("chosen", isKnown);
  check($("tools"), "tool", gestures.tool);
  check($("signs"), "sign", gestures.sign);
  $("size").hidden = gestures.tool !== "brush";
  const hints = HINTS[gestures.tool];
  $("hint").textContent = hint ?? (!isKnown ? hints.fresh : gestures.sign === "erase" ? hints.erase : hints.known);
}

/** @param {Chip[]} objects @param {number | null} chosen null is a new one @param {Deeds} deeds */
export function showObjects(objects, chosen, { choose, buttons }) {
  const list = objects.map(({ id, name, colour }) => {
    const item = chip(id === chosen, () => choose(id));
    item.dataset.id = String(id);
    item.style.setProperty("--colour", colour);
    const label = Object.assign(document.createElement("b"), { textContent: name });
    item.append(document.createElement("i"), label, document.createElement("output"), ...buttons(id));
    return item;
  });
  const add = chip(chosen === null, () => choose(null));
  add.classList.add("add");
  add.textContent = "+ New object";
  $("objects").replaceChildren(...list, add);
}

/** @param {(id: number) => { confidence: number, lost: boolean } | null | undefined} stateOf an object; none is not known yet */
export function showStates(stateOf) {
  for (const item of $("objects").querySelectorAll("[data-id]")) {
    const state = stateOf(Number(item.dataset.id));
    item.classList.toggle("lost", state?.lost === true);
    item.querySelector("output").textContent = !state ? "…" : state.lost ? "lost" : `${Math.round(100 * state.confidence)} %`;
  }
}

/** @param {boolean} isChosen @param {() => void} choose */
function chip(isChosen, choose) {
  const item = document.createElement("div");
  item.className = "object";
  item.setAttribute("role", "option");
  item.setAttribute("aria-selected", String(isChosen));
  item.tabIndex = 0;
  item.onclick = choose;
  item.onkeydown = (event) => event.target === item && event.key === "Enter" && choose();
  return item;
}

/** @param {string} label @param {string} shape @param {() => void} action */
export function button(label, shape, action) {
  const made = document.createElement("button");
  made.setAttribute("aria-label", label);
  made.title = label;
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", shape);
  svg.append(path);
  made.append(svg);
  made.onclick = (event) => {
    event.stopPropagation();
    action();
  };
  return made;
}
