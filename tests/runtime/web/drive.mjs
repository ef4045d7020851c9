// Open the page in Chromium and do what a test asks for.
//
//   node drive.mjs '{"task": …, "tools": folder of node_modules, "chromium": …, "url": …, "out": …}'
//
// Prints one JSON document; large arrays go to files in `out`.
import { createRequire } from "node:module";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

const wish = JSON.parse(process.argv[2]);
const puppeteer = createRequire(join(wish.tools, "package.json"))("puppeteer-core");
const WAIT = { timeout: 60000 };
const CLOSE_MS = 5000;

let browser = null;
let doing = "start Chromium";

/** Answer once, end the browser, by force where it must be, and leave. */
async function leave(answer) {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
  const late = new Promise((next) => setTimeout(next, CLOSE_MS));
  await Promise.race([browser?.close().catch(() => {}), late]);
  browser?.process()?.kill("SIGKILL");
  process.exit();
}
setTimeout(() => leave({ failed: `nothing in ${wish.limit} s; it waited for: ${doing}` }), wish.limit * 1000);

try {
  browser = await (puppeteer.default ?? puppeteer).launch({
    executablePath: wish.chromium,
    userDataDir: join(wish.out, "chromium"),
    headless: true,
    timeout: 30000,
    protocolTimeout: WAIT.timeout,
    args: [
      "--no-sandbox", "--no-zygote", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars", "--use-fake-device-for-media-stream",
      ...(wish.camera ? ["--use-fake-ui-for-media-stream", `--use-file-for-fake-video-capture=${wish.camera}`] : []),
      ...(wish.flags ?? []),
    ],
  });
} catch (error) {
  await leave({ failed: `${doing}: ${error.message}` });
}
const page = await browser.newPage();
page.setDefaultTimeout(WAIT.timeout);
await page.setViewport({ width: 390, height: 844, deviceScaleFactor: 1, ...wish.viewport });
const asked = [];
page.on("request", (request) => asked.push([request.method(), request.url()]));
const problems = [];
page.on("pageerror", (error) => problems.push(error.message));
for (const name of ["goto", "click", "evaluate", "waitForFunction"]) {
  const original = page[name].bind(page);
  page[name] = (...given) => {
    doing = `${name} ${given[0]}`.replaceAll(/\s+/g, " ").slice(0, 200);
    return original(...given);
  };
}

const text = (id) => page.$eval(`#${id}`, (element) => element.textContent);
const told = () => `it said: ${document.getElementById("toast")?.textContent}\n${document.body?.innerText}`;
const isSettled = () => document.body?.dataset.failed || globalThis.edgeVos?.session?.loaded;

async function open(query = "") {
  await page.goto(`${wish.url}${query}`);
  await page.waitForFunction(isSettled, WAIT);
}

async function begin(button = "start") {
  await page.click(`#${button}`);
  await page.waitForFunction(() => edgeVos.session.isRunning && edgeVos.session.steps > 0, WAIT);
}

/** Put the finger down and drag it over the picture; places are parts of its width and height. */
async function drag(...places) {
  const points = await page.evaluate((given) => {
    const box = document.getElementById("view").getBoundingClientRect();
    const { width, height } = document.getElementById("view");
    const scale = Math.min(box.width / width, box.height / height);
    return given.map(([x, y]) => [
      box.left + (box.width - width * scale) / 2 + x * width * scale,
      box.top + (box.height - height * scale) / 2 + y * height * scale,
    ]);
  }, places);
  await page.mouse.move(...points[0]);
  await page.mouse.down();
  for (const point of points.slice(1)) await page.mouse.move(...point, { steps: 4 });
}

/** Drag, or tap. */
async function draw(...places) {
  await drag(...places);
  await page.mouse.up();
}

