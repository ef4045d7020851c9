// What the page's target model, and its whole step, make of the looks that come in.
//
//   node targets.mjs < steps.json
import { readFileSync } from "node:fs";
import { Segmenter } from "../../../runtime/web/page/segmenter.js";
import { TargetModel, takeAway } from "../../../runtime/web/page/target_model.js";
import { wholeView } from "../../../runtime/web/page/view.js";

const { size, channels, keyChannels, valueChannels, steps } = JSON.parse(readFileSync(0, "utf8"));

function read(look) {
  return Object.fromEntries(Object.entries(look).map(([name, values]) => [name, Float32Array.from(values)]));
}

function corrected() {
  const targets = new TargetModel(size);
  const found = steps.map(({ looks, given, dropped, others }) => {
    const outputs = looks.map(read);
    for (const id of dropped) targets.forget(id);
    if (given.length) targets.learn(outputs, given);
    const doubted = targets.doubted(outputs[0].key, outputs[0].probability, others);
    takeAway(outputs[0], doubted, size);
    const cells = Object.fromEntries([...doubted].map(([id, mask]) => [id, [...mask.data]]));
    return { cells, probability: [...outputs[0].probability], value: [...outputs[0].value] };
  });
  return { found, left: leftAfter(targets, () => targets.clear()) };
}

function leftAfter(targets, forget) {
  forget();
  const { key, probability } = read(steps.at(-1).looks[0]);
  return targets.doubted(key, probability, [1, 2, 3]).size;
}

async function stepped() {
  const frame = { height: 16 * size.height, width: 16 * size.width };
  const cells = [size.height, size.width];
  const shapes = {
    image: [1, 3, frame.height, frame.width],
    prompt: [1, channels, 4 * size.height, 4 * size.width],
    memory_key: [3, keyChannels, ...cells],
    memory_value: [3, valueChannels, ...cells],
  };
  const manifest = {
    size: [frame.height, frame.width],
    inputs: Object.entries(shapes).map(([name, shape]) => ({ name, shape })),
    memory: { mem_every: 5, write_confidence: 0.5 },
  };
  const waiting = [];
  const segmenter = new Segmenter(manifest, { run: async () => waiting.shift() });
  const content = () => ({ ...frame, data: new Uint8ClampedArray(4 * frame.height * frame.width) });
  const found = [];
  for (const { looks, given, dropped } of steps) {
    const [outputs, wide] = looks.map(read);
    waiting.push(...(wide ? [wide, outputs] : [outputs]));
    for (const id of dropped) segmenter.drop(id);
    const data = new Uint8Array(frame.height * frame.width);
    given.forEach((id, i) => (data[i] = id));
    const shown = given.length ? { ...frame, data } : null;
    const result = await segmenter.step(content(), wholeView(frame), frame, shown, wide ? content() : null);
    const value = segmenter.memory.value.slice(outputs.value.length, 2 * outputs.value.length);
    found.push({ probability: [...result.outputs.probability], value: [...value] });
  }
  return { found, left: leftAfter(segmenter.targets, () => segmenter.reset()) };
}

process.stdout.write(JSON.stringify({ corrected: corrected(), stepped: await stepped() }));
