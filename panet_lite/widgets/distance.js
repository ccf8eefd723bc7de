// Turn alpha, exchange the distance: what moves in the query's probabilities, and what does not (Sec. 3.4).

// Twenty values to a decade, evenly spread in the logarithm, and round enough to be read.
const DECADE = [1, 1.1, 1.25, 1.4, 1.6, 1.8, 2, 2.2, 2.5, 2.8, 3.2, 3.6, 4, 4.5, 5, 5.6, 6.3, 7.1, 8, 9];
const ALPHAS = [...[0.1, 1, 10].flatMap((ten) => DECADE.map((v) => Number((v * ten).toPrecision(3)))), 100];
const USUAL = { cosine: "the paper's", euclidean: "the default" }; // what ALPHA says of each distance
const BINS = 40;
const SIZE = { width: 250, height: 200, left: 34, right: 22, top: 20, bottom: 32 }; // of a plot, in its own units

const nearest = (alpha) => ALPHAS.reduce((best, a, i) => (Math.abs(Math.log(a / alpha)) < Math.abs(Math.log(ALPHAS[best] / alpha)) ? i : best), 0);
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
  return { low, high, shares: counts.map((bins, kind) => bins.map((count) => count / Math.max(totals[kind], 1))) };
}

// The state of the widget, and what follows from it. What does not depend on alpha is computed once.
class Matching {
  constructor(model, scene) {
    Object.assign(this, { model, scene, query: scene.features[scene.supports], truth: scene.truth[0] });
    this.readMasks();
    this.read();
  }

  readMasks() {
    const { H, W, supports, pixels, ways } = this.scene;
    const all = checkLabels(unpack(this.model.get("label_map"), "uint8", [supports, H, W], "label_map"), ways, "label_map");
    const means = Array.from({ length: supports }, (_, n) => supportMeans(this.scene, n, all.slice(n * pixels, (n + 1) * pixels)));
    this.prototypes = supportPrototypes(this.scene, means);
    this.known = {};
  }

  read() {
    const [alpha, distance] = [this.model.get("alpha"), this.model.get("distance")];
    if (!(Number.isFinite(alpha) && alpha > 0)) throw new Error("alpha should be a positive number, and is not.");
    if (!Object.hasOwn(ALPHA, distance)) throw new Error(`distance should be one of ${Object.keys(ALPHA).join(", ")}, and is not.`);
    Object.assign(this, { alpha, distance });
  }

  get fixed() {
    return (this.known[this.distance] ??= this.measure());
  }

  measure() {
    const scores = upsample(match(this.query, this.prototypes, this.scene, 1, this.distance), this.scene);
    const usual = segment(match(this.query, this.prototypes, this.scene, ALPHA[this.distance], this.distance), this.scene);
    const losses = ALPHAS.map((alpha) => meanLoss(scores, this.truth, alpha));
    const best = ALPHAS[losses.indexOf(Math.min(...losses))];
    return { scores, usual: usual.labels, losses, best, histogram: histogram(scores, this.truth) };
  }

  compute() {
    const { scene, alpha, distance, fixed } = this;
    const { probabilities, labels } = segment(match(this.query, this.prototypes, scene, alpha, distance), scene);
    const entropy = entropies(probabilities, 1 + scene.ways);
    const ious = scene.names.map((_, i) => intersectionOverUnion(labels, this.truth, i + 1));
    const moved = labels.reduce((count, label, i) => count + (label !== fixed.usual[i]), 0);
    this.result = { probabilities, labels, entropy, ious, moved, bits: average(entropy), loss: meanLoss(fixed.scores, this.truth, alpha) };
  }

  sentence() {
    const { ious, moved, bits, loss } = this.result;
    const scores = this.scene.names.map((name, i) => `${name} IoU ${ious[i] === null ? "–" : ious[i].toFixed(2)}`);
    const border = `${moved || "no"} pixel${moved === 1 ? " has" : "s have"} another label than at alpha ${ALPHA[this.distance]}`;
    return `Alpha ${short(this.alpha)}: ${scores.join(", ")}; ${border}; mean entropy ${bits.toFixed(2)} bits, loss ${short(loss)}.`;
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

// ---- plots -------------------------------------------------------------------------------------

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function plot(label) {
  const { width, height } = SIZE;
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, "font-size": 12, fill: "currentColor", style: "display: block; width: 100%" });
  const caption = element("figcaption");
  return Object.assign(element("figure", { class: "panet-picture" }, drawing, caption), { drawing, caption });
}

