// Fig. 2 as six steps, there and back, and a support mask that the reader may spoil (Sec. 3.5).

const SPOILS = [
  ["none", "As annotated"], ["shift", "Shifted"], ["grow", "Grown"], ["shrink", "Shrunk"],
  ["elsewhere", "On another region"], ["swap", "Object and background swapped"],
];
const SIZED = ["shift", "grow", "shrink"]; // these have an amount, in image pixels
const PAUSE = 2000; // milliseconds a step is shown while playing

// Prototypes as a strip: a row for each, a cell for each channel of the unit vector, dark below 0, light above.
function drawStrip({ canvas, context }, prototypes, channels) {
  const rows = prototypes.length / channels;
  const [width, height] = [canvas.width / channels, canvas.height / rows];
  for (let j = 0; j < rows; j++) {
    const row = prototypes.subarray(j * channels, (j + 1) * channels);
    const most = row.reduce((m, v) => Math.max(m, Math.abs(v)), 1e-8);
    row.forEach((v, c) => {
      context.fillStyle = `rgb(${shade(0.5 + (0.5 * Math.sign(v)) * Math.sqrt(Math.abs(v) / most))})`;
      context.fillRect(c * width, j * height, width, height - 2);
    });
  }
}

function strip(scene, label) {
  const canvas = element("canvas", { width: scene.channels * 12, height: 40 * (1 + scene.ways), role: "img", "aria-label": label });
  return { canvas, context: canvas.getContext("2d") };
}

// One function for each step that draws it into its figure.
function artists(walk, bitmaps, views, strips) {
  const { scene } = walk;
  const layer = new Layer(scene.W, scene.H);
  const cells = new Layer(scene.w, scene.h);
  const image = () => bitmaps[walk.support];
  const asked = (figure, labels, judge, way) => figure.outline(judge, 1, "#000000").outline(judge, 1, "#ffe14d", true).outline(labels, way, "#ffffff");
  const pooled = () => {
    const [n, way] = [walk.support, wayOf(scene, walk.support)];
    const { weights } = adjointUpsample(completeStrokes(walk.maps[n]), way, scene);
    const most = weights.reduce((a, b) => Math.max(a, b), 1e-8);
    cells.clear();
    weights.forEach((weight, i) => cells.put(i, rgb(wayColour(way)), (0.8 * weight) / most));
    return cells;
  };
  const query = () => {
    const { probabilities, labels } = walk.now.there;
    layer.clear().probabilities(probabilities, labels);
    scene.names.forEach((_, i) => asked(layer, labels, scene.truth[0].map((label) => Number(label === i + 1)), i + 1));
    return layer;
  };
  const cut = () => {
    const [way, { labels, judge }] = [wayOf(scene, walk.support), walk.now.supports[walk.support]];
    const own = labels.map((label) => label * way);
    return asked(layer.clear().labels(own, 0.5, 0.35), own, judge, way);
  };
  const { channels } = scene;
  return [
    () => views[0].repaint(),
    () => (views[1].draw(image(), pooled()), drawStrip(strips[0], walk.now.prototypes, channels)),
    () => views[2].draw(bitmaps[scene.supports], query()),
    () => (views[3].draw(bitmaps[scene.supports], cells.clear().labels(walk.now.cells, 0.6, 0.5)), drawStrip(strips[1], walk.now.back.prototypes, channels)),
    () => views[4].draw(image(), cut()),
    () => views[5].draw(image(), layer.clear().numbers(walk.now.supports[walk.support].losses, 0, 3, 0.9)),
  ];
}

// The picture of step 1: all supports, each with a brush, of which one is shown.
function supportView(walk, bitmaps, tools, handlers) {
  const { scene } = walk;
  const layer = new Layer(scene.W, scene.H);
  const pictures = walk.maps.map((_, n) => {
    const way = wayOf(scene, n);
    const view = picture(scene, "", `Support ${n + 1}: paint the mask of the ${scene.names[way - 1]} here`, { tabindex: 0, role: "application" });
    const change = (painted) => (painted && walk.painted(n), handlers.redraw());
    const { ring } = paintable(view, scene, tools, { map: () => walk.maps[n], way, begin: () => walk.remember(), change, rest: handlers.settle, guard: handlers.guard });
    view.repaint = () => (view.draw(bitmaps[n], layer.clear().labels(walk.maps[n], 0.5, 0.35).outline(walk.maps[n], way, "#ffffff")), ring());
    return view;
  });
  const caption = pictures[0].caption;
  const node = element("figure", { class: "panet-picture" }, ...pictures.map((view) => view.canvas), caption);
  const repaint = () => pictures.forEach((view, n) => ((view.canvas.hidden = n !== walk.support), view.canvas.hidden || view.repaint()));
  return Object.assign(node, { caption, canvas: pictures[0].canvas, repaint });
}

function stage(walk, bitmaps, tools, handlers) {
  const { scene } = walk;
  const views = STAGES.map((title, i) => (i ? picture(scene, "", title) : supportView(walk, bitmaps, tools, handlers)));
  const strips = ["The support's prototypes", "The query's prototypes"].map((label) => strip(scene, label));
  [1, 3].forEach((i, k) => views[i].canvas.after(strips[k].canvas));
  const draw = artists(walk, bitmaps, views, strips);
  const repaint = () => {
    const sentences = walk.sentences();
    views.forEach((view, i) => {
      const [reached, current] = [i < walk.step, i + 1 === walk.step];
      view.classList.toggle("panet-ahead", !reached);
      view.setAttribute("aria-current", current ? "step" : "false");
      view.caption.textContent = `${i + 1}. ${STAGES[i]}${reached && sentences[i][1] ? `: ${sentences[i][1]}` : ""}`;
      if (reached) draw[i]();
    });
  };
  return Object.assign(element("div", { class: "panet-steps" }, ...views), { repaint });
}

