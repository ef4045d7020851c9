/** What the modules hand to each other. Maps are row by row; sizes are heights and widths. */

export type Size = { height: number; width: number };

/** Where the camera's frame lies in the network's image; every number is a multiple of 4. */
export type Letterbox = { top: number; left: number; height: number; width: number };

/** One channel of floats: cells, or pixels. */
export type Plane = { height: number; width: number; data: Float32Array };

/** A label map, or 0 and 1. */
export type Mask = { height: number; width: number; data: Uint8Array };

/** RGBA in [0, 255]. */
export type Picture = { height: number; width: number; data: Uint8ClampedArray };

export type TensorInfo = { name: string; shape: number[] };

export type Report = { tolerance?: Record<string, number | null> };

/** What the page reads of a bundle's manifest. */
export type Manifest = {
  name: string;
  precision: string;
  target: string;
  sampler: string;
  size: [number, number];
  inputs: TensorInfo[];
  outputs: TensorInfo[];
  memory: { mem_every: number; write_confidence: number };
  model_file: string;
  files: Record<string, { sha256: string; size_bytes: number }>;
  report: Report;
  prompt_head: { model_file: string; size: [number, number]; report: Report };
  manifest_sha256: string;
};

export type Outputs = { probability: Float32Array; key: Float32Array; value: Float32Array };

/** What runs a graph. */
export type Engine<Found = Outputs> = {
  name: string;
  build: string;
  threads: number;
  run(inputs: Record<string, Float32Array>): Promise<Found>;
  memoryBytes(): number;
  close(): void;
};

/** Left, top, width and height in pixels. */
export type Box = [number, number, number, number];

/** A part of a frame: rows and columns in pixels. */
export type View = { top: number; bottom: number; left: number; right: number };

/** Areas and boxes are in pixels of the frame. */
export type ObjectState = {
  id: number;
  areaPx: number;
  box: Box;
  confidence: number;
  lost: boolean;
};

export type Look = { key: Float32Array; whole: boolean };

/** What the user showed, in pixels of the frame; masks are of its size. */
export type Prompt =
  | { kind: "box"; id: number; box: Box }
  | { kind: "points"; id: number; points: [number, number][]; labels: number[] }
  | { kind: "brush"; id: number; stroke: Mask; add: boolean }
  | { kind: "mask"; id: number; mask: Mask };

export type Result = {
  /** What was looked at, and how large the network saw it. */
  view: View;
  height: number;
  width: number;
  /** (height, width): object ids, 0 for the background. */
  mask: Uint8Array;
  /** Whose each pixel is if it is no background, and how surely it is none, in [0, 255]. */
  owner: Uint8Array;
  alpha: Uint8Array;
  objects: ObjectState[];
  frame: number;
  ms: { infer: number; post: number; total: number };
};

export type ModelEntry = {
  folder: string;
  size: [number, number];
  precision: string;
  name: string;
  manifest_sha256: string;
};

/** What `edge-vos web` wrote. */
export type Site = {
  version: string;
  made_by: string;
  engine: { name: string; version: string; folder: string };
  models: ModelEntry[];
  clip: string;
  first: string[];
  later: string[];
};

export type Check = {
  passed: boolean;
  frames: number;
  maskIou: number;
  limitIou: number;
  maxAbsError: number;
  ms: number[];
};

export type PromptCheck = { passed: boolean; calls: number; maskIou: number; limitIou: number };
