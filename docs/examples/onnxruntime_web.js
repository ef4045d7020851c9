// Run a bundle of `edge-vos convert --target web` with ONNX Runtime Web, and repeat its recordings.
//
// Serve this file in one folder with
//   - the modules of edge_vos/runtime/web/page, whose segmenter and prompt head take any engine that
//     `run`s as the one below;
//   - ort.js and ort-wasm-simd-threaded.wasm: dist/ort.wasm.bundle.min.mjs, renamed, and that file of
//     the npm package onnxruntime-web;
//   - the bundle's own folder.
import { checkGolden, checkPromptGolden } from "./golden.js";
import { readNpz } from "./npz.js";
import * as ort from "./ort.js";
import { PromptHead, promptGraph } from "./prompt_head.js";
import { Segmenter } from "./segmenter.js";

ort.env.wasm.wasmPaths = { wasm: new URL("ort-wasm-simd-threaded.wasm", import.meta.url).href };
ort.env.wasm.numThreads = 1;

async function download(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} could not be loaded (${response.status})`);
  return response.arrayBuffer();
}

async function openModel(url, graph) {
  const session = await ort.InferenceSession.create(await download(url), { executionProviders: ["wasm"] });
  const shape = Object.fromEntries(graph.inputs.map((one) => [one.name, one.shape]));
  return {
    async run(inputs) {
      const given = Object.entries(inputs).map(([name, data]) => [name, new ort.Tensor("float32", data, shape[name])]);
      const found = await session.run(Object.fromEntries(given));
      return Object.fromEntries(Object.entries(found).map(([name, tensor]) => [name, tensor.data]));
    },
  };
}

/** Open a bundle: what follows objects, and what finds them from a box or taps. */
export async function openBundle(folder) {
  const manifest = await (await fetch(`${folder}/manifest.json`)).json();
  const { model_file: file, prompt_head: entry } = manifest;
  const segmenter = new Segmenter(manifest, await openModel(`${folder}/${file}`, manifest));
  const head = new PromptHead(entry.size, await openModel(`${folder}/${entry.model_file}`, promptGraph(entry.size)));
  return { manifest, segmenter, head };
}

/** Repeat the bundle's recordings, as `edge-vos verify` does. */
export async function verify(folder) {
  const { manifest, segmenter, head } = await openBundle(folder);
  const recorded = async (name) => readNpz(await download(`${folder}/${name}`));
  return {
    step: await checkGolden(segmenter, await recorded("golden.npz"), () => {}),
    promptHead: await checkPromptGolden(head, await recorded("prompt-golden.npz"), manifest.prompt_head.report),
  };
}
