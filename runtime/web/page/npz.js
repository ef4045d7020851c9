// @ts-check
// Read numpy's .npz, stored or deflated.

/** @typedef {{ descr: string, shape: number[], data: Float32Array | Uint8Array | Uint16Array }} NpyArray */

const KINDS = { "<f4": Float32Array, "|u1": Uint8Array, "<u2": Uint16Array, "|b1": Uint8Array, "<f2": Uint16Array };

/** @param {Uint8Array<ArrayBuffer>} bytes */
async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** @param {Uint8Array} bytes @returns {NpyArray} */
function readNpy(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const old = bytes[6] === 1;
  const start = old ? 10 : 12;
  const length = old ? view.getUint16(8, true) : view.getUint32(8, true);
  const header = new TextDecoder().decode(bytes.subarray(start, start + length));
  const descr = /'descr': '([^']+)'/.exec(header)?.[1] ?? "";
  const shape = (/'shape': \(([^)]*)\)/.exec(header)?.[1].match(/\d+/g) ?? []).map(Number);
  const Kind = KINDS[/** @type {keyof typeof KINDS} */ (descr)];
  if (!Kind) throw new Error(`golden.npz holds ${descr}, which this page does not read`);
  return { descr, shape, data: new Kind(bytes.slice(start + length).buffer) };
}

/**
 * @param {ArrayBuffer} buffer
 * @returns {Promise<Record<string, NpyArray>>} the arrays by name
 */
export async function readNpz(buffer) {
  const view = new DataView(buffer);
  const all = new Uint8Array(buffer);
  let end = buffer.byteLength - 22;
  while (end >= 0 && view.getUint32(end, true) !== 0x06054b50) end--;
  if (end < 0) throw new Error("golden.npz is damaged");
  /** @type {Record<string, NpyArray>} */
  const arrays = {};
  let at = view.getUint32(end + 16, true);
  for (let n = view.getUint16(end + 10, true); n > 0; n--) {
    const method = view.getUint16(at + 10, true);
    const packed = view.getUint32(at + 20, true);
    const nameLength = view.getUint16(at + 28, true);
    const local = view.getUint32(at + 42, true);
    const name = new TextDecoder().decode(all.subarray(at + 46, at + 46 + nameLength));
    const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    const raw = all.slice(start, start + packed);
    arrays[name.replace(/\.npy$/, "")] = readNpy(method === 8 ? await inflate(raw) : raw);
    at += 46 + nameLength + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  return arrays;
}
