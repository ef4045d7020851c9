// @ts-check
/// <reference lib="webworker" />
// Keep the page for use without a network, and add the headers that threads need where a host does
// not. `edge-vos web` fills in what is written in capitals.

const scope = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));
const CACHE = "edge-vos-VERSION";
/** @type {string[]} */
const FIRST = JSON.parse('FIRST_FILES');
const POLICY = "PAGE_POLICY";

scope.addEventListener("install", (event) => {
  event.waitUntil(
    caches
      .open(CACHE)
      .then((cache) => cache.addAll(FIRST.map((name) => new Request(name, { cache: "no-cache" }))))
      .then(() => scope.skipWaiting()),
  );
});

scope.addEventListener("activate", (event) => {
  event.waitUntil(
    (async () => {
      for (const name of await caches.keys()) {
        if (name.startsWith("edge-vos-") && name !== CACHE) await caches.delete(name);
      }
      await scope.clients.claim();
    })(),
  );
});

/**
 * Answer for a part of a file: browsers ask for clips in parts.
 * @param {Response} whole
 * @param {string} range
 * @returns {Promise<Response>}
 */
async function part(whole, range) {
  const bytes = await whole.arrayBuffer();
  const [, from, to] = /bytes=(\d*)-(\d*)/.exec(range) ?? [];
  const start = from ? Number(from) : Math.max(bytes.byteLength - Number(to), 0);
  const stop = from && to ? Math.min(Number(to) + 1, bytes.byteLength) : bytes.byteLength;
  const headers = new Headers(whole.headers);
  headers.set("Content-Range", `bytes ${start}-${stop - 1}/${bytes.byteLength}`);
  headers.set("Content-Length", String(stop - start));
  return new Response(bytes.slice(start, stop), { status: 206, headers });
}

/** @param {Response} response @returns {Response} */
function isolated(response) {
  if (response.type === "opaque" || response.status === 0) return response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  headers.set("Content-Security-Policy", POLICY);
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}

scope.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || new URL(request.url).origin !== location.origin) return;
  const range = request.headers.get("range");
  event.respondWith(
    (async () => {
      const cache = await caches.open(CACHE);
      const wanted = request.mode === "navigate" ? "index.html" : request;
      const kept = await cache.match(wanted, { ignoreSearch: true });
      if (kept) return isolated(range ? await part(kept, range) : kept);
      const found = await fetch(request);
      if (found.ok && !range) await cache.put(request, found.clone()).catch(() => {});
      return isolated(found);
    })(),
  );
});
