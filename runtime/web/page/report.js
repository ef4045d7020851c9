// @ts-check
// The report of a check, in the schema of `edge-vos bench --json`.

/** @typedef {import("./types").Check} Check */

/** @param {number[]} values @param {number} part */
function quantile(values, part) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = part * (sorted.length - 1);
  const low = Math.floor(at);
  return sorted[low] + ((sorted[low + 1] ?? sorted[low]) - sorted[low]) * (at - low);
}

/** @param {number[]} values */
export function spread(values) {
  const rounded = (/** @type {number} */ value) => Math.round(value * 1000) / 1000;
  return {
    p50: rounded(quantile(values, 0.5)),
    p90: rounded(quantile(values, 0.9)),
    p99: rounded(quantile(values, 0.99)),
    max: rounded(Math.max(...values)),
  };
}

/** @returns {{ name: string, system: string, machine: string }} what the browser tells of the device */
function device() {
  const agent = navigator.userAgent;
  const inside = /\(([^)]*)\)/.exec(agent)?.[1] ?? "unknown";
  const browser = /(Firefox|Edg|OPR|Chrome|Version)\/[\d.]+/.exec(agent)?.[0].replace("Version", "Safari") ?? "a browser";
  const data = /** @type {any} */ (navigator).userAgentData;
  return { name: `${browser} on ${inside}`, system: inside, machine: data?.platform ?? navigator.platform ?? "" };
}

/**
 * @param {any} loaded what the worker said of engine and model
 * @param {import("./types").Site} site
 * @param {string} folder the model's
 * @param {Check & { steps: number[], infer: number[], firstMs: number }} check
 * @param {string[]} denied
 * @param {number} memoryBytes
 */
export function makeReport(loaded, site, folder, check, denied, memoryBytes) {
  const { manifest } = loaded;
  const total = check.steps.reduce((sum, one) => sum + one, 0);
  const half = Math.ceil(check.steps.length / 2);
  const { name, system, machine } = device();
  const heap = /** @type {any} */ (performance).memory?.usedJSHeapSize ?? 0;
  return {
    schema_version: 1,
    bundle: folder.split("/").pop(),
    bundle_sha256: manifest.manifest_sha256,
    engine: `${site.engine.name} (${loaded.build})`,
    precision: manifest.precision,
    size: manifest.size,
    threads: loaded.threads,
    target: manifest.target,
    engine_version: site.engine.version,
    sampler: manifest.sampler,
    frame_size: manifest.size,
    objects: 1,
    device: {
      name,
      machine,
      cores: navigator.hardwareConcurrency ?? 1,
      memory_bytes: (/** @type {any} */ (navigator).deviceMemory ?? 0) * 2 ** 30,
      system,
      python: "",
    },
    warmup: check.frames,
    samples: check.steps.length,
    duration_s: total / 1000,
    fps: (1000 * check.steps.length) / total,
    latency_ms: { infer: spread(check.infer), end_to_end: spread(check.steps) },
    load_ms: loaded.loadMs,
    first_inference_ms: check.firstMs,
    model_size_bytes: manifest.files[manifest.model_file].size_bytes,
    memory: { peak_rss_bytes: memoryBytes + heap, net_rss_bytes: memoryBytes },
    other_cpu_percent: null,
    warnings: [
      "measured in a browser: memory is the engine's and the page's, not the process's, and the device's name is what the browser tells",
      ...denied,
    ],
    measured_at: new Date().toISOString().replace(/\.\d+Z$/, "Z"),
    drift: {
      window_s: total / 2000,
      first_ms: spread(check.steps.slice(0, half)),
      last_ms: spread(check.steps.slice(-half)),
    },
    accuracy: {
      passed: check.passed,
      frames: check.frames,
      mask_iou: check.maskIou,
      max_abs_error: check.maxAbsError,
    },
    placement: {},
    conditions: { governors: [], on_battery: null, throttled: null },
    machine_samples: [],
    energy_per_step_mj: null,
    roofline: null,
    samples_ms: { infer: check.infer, end_to_end: check.steps },
  };
}