// Before and after, side by side.
function table(walk) {
  const cell = (tag, text, attributes = {}) => element(tag, attributes, text);
  const row = (name) => {
    const cells = [cell("td", ""), cell("td", "")];
    return Object.assign(element("tr", {}, cell("th", name, { scope: "row" }), ...cells), { show: (values) => values.forEach((v, i) => (cells[i].textContent = v)) });
  };
  const rows = [row("Query IoU (truth)"), row("Way back, IoU (mask of step 1)"), row("L_PAR")];
  const head = element("tr", {}, cell("th", "", { "aria-hidden": "true" }), cell("th", "As annotated", { scope: "col" }), cell("th", "Now", { scope: "col" }));
  const repaint = () => {
    const both = [walk.before, walk.now];
    rows[0].show(both.map((r) => r.ious.map(decimals).join(", ")));
    rows[1].show(both.map((r) => r.supports.map((s) => decimals(s.iou)).join(", ")));
    rows[2].show(both.map((r) => r.loss.toFixed(3)));
  };
  return Object.assign(element("table", { class: "panet-table" }, element("thead", {}, head), element("tbody", {}, ...rows)), { repaint });
}

async function build(model, body, { say, guard, on, root }) {
  const scene = openScene(model.get("scene"));
  const bitmaps = await Promise.all(scene.images.map(bitmap));
  const walk = new Walk(model, scene);
  const redraw = painter(root, guard, () => {
    pictures.repaint();
    numbers.repaint();
    explained.textContent = `${walk.step}. ${walk.sentences()[walk.step - 1][0]}`;
    [steps.value, spoils.value] = [String(walk.step), walk.spoil];
    amount.hidden = !SIZED.includes(walk.spoil);
    [back.disabled, next.disabled] = [walk.step === 1, walk.step === STAGES.length];
  });
  const settle = guard(() => (redraw(), walk.send(), say(walk.summary())));
  let timer = 0;
  const stop = () => (clearInterval(timer), (timer = 0), (play.textContent = "Play"));
  const go = guard((step) => {
    walk.step = Math.min(STAGES.length, Math.max(1, step));
    redraw();
    walk.send();
    say(`Step ${walk.step}: ${STAGES[walk.step - 1]}. ${walk.sentences()[walk.step - 1].join(" ")}`);
  });
  const tick = () => {
    if (!root.isConnected || walk.step === STAGES.length) stop();
    else go(walk.step + 1);
  };
  const steps = choice("Step", STAGES.map((_, i) => [String(i + 1), String(i + 1)]), String(walk.step), (value) => (stop(), go(Number(value))));
  const back = button("Back", () => (stop(), go(walk.step - 1)));
  const next = button("Next", () => (stop(), go(walk.step + 1)));
  const play = button("Play", () => {
    if (timer) return stop();
    if (calm()) return go(STAGES.length); // nothing moves by itself
    play.textContent = "Pause";
    timer = setInterval(tick, PAUSE);
    go(walk.step === STAGES.length ? 1 : walk.step + 1);
  });
  const spoil = guard((kind) => (walk.remember(), (walk.spoil = kind), walk.respoil(), settle()));
  const spoils = choice("Support mask", SPOILS, walk.spoil, spoil);
  const amount = slider("By", { min: 0, max: 64, step: 2, value: walk.amount, format: (v) => `${v} px` }, guard((v) => ((walk.amount = v), walk.respoil(), redraw())));
  amount.querySelector("input").addEventListener("change", settle);
  const undo = guard(() => {
    const last = walk.history.pop();
    if (last) (walk.setMaps(last.maps), (walk.spoil = last.spoil), settle());
  });
  const tools = brushTools({ undo, clear: guard(() => (walk.remember(), walk.setMaps(walk.maps.map((map) => map.map(() => VOID))), (walk.spoil = ""), settle())) });
  const pictures = stage(walk, bitmaps, tools, { redraw, settle, guard });
  const numbers = table(walk);
  const explained = element("p");
  const which = choice("Support shown", walk.maps.map((_, n) => [String(n), `${n + 1}`]), "0", (n) => ((walk.support = Number(n)), redraw()));
  which.hidden = scene.supports === 1;
  body.append(
    element("div", { class: "panet-row" }, steps, element("span", { class: "panet-row" }, back, next, play), which),
    element("div", { class: "panet-row" }, spoils, amount),
    numbers,
    explained,
    pictures,
    tools,
    help(
      ["White: what was predicted. Yellow dashes: what it is compared with. Dark cells in step 6 cost nothing, light ones 3 or more. Step through once, then go to step 6 and spoil the support's mask; the brush paints on the picture of step 1."],
      [["Tab", "from control to control"], ...BRUSH_HELP],
    ),
  );
  on("change:label_map", () => walk.sending || (walk.readMaps(), redraw()));
  on("change:step", () => walk.sending || (walk.readStep(), redraw()));
  redraw();
}

export default { render: (props) => mount(props, "Alignment, step by step", (body, tools) => build(props.model, body, tools)) };
