// Turn alpha, exchange the distance: what moves in the query's probabilities, and what does not (Sec. 3.4).

const VIEWS = [
  ["probability", "Probability"],
  ["entropy", "Entropy"],
  ["labels", "Labels"],
];

function drawQuery(view, image, layer, matching, shown) {
  const { scene, truth, result } = matching;
  const { probabilities, labels, entropy } = result;
  layer.clear();
  if (shown === "labels") layer.labels(labels);
  else if (shown === "entropy") layer.numbers(entropy, 0, Math.log2(1 + scene.ways), 0.85);
  else
    layer.numbers(
      probabilities.subarray(0, scene.pixels).map((p) => 1 - p),
      0,
      1,
      0.85,
    );
  scene.names.forEach((_, i) => {
    layer
      .outline(truth, i + 1, "#000000")
      .outline(truth, i + 1, "#ffe14d", true)
      .outline(labels, i + 1, "#ffffff");
  });
  view.draw(image, layer);
}

// What the colours mean: a bar from the lowest to the highest number.
function scaleBar() {
  const low = element("span", {}, "0");
  const high = element("span");
  const colours = STOPS.map((c) => `rgb(${c})`).join();
  const bar = element("span", {
    style: `width: 8rem; height: 0.8rem; background: linear-gradient(to right, ${colours})`,
  });
  return Object.assign(element("p", { class: "panet-row" }, low, bar, high), { high });
}

async function build(model, body, { say, guard, on, root }) {
  const scene = openScene(model.get("scene"));
  const matching = new Matching(model, scene);
  const image = await bitmap(scene.images[scene.supports]);
  const layer = new Layer(scene.W, scene.H);
  const [view, histogramPlot, lossPlot] = [
    picture(scene, "", "The query"),
    plot("Histogram of margins"),
    plot("Loss against alpha"),
  ];
  const [scale, hatch] = [scaleBar(), unique("hatch")];
  let shown = "probability";

  const redraw = painter(root, guard, () => {
    matching.compute();
    const { alpha, distance, fixed, result } = matching;
    drawQuery(view, image, layer, matching, shown);
    drawHistogram(histogramPlot, matching, hatch);
    drawLosses(lossPlot, matching);
    scale.hidden = shown === "labels";
    scale.high.textContent =
      shown === "entropy"
        ? `${short(Math.log2(1 + scene.ways))} bit${scene.ways > 1 ? "s" : ""}`
        : "1: object";
    view.caption.textContent = `Query: white, the prediction; yellow dashes, the truth. Mean entropy ${result.bits.toFixed(2)} bits.`;
    histogramPlot.caption.textContent =
      "Share of object pixels (hatched) and background pixels (grey); the thick line is the probability.";
    lossPlot.caption.textContent = `Loss ${short(result.loss)} at alpha ${short(alpha)} (disc). Lowest at ${short(fixed.best)} (triangle).`;
    usual.textContent = `Alpha ${ALPHA[distance]} (${USUAL[distance]})`;
    say(matching.sentence());
  });
  const settle = guard(() => (matching.compute(), redraw(), matching.send()));
  const turn = (alpha) => ((matching.alpha = alpha), (knob.value = nearest(alpha)), settle());
  const format = (i) => short(i === nearest(matching.alpha) ? matching.alpha : ALPHAS[i]);
  const knob = slider(
    "Alpha",
    { min: 0, max: ALPHAS.length - 1, step: 1, value: nearest(matching.alpha), format },
    (i) => {
      matching.alpha = ALPHAS[i];
      redraw();
    },
  );
  knob.querySelector("input").addEventListener("change", settle);
  const usual = button("", () => turn(ALPHA[matching.distance]));
  const distances = choice("Distance", Object.entries(DISTANCES), matching.distance, (distance) => {
    matching.distance = distance;
    settle();
  });
  body.append(
    element(
      "div",
      { class: "panet-row" },
      knob,
      usual,
      button("Alpha of the lowest loss", () => turn(matching.fixed.best)),
    ),
    element(
      "div",
      { class: "panet-row" },
      distances,
      choice("Show", VIEWS, shown, (value) => ((shown = value), redraw())),
    ),
    scale,
    element("div", { class: "panet-stage" }, view, histogramPlot, lossPlot),
    help(
      [
        "Alpha multiplies the similarities before the softmax. Turn it from one end to the other and watch the white outline, the line over the histogram, and the loss. Then exchange the distance.",
      ],
      [
        ["Tab", "from control to control"],
        ["arrow keys", "one step of alpha, or the next choice"],
        ["Page Up, Page Down", "several steps"],
        ["Home, End", "the smallest and the largest alpha"],
      ],
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

export default {
  render: (props) =>
    mount(props, "Distance and temperature", (body, tools) => build(props.model, body, tools)),
};
