// @ts-check
// Where frames come from: a camera, front or back, or a clip.

/** @type {Record<string, string>} */
const REFUSALS = {
  NotAllowedError: "The camera is not allowed: allow it for this page in the browser's settings, or choose a video.",
  NotFoundError: "There is no camera here: choose a video instead.",
  NotReadableError: "The camera is in use by another program: close it and try again.",
  OverconstrainedError: "That camera is not there any more: choose another one.",
  SecurityError: "The camera is not allowed on this address: it needs https, or localhost.",
};

export class Source {
  /** @param {HTMLVideoElement} video */
  constructor(video) {
    this.video = video;
    this.kind = "none";
    this.facing = "environment";
    /** @type {string | null} */
    this.device = null;
    /** Told when a camera goes away by itself. */
    this.onLost = () => {};
  }

  /** @returns {boolean} whether the picture is shown as in a mirror */
  get mirrored() {
    return this.kind === "camera" && this.facing === "user";
  }

  stop() {
    const stream = /** @type {MediaStream | null} */ (this.video.srcObject);
    for (const track of stream?.getTracks() ?? []) {
      track.onended = null;
      track.stop();
    }
    this.video.srcObject = null;
    if (this.video.src) URL.revokeObjectURL(this.video.src);
    this.video.removeAttribute("src");
    this.kind = "none";
  }

  /**
   * Open a camera.
   * @param {string | null} device a camera's id; null is the one that faces as `facing` says
   */
  async openCamera(device = null) {
    if (!navigator.mediaDevices?.getUserMedia) throw new Error(REFUSALS.SecurityError);
    this.stop();
    /** @type {MediaTrackConstraints} */
    const which = device ? { deviceId: { exact: device } } : { facingMode: this.facing };
    try {
      const stream = await navigator.mediaDevices.getUserMedia({
        audio: false,
        video: { ...which, width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } },
      });
      const [track] = stream.getVideoTracks();
      const settings = track.getSettings();
      this.device = settings.deviceId ?? device;
      if (settings.facingMode) this.facing = settings.facingMode;
      track.onended = () => this.onLost();
      this.video.srcObject = stream;
    } catch (error) {
      const name = error instanceof DOMException ? error.name : "";
      throw new Error(REFUSALS[name] ?? `The camera cannot be opened (${name || error}): choose a video instead.`);
    }
    this.kind = "camera";
    await this.#play("the camera");
  }

  /** Open the other camera: the next one in the list, or the one that faces the other way. */
  async flip() {
    const all = await this.cameras();
    this.facing = this.facing === "user" ? "environment" : "user";
    if (all.length < 2) return this.openCamera();
    const at = all.findIndex((one) => one.deviceId === this.device);
    // A phone has several that face the same way; the direction is what is meant.
    const phone = /Android|iPhone|iPad/.test(navigator.userAgent);
    return this.openCamera(phone ? null : all[(at + 1) % all.length].deviceId);
  }

  /** @returns {Promise<MediaDeviceInfo[]>} */
  async cameras() {
    const all = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
    return all.filter((one) => one.kind === "videoinput");
  }

  /** @param {string} url @param {string} name */
  async openClip(url, name) {
    this.stop();
    this.kind = "clip";
    this.video.src = url;
    await this.#play(name);
  }

  /** @param {string} what */
  async #play(what) {
    const { video } = this;
    video.muted = true;
    try {
      await video.play();
      while (!video.videoWidth) await new Promise((next) => video.addEventListener("resize", next, { once: true }));
    } catch (error) {
      this.stop();
      throw new Error(`This browser cannot play ${what} (${error instanceof Error ? error.message : error}): try an MP4 with H.264, or WebM.`);
    }
  }

  /** @returns {Promise<void>} when the next frame is there */
  nextFrame() {
    return new Promise((next) => {
      // A hidden page gets no frames; a paused clip has no next one.
      if ("requestVideoFrameCallback" in this.video) this.video.requestVideoFrameCallback(() => next());
      else requestAnimationFrame(() => next());
    });
  }
}
