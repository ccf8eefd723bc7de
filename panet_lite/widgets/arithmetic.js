// What panet_lite.prototypes, .matching and .alignment say, on typed arrays. No page, no widget.
// A grid is {H, W, h, w}: image size and feature size. Features are (C, h, w), channel by channel; a
// label map is a Uint8Array (H, W): 0 background, 1..ways the classes, VOID says nothing.

// Linear interpolation without aligned corners: each of `large` samples has two neighbours of `small`.
function neighbours(small, large) {
  return Array.from({ length: large }, (_, i) => {
    const x = Math.max(0, ((i + 0.5) * small) / large - 0.5);
    const left = Math.min(Math.floor(x), small - 1);
    return [left, Math.min(left + 1, small - 1), x - left];
  });
}

function gridOf(scene) {
  scene.rows ??= neighbours(scene.h, scene.H);
  scene.columns ??= neighbours(scene.w, scene.W);
  return scene;
}

// The transpose of bilinear upsampling applied to the mask labels === value; returns {weights (h, w), area}.
function adjointUpsample(labels, value, scene) {
  const { H, W, w, cells, rows, columns } = gridOf(scene);
  const weights = new Float64Array(cells);
  const row = new Float64Array(w);
  let area = 0;
  for (let y = 0; y < H; y++) {
    row.fill(0);
    let found = 0;
    for (let x = 0; x < W; x++) {
      if (labels[y * W + x] !== value) continue;
      const [left, right, share] = columns[x];
      row[left] += 1 - share;
      row[right] += share;
      found++;
    }
    if (!found) continue;
    area += found;
    const [top, bottom, share] = rows[y];
    for (let x = 0; x < w; x++) {
      weights[top * w + x] += (1 - share) * row[x];
      weights[bottom * w + x] += share * row[x];
    }
  }
  return { weights, area };
}

// Eq. 1, inner fraction: the mean feature vector under a mask; zeros under an empty one.
function maskedAveragePool(features, labels, value, scene) {
  const { channels, cells } = scene;
  const { weights, area } = adjointUpsample(labels, value, scene);
  return Float32Array.from({ length: channels }, (_, c) => {
    let sum = 0;
    for (let i = 0; i < cells; i++) sum += features[c * cells + i] * weights[i];
    return sum / (area + EPSILON);
  });
}

// The cosine of row j of two lists of prototypes.
function cosine(a, b, j, channels) {
  let [dot, aa, bb] = [0, 0, 0];
  for (let k = j * channels; k < (j + 1) * channels; k++)
    [dot, aa, bb] = [dot + a[k] * b[k], aa + a[k] ** 2, bb + b[k] ** 2];
  return dot / Math.max(Math.sqrt(aa * bb), 1e-8);
}

// A map with strokes but none on the background takes everything unpainted for background.
function completeStrokes(labels) {
  if (labels.includes(0) || !labels.includes(VOID) || labels.every((label) => label === VOID)) return labels;
  return labels.map((label) => (label === VOID ? 0 : label));
}

// Of support n: the means of its background and of its own class (way n / shots, rounded down, plus 1).
function supportMeans(scene, n, labels) {
  const full = completeStrokes(labels);
  return [0, Math.floor(n / scene.shots) + 1].map((value) => maskedAveragePool(scene.features[n], full, value, scene));
}

// Eq. 1-2 from the means of all supports: prototypes (1 + ways, C), background first. active[k]: does
// shot k count?
function supportPrototypes(scene, means, active) {
  const { ways, shots, channels } = scene;
  const out = new Float32Array((1 + ways) * channels);
  const counted = Array.from({ length: shots }, (_, k) => active?.[k] ?? true);
  const number = counted.filter(Boolean).length || 1;
  means.forEach(([background, object], n) => {
    if (!counted[n % shots]) return;
    const way = Math.floor(n / shots) + 1;
    for (let c = 0; c < channels; c++) {
      out[c] += background[c] / (number * ways);
      out[way * channels + c] += object[c] / number;
    }
  });
  return out;
}

// Eq. 3 before its softmax: logits (J, h, w) of features (C, h, w) for prototypes (J, C).
function match(features, prototypes, scene, alpha = scene.alpha, distance = scene.distance) {
  const { channels, cells } = scene;
  const J = prototypes.length / channels;
  const squares = new Float64Array(cells);
  for (let c = 0, k = 0; c < channels; c++) for (let i = 0; i < cells; i++, k++) squares[i] += features[k] ** 2;
  const logits = new Float32Array(J * cells);
  const products = new Float64Array(cells);
  for (let j = 0; j < J; j++) {
    const prototype = prototypes.subarray(j * channels, (j + 1) * channels);
    const square = prototype.reduce((sum, value) => sum + value * value, 0);
    products.fill(0);
    for (let c = 0, k = 0; c < channels; c++) {
      for (let i = 0; i < cells; i++, k++) products[i] += features[k] * prototype[c];
    }
    const length = Math.max(Math.sqrt(square), 1e-8);
    for (let i = 0; i < cells; i++) {
      const cosine = products[i] / (length * Math.max(Math.sqrt(squares[i]), 1e-8));
      logits[j * cells + i] = alpha * (distance === "cosine" ? cosine : 2 * products[i] - squares[i] - square);
    }
  }
  return logits;
}

