// @ts-check
// Record what the canvas shows, and hand it over as a file.

const KINDS = ["video/mp4;codecs=avc1.42E01F", "video/mp4", "video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm"];

export class Recorder {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    /** @type {MediaRecorder | null} */
    this.recorder = null;
    this.began = 0;
  }

  get isOn() {
    return this.recorder !== null;
  }

  start() {
    if (typeof MediaRecorder === "undefined") throw new Error("This browser cannot record (no MediaRecorder).");
    const mimeType = KINDS.find((kind) => MediaRecorder.isTypeSupported(kind));
    if (!mimeType) throw new Error("This browser can record neither MP4 nor WebM.");
    const stream = this.canvas.captureStream(30);
    this.recorder = new MediaRecorder(stream, { mimeType, videoBitsPerSecond: 6e6 });
    /** @type {Blob[]} */
    const parts = [];
    this.recorder.ondataavailable = (event) => event.data.size && parts.push(event.data);
    this.finished = new Promise((resolve) => {
      /** @type {MediaRecorder} */ (this.recorder).onstop = () => {
        for (const track of stream.getTracks()) track.stop();
        resolve(new Blob(parts, { type: mimeType.split(";")[0] }));
      };
    });
    this.recorder.start(1000);
    this.began = performance.now();
  }

  /** @returns {Promise<{ blob: Blob, name: string }>} */
  async stop() {
    const recorder = /** @type {MediaRecorder} */ (this.recorder);
    this.recorder = null;
    recorder.stop();
    const blob = /** @type {Blob} */ (await this.finished);
    const stamp = new Date().toISOString().slice(0, 19).replace(/[:T]/g, "-");
    return { blob, name: `edge-vos-${stamp}.${blob.type.includes("mp4") ? "mp4" : "webm"}` };
  }
}

/** @param {Blob} blob @param {string} name */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
