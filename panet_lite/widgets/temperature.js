// What follows from alpha and the distance, and what does not depend on alpha (Sec. 3.4). Nothing here draws.

// Twenty values to a decade, evenly spread in the logarithm, and round enough to be read.
const DECADE = [1, 1.1, 1.25, 1.4, 1.6, 1.8, 2, 2.2, 2.5, 2.8, 3.2, 3.6, 4, 4.5, 5, 5.6, 6.3, 7.1, 8, 9];
const TENS = [0.0001, 0.001, 0.01, 0.1, 1, 10];
const ALPHAS = [...TENS.flatMap((ten) => DECADE.map((v) => Number((v * ten).toPrecision(3)))), 100];
const DISTANCES = { cosine: "Cosine", euclidean: "Squared Euclidean" };
const BINS = 40;

const nearest = (alpha) =>
  ALPHAS.reduce(
    (best, a, i) => (Math.abs(Math.log(a / alpha)) < Math.abs(Math.log(ALPHAS[best] / alpha)) ? i : best),
    0,
  );
const short = (value) => String(Number(value.toPrecision(3)));

const average = (values) => values.reduce((sum, v) => sum + v, 0) / values.length;

// How much nearer the nearest class is than the background, counted in bins for either kind of pixel.
function histogram(scores, truth) {
  const [N, J] = [truth.length, scores.length / truth.length];
  const margins = Float32Array.from(truth, (_, i) => {
    let most = -Infinity;
    for (let j = 1; j < J; j++) most = Math.max(most, scores[j * N + i]);
    return most - scores[i];
  });
  let [low, high] = [-1e-6, 1e-6]; // the border is always in sight
  for (const margin of margins) [low, high] = [Math.min(low, margin), Math.max(high, margin)];
  const counts = [new Float64Array(BINS), new Float64Array(BINS)];
  const totals = [0, 0];
  margins.forEach((margin, i) => {
    if (truth[i] === VOID) return;
    const kind = truth[i] ? 1 : 0;
    counts[kind][Math.min(BINS - 1, Math.floor((BINS * (margin - low)) / (high - low)))]++;
    totals[kind]++;
  });
  return {
    low,
    high,
    shares: counts.map((bins, kind) => bins.map((count) => count / Math.max(totals[kind], 1))),
  };
}

// The state of the widget, and what follows from it. What does not depend on alpha is computed once.
class Matching {
  constructor(model, scene) {
    Object.assign(this, { model, scene, query: scene.features[scene.supports], truth: scene.truth[0] });
    this.readMasks();
    this.read();
  }

  readMasks() {
    const maps = unpackMaps(this.model.get("label_map"), this.scene.supports, this.scene, "label_map");
    const means = maps.map((map, n) => supportMeans(this.scene, n, map));
    this.prototypes = supportPrototypes(this.scene, means);
    this.known = {};
  }

  read() {
    const [alpha, distance] = [this.model.get("alpha"), this.model.get("distance")];
    if (!(Number.isFinite(alpha) && alpha > 0))
      throw new Error("alpha should be a positive number, and is not.");
    if (!Object.hasOwn(ALPHA, distance))
      throw new Error(`distance should be one of ${Object.keys(ALPHA).join(", ")}, and is not.`);
    Object.assign(this, { alpha, distance });
  }

  get fixed() {
    return (this.known[this.distance] ??= this.measure());
  }

  measure() {
    const scores = upsample(match(this.query, this.prototypes, this.scene, 1, this.distance), this.scene);
    const usual = segment(
      match(this.query, this.prototypes, this.scene, ALPHA[this.distance], this.distance),
      this.scene,
    );
    const losses = ALPHAS.map((alpha) => meanLoss(scores, this.truth, alpha));
    const best = ALPHAS[losses.indexOf(Math.min(...losses))];
    return { scores, usual: usual.labels, losses, best, histogram: histogram(scores, this.truth) };
  }

  compute() {
    const { scene, alpha, distance, fixed } = this;
    const { probabilities, labels } = segment(
      match(this.query, this.prototypes, scene, alpha, distance),
      scene,
    );
    const entropy = entropies(probabilities, 1 + scene.ways);
    const ious = scene.names.map((_, i) => intersectionOverUnion(labels, this.truth, i + 1));
    const moved = labels.reduce((count, label, i) => count + (label !== fixed.usual[i]), 0);
    this.result = {
      probabilities,
      labels,
      entropy,
      ious,
      moved,
      bits: average(entropy),
      loss: meanLoss(fixed.scores, this.truth, alpha),
    };
  }

  sentence() {
    const { distance, result } = this;
    const { ious, moved, bits, loss } = result;
    const scores = this.scene.names.map(
      (name, i) => `${name} IoU ${ious[i] === null ? "–" : ious[i].toFixed(2)}`,
    );
    const border = `${moved || "no"} pixel${moved === 1 ? " has" : "s have"} another label than at alpha ${ALPHA[distance]}`;
    return `${DISTANCES[distance]}, alpha ${short(this.alpha)}: ${scores.join(", ")}; ${border}; mean entropy ${bits.toFixed(2)} bits, loss ${short(loss)}.`;
  }

  send() {
    this.sending = true;
    this.model.set("alpha", this.alpha);
    this.model.set("distance", this.distance);
    this.model.set("prediction", pack(this.result.labels, [1, this.scene.H, this.scene.W]));
    this.sending = false;
    this.model.save_changes();
  }
}