/** Keep everything of the next steps; begins with the one that `action` prompts. */
async function keep(count, action, probabilities = false) {
  await page.evaluate(async (n, all) => {
    await edgeVos.session.client.ask("tellAll", { on: true });
    const kept = [];
    globalThis.kept = kept;
    edgeVos.session.onStep = (step) => {
      if (!step.result || kept.length === n) return;
      kept.push({
        content: step.content.data, mask: step.result.mask, size: [step.content.height, step.content.width],
        view: step.result.view, model: step.model, shown: step.shown, objects: step.result.objects,
        wide: step.wide?.data ?? null, wideSize: step.wide ? [step.wide.height, step.wide.width] : null,
        probability: all ? step.probability : null,
      });
    };
  }, count, probabilities);
  await action();
  await page.waitForFunction((n) => globalThis.kept.length >= n, WAIT, count);
  await page.evaluate(() => (edgeVos.session.onStep = null));
  const once = await page.evaluate(() => ["shown", "wide"].filter((name) => kept[0][name] !== null));
  for (const name of ["content", "mask", ...once, ...(probabilities ? ["probability"] : [])]) {
    const parts = [];
    for (let n = 0; n < (once.includes(name) ? 1 : count); n++) {
      const packed = await page.evaluate((field, at) => {
        const array = kept[at][field];
        const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
        let result = "";
        for (let i = 0; i < bytes.length; i += 32768) result += String.fromCharCode(...bytes.subarray(i, i + 32768));
        return btoa(result);
      }, name, n);
      parts.push(Buffer.from(packed, "base64"));
    }
    writeFileSync(join(wish.out, `${name}.bin`), Buffer.concat(parts));
  }
  return page.evaluate(() => ({
    frame: [edgeVos.session.frame.height, edgeVos.session.frame.width],
    wideSize: kept[0].wideSize,
    steps: kept.map(({ size, view, model, objects }) => ({ size, view, model, objects })),
  }));
}

const check = () => page.evaluate(() => edgeVos.checkDevice());