const across = (t) => SIZE.left + t * (SIZE.width - SIZE.left - SIZE.right);
const up = (t) => SIZE.height - SIZE.bottom - t * (SIZE.height - SIZE.top - SIZE.bottom);
const label = (text, x, y, anchor = "middle") => svg("text", { x, y, "text-anchor": anchor }, text);
const line = (points, attributes = {}) => svg("polyline", { points: points.map(([x, y]) => `${across(x)},${up(y)}`).join(" "), fill: "none", stroke: "currentColor", ...attributes });
const frame = () => line([[0, 1], [0, 0], [1, 0]], { stroke: "var(--panet-line)" });

function drawHistogram(figure, { alpha, distance, fixed }, hatch) {
  const { low, high, shares } = fixed.histogram;
  const place = (margin) => (margin - low) / (high - low);
  const most = Math.max(...shares.flatMap((bins) => [...bins]));
  const steps = (bins) => [[0, 0], ...[...bins].flatMap((v, i) => [[i / BINS, v / most], [(i + 1) / BINS, v / most]]), [1, 0]];
  const curve = Array.from({ length: 121 }, (_, i) => [i / 120, 1 / (1 + Math.exp(-alpha * (low + ((high - low) * i) / 120)))]);
  const lines = svg("pattern", { id: hatch, width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
    svg("line", { x1: 0, y1: 0, x2: 0, y2: 5, stroke: COLOURS[0], "stroke-width": 4 }));
  figure.drawing.replaceChildren(
    svg("defs", {}, lines),
    line(steps(shares[0]), { fill: BACKGROUND, "fill-opacity": 0.55, stroke: "var(--panet-soft)" }),
    line(steps(shares[1]), { fill: `url(#${hatch})`, "fill-opacity": 0.8, "stroke-width": 1.5 }),
    frame(),
    line([[place(0), 0], [place(0), 1]], { "stroke-dasharray": "4 3" }),
    line(curve, { stroke: "var(--panet-paper)", "stroke-width": 5 }),
    line(curve, { "stroke-width": 2.5 }),
    ...[0, 0.5, 1].map((p) => label(String(p), SIZE.left - 5, up(p) + 4, "end")),
    ...[low, 0, high].map((m, i) => label(i === 1 ? "0" : short(Number(m.toPrecision(2))), across(place(m)), up(0) + 13)),
    label(distance === "cosine" ? "cosine to object − to background" : "distance² to background − to object", across(0.5), up(0) + 27),
    label("P(object)", 4, 11, "start"),
  );
}

function drawLosses(figure, { alpha, distance, fixed, result }) {
  const [low, high] = [Math.min(...fixed.losses, result.loss), Math.max(...fixed.losses, result.loss)].map(Math.log);
  const height = (loss) => 0.06 + (0.88 * (Math.log(loss) - low)) / (high - low || 1);
  const place = (a) => Math.min(1, Math.max(0, (Math.log10(a) + 1) / 3));
  const usual = place(ALPHA[distance]);
  const ticks = [0.01, 0.1, 1, 10, 100].flatMap((ten) => [1, 2, 3, 5].map((v) => Number((v * ten).toPrecision(1))));
  const shown = ticks.filter((v) => height(v) >= 0 && height(v) <= 1).filter((v, _, all) => all.length < 7 || String(v).includes("1"));
  const dot = { cx: across(place(alpha)), cy: up(height(result.loss)), r: 6, fill: COLOURS[5], stroke: "currentColor" };
  const [bestX, bestY] = [across(place(fixed.best)), up(height(Math.min(...fixed.losses)))];
  figure.drawing.replaceChildren(
    frame(),
    line([[usual, 0], [usual, 1]], { "stroke-dasharray": "4 3", stroke: "var(--panet-soft)" }),
    label(`${USUAL[distance]} ${ALPHA[distance]}`, across(usual), 11),
    line(fixed.losses.map((loss, i) => [place(ALPHAS[i]), height(loss)]), { "stroke-width": 2.5 }),
    svg("path", { d: `M${bestX - 5},${bestY + 13}h10l-5,-9z` }),
    svg("circle", dot),
    ...shown.map((v) => label(String(v), SIZE.left - 5, up(height(v)) + 4, "end")),
    ...[0.1, 1, 10, 100].map((a) => label(String(a), across(place(a)), up(0) + 13)),
    label("alpha", across(0.5), up(0) + 27),
    label("loss", 4, 11, "start"),
  );
}

// ---- the page ----------------------------------------------------------------------------------

const VIEWS = [["probability", "Probability"], ["entropy", "Entropy"], ["labels", "Labels"]];

function drawQuery(view, image, layer, matching, shown) {
  const { scene, truth, result } = matching;
  const { probabilities, labels, entropy } = result;
  layer.clear();
  if (shown === "labels") layer.labels(labels);
  else if (shown === "entropy") layer.numbers(entropy, 0, Math.log2(1 + scene.ways), 0.85);
  else layer.numbers(probabilities.subarray(0, scene.pixels).map((p) => 1 - p), 0, 1, 0.85);
  scene.names.forEach((_, i) => {
    layer.outline(truth, i + 1, "#000000").outline(truth, i + 1, "#ffe14d", true).outline(labels, i + 1, "#ffffff");
  });
  view.draw(image, layer);
}

// What the colours mean: a bar from the lowest to the highest number.
function scaleBar() {
  const low = element("span", {}, "0");
  const high = element("span");
  const colours = STOPS.map((c) => `rgb(${c})`).join();
  const bar = element("span", { style: `width: 8rem; height: 0.8rem; background: linear-gradient(to right, ${colours})` });
  return Object.assign(element("p", { class: "panet-row" }, low, bar, high), { high });
}

async function build(model, body, { say, guard, on, root }) {
  const scene = openScene(model.get("scene"));
  const matching = new Matching(model, scene);
  const image = await bitmap(scene.images[scene.supports]);
  const layer = new Layer(scene.W, scene.H);
  const [view, histogramPlot, lossPlot] = [picture(scene, "", "The query"), plot("Histogram of margins"), plot("Loss against alpha")];
  const [scale, hatch] = [scaleBar(), unique("hatch")];
  let shown = "probability";

  const redraw = painter(root, guard, () => {
    matching.compute();
    const { alpha, distance, fixed, result } = matching;
    drawQuery(view, image, layer, matching, shown);
    drawHistogram(histogramPlot, matching, hatch);
    drawLosses(lossPlot, matching);
    scale.hidden = shown === "labels";
    scale.high.textContent = shown === "entropy" ? `${short(Math.log2(1 + scene.ways))} bits` : "1: object";
    view.caption.textContent = `Query: white, the prediction; yellow dashes, the truth. Mean entropy ${result.bits.toFixed(2)} bits.`;
    histogramPlot.caption.textContent = "Share of object pixels (hatched) and background pixels (grey); the thick line is the probability.";
    lossPlot.caption.textContent = `Loss ${short(result.loss)} at alpha ${short(alpha)} (disc). Lowest at ${short(fixed.best)} (triangle).`;
    usual.textContent = `Alpha ${ALPHA[distance]} (${USUAL[distance]})`;
  });
  const settle = guard(() => (matching.compute(), redraw(), matching.send(), say(matching.sentence())));
  const turn = (alpha) => ((matching.alpha = alpha), (knob.value = nearest(alpha)), settle());
  const format = (i) => short(i === nearest(matching.alpha) ? matching.alpha : ALPHAS[i]);
  const knob = slider("Alpha", { min: 0, max: ALPHAS.length - 1, step: 1, value: nearest(matching.alpha), format }, (i) => {
    matching.alpha = ALPHAS[i];
    redraw();
  });
  knob.querySelector("input").addEventListener("change", settle);
  const usual = button("", () => turn(ALPHA[matching.distance]));
  const distances = choice("Distance", [["cosine", "Cosine"], ["euclidean", "Squared Euclidean"]], matching.distance, (distance) => {
    matching.distance = distance;
    settle();
  });
  body.append(
    element("div", { class: "panet-row" }, knob, usual, button("Alpha of the lowest loss", () => turn(matching.fixed.best))),
    element("div", { class: "panet-row" }, distances, choice("Show", VIEWS, shown, (value) => ((shown = value), redraw()))),
    scale,
    element("div", { class: "panet-stage" }, view, histogramPlot, lossPlot),
    help(
      ["Alpha multiplies the similarities before the softmax. Turn it from one end to the other and watch the white outline, the line over the histogram, and the loss. Then exchange the distance."],
      [["Tab", "from control to control"], ["arrow keys", "one step of alpha, or the next choice"], ["Page Up, Page Down", "several steps"], ["Home, End", "the smallest and the largest alpha"]],
    ),
  );
  const follow = () => {
    if (matching.sending) return;
    matching.read();
    knob.value = nearest(matching.alpha);
    distances.value = matching.distance;
    redraw();
  };
  on("change:alpha", follow);
  on("change:distance", follow);
  on("change:label_map", () => (matching.readMasks(), redraw()));
  redraw();
}

export default { render: (props) => mount(props, "Distance and temperature", (body, tools) => build(props.model, body, tools)) };
