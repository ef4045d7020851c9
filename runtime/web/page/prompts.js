// @ts-check
// Turn a box, points or a brush stroke into a mask of the content: runtime/prompts/find_object.py.

import { area, hard, linear, soft } from "./resize.js";

/** @typedef {import("./types").Mask} Mask */

/** Say what cannot be used, in the words that the page shows. */
export class PromptError extends Error {}

/** @param {Mask} mask */
const isEmpty = (mask) => !mask.data.some((one) => one);

/**
 * Find the object that the user shows.
 * @param {import("./prompt_head.js").PromptHead} head
 * @param {import("./types").Picture | null} frame where a box or points lie
 * @param {import("./types").Prompt} prompt
 * @param {Mask} now of the content: 1 where the object is now; empty for a new one
 * @returns {Promise<Mask>} 1 on the object, of the content's size
 * @throws {PromptError} if nothing is found
 */
export async function makeMask(head, frame, prompt, now) {
  const found = await findMask(head, frame, prompt, now);
  if (isEmpty(found)) throw new PromptError("No object was found there: draw a box around it, or brush over it.");
  return found;
}

/**
 * @param {import("./prompt_head.js").PromptHead} head
 * @param {import("./types").Picture | null} frame
 * @param {import("./types").Prompt} prompt
 * @param {Mask} now
 * @returns {Promise<Mask>}
 */
async function findMask(head, frame, prompt, now) {
  if (prompt.kind === "mask") return prompt.mask;
  if (prompt.kind === "brush") {
    const { stroke, add } = prompt;
    return { ...now, data: now.data.map((one, i) => (stroke.data[i] ? Number(add) : one)) };
  }
  if (!frame) throw new Error("A box or a tap needs its frame");
  let shown;
  if (prompt.kind === "box") {
    const box = inside(prompt.box, frame);
    if (box[2] < 2 || box[3] < 2) throw new PromptError("The box is too small: draw it around the object.");
    shown = { box, points: [], labels: [], mask: null };
  } else {
    const { points, labels } = prompt;
    const isNew = isEmpty(now);
    if (isNew && !labels.includes(1)) throw new PromptError("There is nothing to take away yet: tap on the object first.");
    shown = { box: null, points, labels, mask: isNew ? null : hard(linear(soft(now), frame.height, frame.width)) };
  }
  return hard(area(soft(await head.find(frame, shown)), now.height, now.width));
}

/** @param {[number, number, number, number]} box @param {import("./types").Size} frame @returns {[number, number, number, number]} */
function inside([x, y, width, height], frame) {
  const [left, top] = [Math.max(x, 0), Math.max(y, 0)];
  return [left, top, Math.min(x + width, frame.width) - left, Math.min(y + height, frame.height) - top];
}
