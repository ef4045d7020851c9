// @ts-check
// The least cut of a graph of pixels with eight neighbours each, by two growing trees.
// Paper: https://doi.org/10.1109/TPAMI.2004.60 (Boykov and Kolmogorov).

const FREE = -1;
const TERMINAL = -2;
const ORPHAN = -3;

export class Graph {
  /** @param {number} nodes @param {number} most edges, in one direction */
  constructor(nodes, most) {
    this.first = new Int32Array(nodes).fill(-1);
    this.excess = new Float64Array(nodes);
    this.to = new Int32Array(2 * most);
    this.next = new Int32Array(2 * most);
    this.capacity = new Float64Array(2 * most);
    this.edges = 0;
    this.fromSource = new Uint8Array(nodes);
  }

  /** @param {number} node @param {number} source @param {number} sink */
  terminal(node, source, sink) {
    this.excess[node] += source - sink;
  }

  /** @param {number} a @param {number} b @param {number} weight both ways */
  connect(a, b, weight) {
    for (const [from, to] of [[a, b], [b, a]]) {
      this.to[this.edges] = to;
      this.capacity[this.edges] = weight;
      this.next[this.edges] = this.first[from];
      this.first[from] = this.edges++;
    }
  }

  /** Find the cut: afterwards `fromSource` is 1 on the source's side. */
  cut() {
    const { first, to, next, capacity, excess } = this;
    const nodes = first.length;
    const parent = new Int32Array(nodes).fill(FREE);
    const inSink = new Uint8Array(nodes);
    const stamp = new Int32Array(nodes);
    const distance = new Int32Array(nodes);
    const isActive = new Uint8Array(nodes);
    /** @type {number[]} */
    let queue = [];
    let head = 0;
    /** @type {number[]} */
    const orphans = [];
    let time = 0;
    /** @param {number} node */
    const activate = (node) => {
      if (!isActive[node]) {
        isActive[node] = 1;
        queue.push(node);
      }
    };
    for (let node = 0; node < nodes; node++) {
      if (!excess[node]) continue;
      parent[node] = TERMINAL;
      inSink[node] = excess[node] < 0 ? 1 : 0;
      distance[node] = 1;
      activate(node);
    }
    /** @param {number} node @returns {number} the edge from the source's tree to the sink's, or -1 */
    const grow = (node) => {
      for (let edge = first[node]; edge >= 0; edge = next[edge]) {
        const along = inSink[node] ? edge ^ 1 : edge;
        if (!capacity[along]) continue;
        const other = to[edge];
        if (parent[other] === FREE) {
          parent[other] = edge ^ 1;
          inSink[other] = inSink[node];
          stamp[other] = stamp[node];
          distance[other] = distance[node] + 1;
          activate(other);
        } else if (inSink[other] !== inSink[node]) {
          return along;
        } else if (stamp[other] <= stamp[node] && distance[other] > distance[node]) {
          parent[other] = edge ^ 1;
          stamp[other] = stamp[node];
          distance[other] = distance[node] + 1;
        }
      }
      return -1;
    };
    /** @param {number} node */
    const orphan = (node) => {
      parent[node] = ORPHAN;
      orphans.push(node);
    };
    /** @param {number} middle the edge from tree to tree */
    const augment = (middle) => {
      let least = capacity[middle];
      let node = to[middle ^ 1];
      for (; parent[node] !== TERMINAL; node = to[parent[node]]) {
        least = Math.min(least, capacity[parent[node] ^ 1]);
      }
      least = Math.min(least, excess[node]);
      node = to[middle];
      for (; parent[node] !== TERMINAL; node = to[parent[node]]) {
        least = Math.min(least, capacity[parent[node]]);
      }
      least = Math.min(least, -excess[node]);
      capacity[middle] -= least;
      capacity[middle ^ 1] += least;
      node = to[middle ^ 1];
      while (parent[node] !== TERMINAL) {
        const up = parent[node];
        capacity[up] += least;
        capacity[up ^ 1] -= least;
        const above = to[up];
        if (!capacity[up ^ 1]) orphan(node);
        node = above;
      }
      excess[node] -= least;
      if (!excess[node]) orphan(node);
      node = to[middle];
      while (parent[node] !== TERMINAL) {
        const up = parent[node];
        capacity[up ^ 1] += least;
        capacity[up] -= least;
        const above = to[up];
        if (!capacity[up]) orphan(node);
        node = above;
      }
      excess[node] += least;
      if (!excess[node]) orphan(node);
    };
    /** @param {number} node give it another parent in its tree, or set it free */
    const adopt = (node) => {
      let best = FREE;
      let least = Infinity;
      for (let edge = first[node]; edge >= 0; edge = next[edge]) {
        const towards = inSink[node] ? edge : edge ^ 1;
        let other = to[edge];
        if (!capacity[towards] || inSink[other] !== inSink[node] || parent[other] === FREE) continue;
        let far = 0;
        for (;;) {
          if (stamp[other] === time) {
            far += distance[other];
            break;
          }
          far++;
          if (parent[other] === TERMINAL) {
            stamp[other] = time;
            distance[other] = 1;
            break;
          }
          if (parent[other] < 0) {
            far = Infinity;
            break;
          }
          other = to[parent[other]];
        }
        if (far === Infinity) continue;
        if (far < least) {
          least = far;
          best = edge;
        }
        for (other = to[edge]; stamp[other] !== time; other = to[parent[other]]) {
          stamp[other] = time;
          distance[other] = far--;
        }
      }
      if (best !== FREE) {
        parent[node] = best;
        stamp[node] = time;
        distance[node] = least + 1;
        return;
      }
      stamp[node] = 0;
      for (let edge = first[node]; edge >= 0; edge = next[edge]) {
        const other = to[edge];
        if (parent[other] === FREE || inSink[other] !== inSink[node]) continue;
        if (capacity[inSink[node] ? edge : edge ^ 1]) activate(other);
        if (parent[other] >= 0 && to[parent[other]] === node) orphan(other);
      }
      parent[node] = FREE;
    };
    let node = -1;
    for (;;) {
      if (node < 0 || parent[node] === FREE) {
        node = -1;
        while (head < queue.length && node < 0) {
          const candidate = queue[head++];
          isActive[candidate] = 0;
          if (parent[candidate] !== FREE) node = candidate;
        }
        if (head > 65536) {
          queue = queue.slice(head);
          head = 0;
        }
        if (node < 0) break;
      }
      const middle = grow(node);
      if (middle < 0) {
        node = -1;
        continue;
      }
      time++;
      augment(middle);
      while (orphans.length) adopt(/** @type {number} */ (orphans.pop()));
    }
    for (let i = 0; i < nodes; i++) this.fromSource[i] = parent[i] !== FREE && !inSink[i] ? 1 : 0;
  }
}