const TASKS = {
  /** Whether the browser runs at all. */
  async probe() {
    await page.goto("about:blank");
    return await page.evaluate(() => navigator.userAgent);
  },

  /** The recording on each build; on the first one a whole run with a camera, recorded. */
  async builds() {
    const found = {};
    for (const build of wish.builds) {
      await open(`?build=${build}`);
      const { found: golden, report } = await check();
      const loaded = await page.evaluate(() => ({ build: edgeVos.session.loaded.build, threads: edgeVos.session.loaded.threads }));
      found[build] = { ...loaded, golden, report };
    }
    return found;
  },

  async follow() {
    await open(wish.query);
    await begin();
    return keep(wish.frames, () => draw(...wish.box), wish.probabilities);
  },

  /** What a person does: two objects, a name, a correction, effects, a recording, drop, reset. */
  async person() {
    await open();
    await begin("sample");
    await drag(...wish.box);
    await page.waitForFunction(() => edgeVos.gestures.preview, WAIT);
    const begun = await page.evaluate(() => edgeVos.session.objects.size);
    await page.screenshot({ path: join(wish.out, "preview.png") });
    await page.mouse.up();
    await page.waitForFunction(() => edgeVos.session.result?.objects.length === 1, WAIT);
    await page.screenshot({ path: join(wish.out, "followed.png") });
    await page.click(".object [aria-label=Rename]");
    await page.type("#name", "the rider");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => !document.querySelector("dialog[open]"), WAIT);
    await page.waitForFunction(() => document.querySelector(".object b").textContent !== "Object 1", WAIT);
    const named = await page.$eval(".object b", (element) => element.textContent);
    await page.click(".object.add");
    await page.click("[data-tool=points]");
    await draw(wish.tap);
    await page.waitForFunction(() => edgeVos.session.result?.objects.length === 2, WAIT);
    await page.click("[data-tool=brush]");
    await page.click("[data-sign=erase]");
    await page.evaluate(() => {
      globalThis.areas = [];
      edgeVos.session.onStep = ({ result }) => {
        if (result) areas.push(result.objects.find((one) => one.id === 2)?.areaPx ?? 0);
      };
    });
    await page.waitForFunction(() => areas.length > 0, WAIT);
    const begunAt = await page.evaluate(() => areas.length);
    // The video goes on at its own rate, so the stroke goes where the object is by now: right across it.
    await draw(...(await page.evaluate(() => {
      const { height, width } = edgeVos.session.frame;
      const [left, top, wide, high] = edgeVos.session.result.objects.find((one) => one.id === 2).box;
      return [left, left + wide].map((x) => [x / width, (top + high / 2) / height]);
    })));
    await page.waitForFunction((n) => areas.length > n + 3, WAIT, begunAt);
    // The object moves on and its mask with it, so the steps just before and after are compared.
    const [before, after] = await page.evaluate((n) => {
      edgeVos.session.onStep = null;
      const changes = areas.map((area, at) => area - (areas[at - 1] ?? area)), most = Math.min(...changes.slice(n));
      const at = changes.lastIndexOf(most);
      return [areas[at - 1], areas[at]];
    }, begunAt);
    await page.click("[data-effect=green]");
    const corner = () => page.evaluate(() => [...document.getElementById("view").getContext("2d").getImageData(3, 3, 1, 1).data]);
    await page.waitForFunction(() => edgeVos.painter.effect === "green");
    const now = await page.evaluate(() => edgeVos.session.steps);
    await page.waitForFunction((n) => edgeVos.session.steps > n + 1, WAIT, now);
    const green = await corner();
    await page.evaluate(() => {
      HTMLAnchorElement.prototype.click = function () { globalThis.saved = { name: this.download, href: this.href }; };
    });
    await page.click("#record");
    await page.waitForFunction((n) => edgeVos.session.steps > n + 12, WAIT, now);
    await page.click("#record");
    await page.waitForFunction(() => globalThis.saved, WAIT);
    const recorded = await page.evaluate(async () => {
      const video = document.createElement("video");
      video.muted = true;
      video.src = saved.href;
      await video.play();
      return { name: saved.name, size: [video.videoHeight, video.videoWidth] };
    });
    await page.click(".object[data-id='2']");
    await page.click(".object [aria-label=Drop]");
    await page.waitForFunction(() => edgeVos.session.result?.objects.length === 1, WAIT);
    await page.click("#more");
    await page.screenshot({ path: join(wish.out, "menu.png") });
    await page.click("#reset");
    await page.waitForFunction(() => edgeVos.session.result === null, WAIT);
    return { begun, named, before, after, green, recorded, objects: await page.evaluate(() => edgeVos.session.objects.size) };
  },

  /** Masks of prompts on a given frame; one `after` another corrects the object that it found. */
  async prompts() {
    await open();
    const read = ({ path, ...size }) => ({ ...size, packed: readFileSync(path).toString("base64") });
    return page.evaluate(async (packed, prompts) => {
      const [frame, content, stroke] = packed.map(({ packed, ...size }) => ({
        ...size, data: Uint8ClampedArray.from(atob(packed), (one) => one.charCodeAt(0)),
      }));
      const { height, width } = frame;
      const size = { height, width };
      const view = { top: 0, bottom: height, left: 0, right: width };
      const { client } = edgeVos.session;
      const found = [];
      for (const { after, ...prompt } of prompts) {
        let now = null;
        await client.ask("reset");
        if (after !== undefined) {
          const mask = { ...size, data: Uint8Array.from(found[after].mask) };
          await client.ask("show", { frame: size, prompts: [{ kind: "mask", id: 1, mask }], drops: [] });
          now = [...(await client.ask("step", { content, view, frame: size })).result.mask];
        }
        if (prompt.kind === "brush") prompt.stroke = { ...size, data: Uint8Array.from(stroke.data) };
        const { mask } = await client.ask("find", { frame, prompt });
        found.push({ mask: [...mask.data], now });
      }
      return found;
    }, [wish.frame, wish.content, wish.stroke].map(read), wish.prompts);
  },

  /** A host without the headers, and then no host at all. */
  async offline() {
    await page.goto(wish.url);
    await page.waitForFunction(() => self.crossOriginIsolated && globalThis.edgeVos?.session?.loaded, WAIT);
    await page.waitForFunction(() => navigator.serviceWorker.controller, WAIT);
    const build = await page.evaluate(() => edgeVos.session.loaded.build);
    const navigations = asked.filter(([, url]) => url.split("?")[0] === wish.url).length;
    await page.waitForFunction(async (n) => {
      const [name] = await caches.keys();
      return (await (await caches.open(name)).keys()).length >= n;
    }, WAIT, wish.kept);
    const upload = await page.evaluate(async (other) => {
      const say = (promise) => promise.then(() => "sent", (error) => error.name);
      return [await say(fetch(other, { method: "POST", body: "pixels", mode: "no-cors" })), await say(fetch(other, { mode: "no-cors" }))];
    }, wish.elsewhere);
    process.stdout.write("close\n");
    await new Promise((next) => createInterface({ input: process.stdin }).once("line", next));
    asked.length = 0;
    await page.evaluate(() => {
      globalThis.isOld = true;
      location.reload();
    });
    await page.waitForFunction(() => !globalThis.isOld && globalThis.edgeVos?.session?.loaded, WAIT);
    const { found } = await check();
    await begin("sample");
    await draw(...wish.box);
    await page.waitForFunction(() => edgeVos.session.result?.objects[0]?.areaPx > 0, WAIT);
    return { build, navigations, upload, golden: found, methods: [...new Set(asked.map(([method]) => method))] };
  },

  /** The camera's picture turns, as it does with the phone. */
  async turn() {
    await open();
    await page.evaluate(() => {
      const canvas = Object.assign(document.createElement("canvas"), { width: 640, height: 360 });
      const pen = canvas.getContext("2d");
      globalThis.scene = { turned: false, still: false, tick: 0 };
      const paint = () => {
        const { turned, still } = globalThis.scene;
        if (!still) globalThis.scene.tick++;
        canvas.width = turned ? 360 : 640;
        canvas.height = turned ? 640 : 360;
        if (turned) pen.setTransform(0, 1, -1, 0, 360, 0);
        for (let x = 0; x < 640; x += 40) for (let y = 0; y < 360; y += 40) {
          const grey = 70 + ((x * 7 + y * 13) % 90);
          pen.fillStyle = `rgb(${grey},${grey + 12},${grey - 10})`;
          pen.fillRect(x, y, 40, 40);
        }
        pen.fillStyle = "rgb(225,60,40)";
        pen.beginPath();
        pen.arc(220 + Math.abs((globalThis.scene.tick % 80) - 40), 150, 70, 0, 7); // there and back, with no jump
        pen.fill();
        pen.setTransform(1, 0, 0, 1, 0, 0);
      };
      paint();
      setInterval(paint, 60);
      const stream = canvas.captureStream(15);
      navigator.mediaDevices.getUserMedia = async () => stream;
    });
    await begin();
    await page.waitForFunction(() => edgeVos.session.frame.width === 640, WAIT);
    await page.click("[data-tool=points]");
    await draw([240 / 640, 150 / 360]);
    await page.waitForFunction(() => edgeVos.session.result?.objects[0]?.areaPx > 0, WAIT);
    const before = await page.evaluate(() => edgeVos.session.model.folder);
    // It stands still for the turn, which takes a slow machine long; its mask is not moved meanwhile.
    await page.evaluate(() => (globalThis.scene.still = true));
    const now = await page.evaluate(() => edgeVos.session.steps);
    await page.waitForFunction((n) => edgeVos.session.steps > n + 1, WAIT, now);
    await page.evaluate(() => (globalThis.scene.turned = true));
    await page.waitForFunction((old) => edgeVos.session.model.folder !== old && edgeVos.session.result, WAIT, before);
    await page.evaluate(() => (globalThis.scene.still = false));
    const kept = await keep(8, async () => {});
    return { ...kept, before, said: await text("toast") };
  },

  /** Follow the sample clip's object for long, and look at the memory every ten seconds. */
  async soak() {
    await open();
    await begin("sample");
    await draw(...wish.box);
    await page.waitForFunction(() => edgeVos.session.result?.objects[0]?.areaPx > 0, WAIT);
    const began = Date.now();
    const found = [];
    while (Date.now() - began < 1000 * wish.seconds) {
      await new Promise((next) => setTimeout(next, 10000));
      const heap = (await page.metrics()).JSHeapUsedSize;
      const [engine, steps] = await page.evaluate(() => [edgeVos.session.figures.memoryBytes, edgeVos.session.steps]);
      found.push({ seconds: (Date.now() - began) / 1000, engine, heap, steps });
    }
    return found;
  },

  /** The recordings of a bundle for ONNX Runtime Web. */
  async onnx() {
    await page.goto(wish.url);
    return page.evaluate(() => import("/example.js").then(({ verify }) => verify("bundle")));
  },

  /** What the page says when something is denied. */
  async denied() {
    if (wish.noStorage) {
      await page.evaluateOnNewDocument(() => {
        navigator.serviceWorker.register = async () => { throw new DOMException("storage is blocked", "SecurityError"); };
      });
    }
    if (wish.noCamera) {
      await page.evaluateOnNewDocument(() => {
        navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("denied", "NotAllowedError"); };
      });
    }
    await open(wish.query);
    const failed = await page.evaluate(() => document.body.dataset.failed ?? "");
    if (failed) return { failed, loading: await text("loading") };
    await page.waitForFunction(() => document.body.dataset.state === "ready", WAIT);
    const loading = await text("loading");
    let toast = "";
    if (wish.noCamera) {
      await page.click("#start");
      await page.waitForFunction(() => !document.getElementById("toast").hidden, WAIT);
      toast = await text("toast");
    }
    await begin("sample");
    await draw(...wish.box);
    await page.waitForFunction(() => edgeVos.session.result?.objects[0]?.areaPx > 0, WAIT);
    return { failed, loading, toast, build: await page.evaluate(() => edgeVos.session.loaded.build) };
  },
};

try {
  const found = await TASKS[wish.task]();
  await leave({ found, asked, problems });
} catch (error) {
  const failed = `${error.message}\nit waited for: ${doing}`;
  const late = new Promise((next) => setTimeout(next, CLOSE_MS, "(the page does not answer)"));
  const where = await Promise.race([page.evaluate(told).catch(() => ""), late]);
  await leave({ failed: `${failed}\n${problems.join("\n")}\n${where}` });
}
