// @ts-check
// Turn a box, points or a brush stroke into a mask of the frame: runtime/prompts/find_object.py.

/** @typedef {import("./types").Mask} Mask */
/** @typedef {import("./types").Size & { data: Uint8ClampedArray | null }} Frame with its pixels, where there is a box or a tap */

/** Say what cannot be used, in the words that the page shows. */
export class PromptError extends Error {}

/** @param {Mask} mask */
const isEmpty = (mask) => !mask.data.some((one) => one);

/**
 * Find the object that the user shows.
 * @param {import("./prompt_head.js").PromptHead} head
 * @param {Frame} frame
 * @param {import("./types").Prompt} prompt
 * @param {Mask} now of the frame: 1 where the object is now; empty for a new one
 * @returns {Promise<Mask>} 1 on the object, of the frame's size
 * @throws {PromptError} if nothing is found
 */
export async function makeMask(head, frame, prompt, now) {
  const found = await findMask(head, frame, prompt, now);
  if (isEmpty(found)) throw new PromptError("No object was found there: draw a box around it, or brush over it.");
  return found;
}

/**
 * @param {import("./prompt_head.js").PromptHead} head
 * @param {Frame} frame
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
  const { height, width, data } = frame;
  if (!data) throw new Error("A box or a tap needs its frame");
  let shown;
  if (prompt.kind === "box") {
    const box = inside(prompt.box, frame);
    if (box[2] < 2 || box[3] < 2) throw new PromptError("The box is too small: draw it around the object.");
    shown = { box, points: [], labels: [], mask: null };
  } else {
    const { points, labels } = prompt;
    const isNew = isEmpty(now);
    if (isNew && !labels.includes(1)) throw new PromptError("There is nothing to take away yet: tap on the object first.");
    shown = { box: null, points, labels, mask: isNew ? null : now };
  }
  return head.find({ height, width, data }, shown);
}

/** @param {import("./types").Box} box @param {import("./types").Size} frame @returns {import("./types").Box} */
function inside([x, y, width, height], frame) {
  const [left, top] = [Math.max(x, 0), Math.max(y, 0)];
  return [left, top, Math.min(x + width, frame.width) - left, Math.min(y + height, frame.height) - top];
}
