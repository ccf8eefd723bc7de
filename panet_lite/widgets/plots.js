// Two plots that are redrawn while the reader turns alpha: margins, and the loss.

const USUAL = { cosine: "the paper's", euclidean: "the default" }; // what ALPHA says of each distance
const SIZE = { width: 250, height: 200, left: 34, right: 22, top: 20, bottom: 32 }; // of a plot, in its own units

function plot(label) {
  const { width, height } = SIZE;
  const drawing = svg("svg", {
    viewBox: `0 0 ${width} ${height}`,
    role: "img",
    "aria-label": label,
    "font-size": 12,
    fill: "currentColor",
    style: "display: block; width: 100%",
  });
  const caption = element("figcaption");
  return Object.assign(element("figure", { class: "panet-picture" }, drawing, caption), { drawing, caption });
}

const across = (t) => SIZE.left + t * (SIZE.width - SIZE.left - SIZE.right);
const up = (t) => SIZE.height - SIZE.bottom - t * (SIZE.height - SIZE.top - SIZE.bottom);
const label = (text, x, y, anchor = "middle") => svg("text", { x, y, "text-anchor": anchor }, text);
const line = (points, attributes = {}) =>
  svg("polyline", {
    points: points.map(([x, y]) => `${across(x)},${up(y)}`).join(" "),
    fill: "none",
    stroke: "currentColor",
    ...attributes,
  });
const frame = () =>
  line(
    [
      [0, 1],
      [0, 0],
      [1, 0],
    ],
    { stroke: "var(--panet-line)" },
  );

function drawHistogram(figure, { alpha, distance, fixed }, hatch) {
  const { low, high, shares } = fixed.histogram;
  const place = (margin) => (margin - low) / (high - low);
  const most = Math.max(...shares.flatMap((bins) => [...bins]));
  const steps = (bins) => [
    [0, 0],
    ...[...bins].flatMap((v, i) => [
      [i / BINS, v / most],
      [(i + 1) / BINS, v / most],
    ]),
    [1, 0],
  ];
  const curve = Array.from({ length: 121 }, (_, i) => [
    i / 120,
    1 / (1 + Math.exp(-alpha * (low + ((high - low) * i) / 120))),
  ]);
  const lines = svg(
    "pattern",
    { id: hatch, width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
    svg("line", { x1: 0, y1: 0, x2: 0, y2: 5, stroke: COLOURS[0], "stroke-width": 4 }),
  );
  figure.drawing.replaceChildren(
    svg("defs", {}, lines),
    line(steps(shares[0]), { fill: BACKGROUND, "fill-opacity": 0.55, stroke: "var(--panet-soft)" }),
    line(steps(shares[1]), { fill: `url(#${hatch})`, "fill-opacity": 0.8, "stroke-width": 1.5 }),
    frame(),
    line(
      [
        [place(0), 0],
        [place(0), 1],
      ],
      { "stroke-dasharray": "4 3" },
    ),
    line(curve, { stroke: "var(--panet-paper)", "stroke-width": 5 }),
    line(curve, { "stroke-width": 2.5 }),
    ...[0, 0.5, 1].map((p) => label(String(p), SIZE.left - 5, up(p) + 4, "end")),
    ...[low, 0, high].map((m, i) =>
      label(i === 1 ? "0" : short(Number(m.toPrecision(2))), across(place(m)), up(0) + 13),
    ),
    label(
      distance === "cosine" ? "cosine to object − to background" : "distance² to background − to object",
      across(0.5),
      up(0) + 27,
    ),
    label("P(object)", 4, 11, "start"),
  );
}

function drawLosses(figure, { alpha, distance, fixed, result }) {
  const [low, high] = [Math.min(...fixed.losses, result.loss), Math.max(...fixed.losses, result.loss)].map(
    Math.log,
  );
  const height = (loss) => 0.06 + (0.88 * (Math.log(loss) - low)) / (high - low || 1);
  const place = (a) => Math.min(1, Math.max(0, (Math.log10(a) + 4) / 6));
  const usual = place(ALPHA[distance]);
  const ticks = [0.01, 0.1, 1, 10, 100, 1e3, 1e4, 1e5].flatMap((ten) =>
    [1, 2, 3, 5].map((v) => Number((v * ten).toPrecision(1))),
  );
  const shown = ticks
    .filter((v) => height(v) >= 0 && height(v) <= 1)
    .filter((v, _, all) => all.length < 7 || String(v).includes("1"));
  const written = (v) => (v < 1e4 ? String(v) : v.toExponential().replace("+", "")); // five digits do not fit
  const dot = {
    cx: across(place(alpha)),
    cy: up(height(result.loss)),
    r: 6,
    fill: COLOURS[5],
    stroke: "currentColor",
  };
  const [bestX, bestY] = [across(place(fixed.best)), up(height(Math.min(...fixed.losses)))];
  figure.drawing.replaceChildren(
    frame(),
    line(
      [
        [usual, 0],
        [usual, 1],
      ],
      { "stroke-dasharray": "4 3", stroke: "var(--panet-soft)" },
    ),
    label(`${USUAL[distance]} ${ALPHA[distance]}`, across(usual), 11),
    line(
      fixed.losses.map((loss, i) => [place(ALPHAS[i]), height(loss)]),
      { "stroke-width": 2.5 },
    ),
    svg("path", { d: `M${bestX - 5},${bestY + 13}h10l-5,-9z` }),
    svg("circle", dot),
    ...shown.map((v) => label(written(v), SIZE.left - 5, up(height(v)) + 4, "end")),
    ...[0.0001, 0.01, 1, 100].map((a) => label(String(a), across(place(a)), up(0) + 13)),
    label("alpha", across(0.5), up(0) + 27),
    label("loss", 4, 11, "start"),
  );
}
