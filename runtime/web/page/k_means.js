// @ts-check
// k-means++ as OpenCV has it, its random numbers included.

const ROUNDS = 10;
const TRIALS = 3;

/** @typedef {{ state: bigint }} Random */

/** @param {Random} random @returns {bigint} 32 bits */
function next(random) {
  random.state = BigInt.asUintN(64, (random.state & 0xffffffffn) * 4164903690n + (random.state >> 32n));
  return random.state & 0xffffffffn;
}

/** @param {Random} random @returns {number} in [0, 1) */
function uniform(random) {
  const high = next(random);
  return Number((high << 32n) | next(random)) * 5.4210108624275221700372640043497e-20;
}

/** @param {Float32Array} samples @param {number} n @param {ArrayLike<number>} centre @param {number} at */
function squaredDistance(samples, n, centre, at) {
  const x = samples[3 * n] - centre[at];
  const y = samples[3 * n + 1] - centre[at + 1];
  const z = samples[3 * n + 2] - centre[at + 2];
  return x * x + y * y + z * z;
}

/**
 * @param {Float32Array} samples (n, 3)
 * @param {number} k
 * @param {Random} random
 * @returns {Float32Array} (k, 3)
 */
function firstCentres(samples, k, random) {
  const count = samples.length / 3;
  const centres = [Number(next(random) % BigInt(count))];
  let distance = new Float32Array(count);
  let sum = 0;
  for (let i = 0; i < count; i++) {
    distance[i] = squaredDistance(samples, i, samples, 3 * centres[0]);
    sum += distance[i];
  }
  while (centres.length < k) {
    let bestSum = Infinity;
    let best = 0;
    let bestDistance = distance;
    for (let trial = 0; trial < TRIALS; trial++) {
      let left = uniform(random) * sum;
      let chosen = 0;
      for (; chosen < count - 1; chosen++) {
        left -= distance[chosen];
        if (left <= 0) break;
      }
      const nearer = new Float32Array(count);
      let total = 0;
      for (let i = 0; i < count; i++) {
        nearer[i] = Math.min(squaredDistance(samples, i, samples, 3 * chosen), distance[i]);
        total += nearer[i];
      }
      if (total < bestSum) {
        bestSum = total;
        best = chosen;
        bestDistance = nearer;
      }
    }
    centres.push(best);
    sum = bestSum;
    distance = bestDistance;
  }
  const result = new Float32Array(3 * k);
  centres.forEach((n, c) => result.set(samples.subarray(3 * n, 3 * n + 3), 3 * c));
  return result;
}

/**
 * Sort samples into clusters.
 * @param {Float32Array} samples (n, 3)
 * @param {number} k
 * @param {Random} random
 * @returns {Int32Array} (n,) the cluster of each
 */
export function kMeans(samples, k, random) {
  const count = samples.length / 3;
  const labels = new Int32Array(count);
  if (count < k) return labels.map((_, n) => n);
  let centres = firstCentres(samples, k, random);
  for (let round = 0; ; ) {
    let shift = round ? 0 : Infinity;
    if (round) {
      const before = centres;
      centres = means(samples, labels, k, before);
      for (let c = 0; c < k; c++) {
        let far = 0;
        for (let i = 0; i < 3; i++) far += (centres[3 * c + i] - before[3 * c + i]) ** 2;
        shift = Math.max(shift, far);
      }
    }
    if (++round === ROUNDS || shift <= 0) return labels;
    for (let n = 0; n < count; n++) {
      let least = Infinity;
      for (let c = 0; c < k; c++) {
        const far = squaredDistance(samples, n, centres, 3 * c);
        if (far < least) {
          least = far;
          labels[n] = c;
        }
      }
    }
  }
}

/**
 * @param {Float32Array} samples
 * @param {Int32Array} labels a cluster that is empty takes the farthest sample of the largest one
 * @param {number} k
 * @param {Float32Array} before
 * @returns {Float32Array} (k, 3)
 */
function means(samples, labels, k, before) {
  const sums = new Float32Array(3 * k);
  const counts = new Int32Array(k);
  for (let n = 0; n < labels.length; n++) {
    for (let i = 0; i < 3; i++) sums[3 * labels[n] + i] += samples[3 * n + i];
    counts[labels[n]]++;
  }
  for (let c = 0; c < k; c++) {
    if (counts[c]) continue;
    const largest = counts.indexOf(Math.max(...counts));
    let farthest = -1;
    let most = 0;
    for (let n = 0; n < labels.length; n++) {
      if (labels[n] !== largest) continue;
      const centre = sums.subarray(3 * largest, 3 * largest + 3).map((one) => one / counts[largest]);
      const far = squaredDistance(samples, n, centre, 0);
      if (far >= most) {
        most = far;
        farthest = n;
      }
    }
    counts[largest]--;
    counts[c]++;
    labels[farthest] = c;
    for (let i = 0; i < 3; i++) {
      sums[3 * largest + i] -= samples[3 * farthest + i];
      sums[3 * c + i] += samples[3 * farthest + i];
    }
  }
  return sums.map((sum, i) => (counts[Math.floor(i / 3)] ? sum / counts[Math.floor(i / 3)] : before[i]));
}
