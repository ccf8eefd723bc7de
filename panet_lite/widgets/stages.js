// The six pictures of the walk: there in the upper row, back in the lower one.

// Prototypes as a strip: a row for each, a cell for each channel of the unit vector, dark below 0, light above.
function drawStrip({ canvas, context }, prototypes, channels) {
  const rows = prototypes.length / channels;
  const [width, height] = [canvas.width / channels, canvas.height / rows];
  for (let j = 0; j < rows; j++) {
    const row = prototypes.subarray(j * channels, (j + 1) * channels);
    const most = row.reduce((m, v) => Math.max(m, Math.abs(v)), 1e-8);
    row.forEach((v, c) => {
      context.fillStyle = `rgb(${shade(0.5 + 0.5 * Math.sign(v) * Math.sqrt(Math.abs(v) / most))})`;
      context.fillRect(c * width, j * height, width, height - 2);
    });
  }
}

function strip(scene, label) {
  const canvas = element("canvas", {
    width: scene.channels * 12,
    height: 40 * (1 + scene.ways),
    role: "img",
    "aria-label": label,
  });
  return { canvas, context: canvas.getContext("2d") };
}

// One function for each step that draws it into its figure.
function artists(walk, bitmaps, views, strips) {
  const { scene } = walk;
  const layer = new Layer(scene.W, scene.H);
  const cells = new Layer(scene.w, scene.h);
  const image = () => bitmaps[walk.support];
  const asked = (figure, labels, judge, way) =>
    figure.outline(judge, 1, "#000000").outline(judge, 1, "#ffe14d", true).outline(labels, way, "#ffffff");
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
    scene.names.forEach((_, i) =>
      asked(
        layer,
        labels,
        scene.truth[0].map((label) => Number(label === i + 1)),
        i + 1,
      ),
    );
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
    () => (
      views[3].draw(bitmaps[scene.supports], cells.clear().labels(walk.now.cells, 0.6, 0.5)),
      drawStrip(strips[1], walk.now.back.prototypes, channels)
    ),
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
    const view = picture(scene, "", `Support ${n + 1}: paint the mask of the ${scene.names[way - 1]} here`, {
      tabindex: 0,
      role: "application",
    });
    const change = (painted) => (painted && walk.painted(n), handlers.redraw());
    const { ring } = paintable(view, scene, tools, {
      map: () => walk.maps[n],
      way,
      begin: () => walk.remember(),
      change,
      rest: handlers.settle,
      guard: handlers.guard,
    });
    view.repaint = () => (
      view.draw(
        bitmaps[n],
        layer.clear().labels(walk.maps[n], 0.5, 0.35).outline(walk.maps[n], way, "#ffffff"),
      ),
      ring()
    );
    return view;
  });
  const caption = pictures[0].caption;
  const node = element("figure", { class: "panet-picture" }, ...pictures.map((view) => view.canvas), caption);
  const repaint = () =>
    pictures.forEach(
      (view, n) => ((view.canvas.hidden = n !== walk.support), view.canvas.hidden || view.repaint()),
    );
  return Object.assign(node, { caption, canvas: pictures[0].canvas, repaint });
}

function stage(walk, bitmaps, tools, handlers) {
  const { scene } = walk;
  const views = STAGES.map((title, i) =>
    i ? picture(scene, "", title) : supportView(walk, bitmaps, tools, handlers),
  );
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