// Maps (J, h, w) to (J, H, W), bilinear.
function upsample(maps, scene) {
  const { W, w, cells, pixels, rows, columns } = gridOf(scene);
  const out = new Float32Array((maps.length / cells) * pixels);
  const line = new Float64Array(w);
  for (let from = 0, to = 0; from < maps.length; from += cells) {
    for (const [top, bottom, share] of rows) {
      for (let x = 0; x < w; x++) line[x] = (1 - share) * maps[from + top * w + x] + share * maps[from + bottom * w + x];
      for (let x = 0; x < W; x++) {
        const [left, right, part] = columns[x];
        out[to++] = (1 - part) * line[left] + part * line[right];
      }
    }
  }
  return out;
}

// The softmax over J of scores (J, N); Eq. 3.
function softmax(scores, J) {
  const N = scores.length / J;
  const out = new Float32Array(scores.length);
  for (let i = 0; i < N; i++) {
    let most = -Infinity;
    let sum = 0;
    for (let j = 0; j < J; j++) most = Math.max(most, scores[j * N + i]);
    for (let j = 0; j < J; j++) sum += out[j * N + i] = Math.exp(scores[j * N + i] - most);
    for (let j = 0; j < J; j++) out[j * N + i] /= sum;
  }
  return out;
}

// The first of the largest over J; Eq. 4.
function argmax(scores, J) {
  const N = scores.length / J;
  const out = new Uint8Array(N);
  for (let j = 1; j < J; j++) for (let i = 0; i < N; i++) if (scores[j * N + i] > scores[out[i] * N + i]) out[i] = j;
  return out;
}

// Eq. 3-4 at image size: {scores, probabilities (J, H, W), labels (H, W)}.
function segment(logits, scene) {
  const scores = upsample(logits, scene);
  const J = logits.length / scene.cells;
  return { scores, probabilities: softmax(scores, J), labels: argmax(scores, J) };
}

// Of one class; void pixels do not count. null where it is in neither map.
function intersectionOverUnion(predicted, truth, value) {
  let both = 0;
  let either = 0;
  for (let i = 0; i < truth.length; i++) {
    if (truth[i] === VOID) continue;
    const [a, b] = [predicted[i] === value, truth[i] === value];
    both += a && b;
    either += a || b;
  }
  return either ? both / either : null;
}

// The prototypes (J, C) that a query's own prediction gives, pooled at feature size, and which classes
// were predicted at all (Sec. 3.5); for several queries, give arrays of features and of logits.
function queryPrototypes(features, logits, scene) {
  const { channels, cells } = scene;
  const J = logits[0].length / cells;
  const out = new Float32Array(J * channels);
  const areas = new Float64Array(J);
  features.forEach((map, q) => {
    argmax(logits[q], J).forEach((j, i) => {
      areas[j]++;
      for (let c = 0; c < channels; c++) out[j * channels + c] += map[c * cells + i];
    });
  });
  return { prototypes: out.map((v, k) => v / (areas[Math.floor(k / channels)] + EPSILON)), predicted: [...areas].map((a) => a > 0) };
}

// Cross-entropy of each pixel of scores (J, N) against labels (N); NaN where void. Eq. 5 is its mean.
function crossEntropy(probabilities, labels) {
  const N = labels.length;
  return Float32Array.from(labels, (label, i) => (label === VOID ? NaN : -Math.log(Math.max(probabilities[label * N + i], 1e-30))));
}

// Eq. 5 from scores (J, N) for alpha = 1: the mean over valid pixels of log(sum exp) minus the true class's score.
function meanLoss(scores, truth, alpha) {
  const [N, J] = [truth.length, scores.length / truth.length];
  let [sum, valid] = [0, 0];
  for (let i = 0; i < N; i++) {
    if (truth[i] === VOID) continue;
    const own = scores[truth[i] * N + i];
    let [most, total] = [-Infinity, 0];
    for (let j = 0; j < J; j++) most = Math.max(most, scores[j * N + i]);
    for (let j = 0; j < J; j++) total += Math.exp(alpha * (scores[j * N + i] - most));
    sum += Math.log(total) + alpha * (most - own);
    valid++;
  }
  return sum / Math.max(valid, 1);
}

// The entropy of each pixel of probabilities (J, N), in bits.
function entropies(probabilities, J) {
  const N = probabilities.length / J;
  const out = new Float32Array(N);
  for (let k = 0; k < probabilities.length; k++) {
    if (probabilities[k] > 0) out[k % N] -= probabilities[k] * Math.log2(probabilities[k]);
  }
  return out;
}
