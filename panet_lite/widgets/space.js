// Pixels and prototypes of an episode as points that can be turned, linked with the images (Sec. 4.3).

const SPACE_KEYS = [
  ["arrow keys", "on the cloud: turn it; on an image: move the marked cell"],
  ["+ and -", "nearer and farther (also the wheel, once the cloud is in focus, and two fingers)"],
  ["0", "the first view"],
  ["Space", "select the marked cell, or leave it out again"],
];
const SPACE_HELP = [
  "Each point is a feature cell. Point at one, or at a cell of an image: both are marked, and the table says what the model makes of it.",
  "Set Drag to Select and draw a line round points, or over an image: they light up in both. The ball takes all points near the marked one, near in the picture.",
];
const WAYS_OF_KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// A table; fill(rows, current) writes it: lists of texts, the first of each the row's head.
function numbers(heads) {
  const [caption, body] = [element("caption"), element("tbody")];
  const head = element("thead", {}, element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text))));
  const row = ([first, ...rest], current) => element(
    "tr", current ? { class: "panet-current", "aria-current": "true" } : {},
    element("th", { scope: "row" }, (current ? "▸ " : "") + first), ...rest.map((text) => element("td", {}, text)),
  );
  const fill = (rows, current) => body.replaceChildren(...rows.map((texts, i) => row(texts, i === current)));
  return Object.assign(element("table", { class: "panet-numbers" }, caption, head, body), { caption, fill });
}

// An image of the episode: labelled as the points are, what is selected lit, the marked cell framed.
function imageView(looking, n, bits, { mark, select, rest, selecting, guard }) {
  const { scene } = looking;
  const { H, W, h, w, cells } = scene;
  const [tint, veil] = [new Layer(W, H), new Layer(W, H)];
  const view = picture(scene, looking.image(n), `${looking.image(n)}: arrow keys move the marked cell, Space selects it`, { tabindex: 0, role: "application" });
  const cellOf = (x, y) => {
    const [column, row] = [(x * w) / W, (y * h) / H].map(Math.floor);
    return n * cells + Math.min(h - 1, Math.max(0, row)) * w + Math.min(w - 1, Math.max(0, column));
  };
  const coloured = () => {
    const labels = looking.colourBy === "truth" ? looking.maps[n] : looking.space.labels[n];
    tint.clear().labels(labels, 0.4);
    scene.names.forEach((_, way) => tint.outline(labels, way + 1, "#ffffff"));
  };
  const lit = () => {
    veil.clear();
    if (!looking.selection.includes(1)) return;
    const map = scene.cellOf.map((cell) => looking.selection[n * cells + cell]);
    map.forEach((on, i) => on || veil.put(i, [0, 0, 0], 0.6));
    veil.outline(map, 1, "#000000").outline(map, 1, "#ffe14d", true);
  };
  view.renew = { coloured, lit };
  view.repaint = () => {
    view.draw(bits, tint, veil);
    if (Math.floor(looking.focus / cells) !== n) return;
    const [x, y] = [((looking.focus % w) * W) / w, (Math.floor((looking.focus % cells) / w) * H) / h].map((v) => v * SCALE);
    for (const [colour, lineWidth] of [["#000000", 7], ["#ffffff", 3]]) {
      Object.assign(view.context, { strokeStyle: colour, lineWidth });
      view.context.strokeRect(x - 2, y - 2, (W / w) * SCALE + 4, (H / h) * SCALE + 4);
    }
  };
  let painting = null; // what a drag over the image does: 1 selects, 0 leaves out
  pointer(view.canvas, scene, {
    down: guard(({ x, y }) => {
      mark(cellOf(x, y));
      if (selecting()) select([looking.focus], (painting = 1 - looking.selection[looking.focus]));
    }),
    move: guard(({ x, y }) => (mark(cellOf(x, y)), painting !== null && select([looking.focus], painting))),
    up: guard(() => painting !== null && ((painting = null), rest())),
  });
  view.canvas.addEventListener("keydown", guard((event) => {
    const step = WAYS_OF_KEYS[event.key];
    const [row, column] = [Math.floor((looking.focus % cells) / w), looking.focus % w];
    const here = Math.floor(looking.focus / cells) === n;
    if (step) mark(here ? cellOf(((column + step[0] + 0.5) * W) / w, ((row + step[1] + 0.5) * H) / h) : cellOf(W / 2, H / 2));
    else if (event.key === " ") (select([looking.focus], 1 - looking.selection[looking.focus]), rest());
    else return;
    event.preventDefault();
  }));
  return view;
}

function spaceControls(looking, cloud, { choose, colour, drags, only, look, ball, rest }) {
  const { spaces, scene, names } = looking;
  const space = choice("Space", spaces.map((s) => [s.name, s.name]), looking.space.name, choose);
  const colours = choice("Colour by", [["truth", "Truth"], ["prediction", "Prediction"]], looking.colourBy, colour);
  const drag = choice("Drag to", [["turn", "Turn"], ["select", "Select"]], "turn", (value) => drags(value === "select"));
  const size = slider("Ball round the marked cell", { min: 0, max: 100, step: 1, value: 0, format: (v) => (v ? `${v} %` : "off") }, ball);
  size.addEventListener("change", rest);
  const all = [...scene.names.map((_, way) => way + 1), 0].map((label) => button(names[label], () => only((i) => looking.labels()[i] === label)));
  const group = (name, ...children) => element("div", { class: "panet-row", role: "group", "aria-label": name }, ...children);
  const nodes = [
    group("What is shown", spaces.length > 1 ? space : "", colours),
    group("View", drag, button("−", () => look(() => cloud.zoom(0.8)), { "aria-label": "Farther" }), button("+", () => look(() => cloud.zoom(1.25)), { "aria-label": "Nearer" }), button("First view", () => look(() => Object.assign(cloud.view, START)))),
    group("Select", element("span", {}, "Select"), ...all, button("wrong", () => only((i) => looking.wrong(i))), button("nothing", () => only(() => false)), size),
  ];
  return { nodes, space, colours, selecting: () => drag.value === "select" };
}

async function buildSpace(model, body, { say, tell, guard, on, root }) {
  const looking = new Looking(model);
  const { scene, spaces, names } = looking;
  scene.cellOf = Uint32Array.from({ length: scene.pixels }, (_, i) => Math.floor((Math.floor(i / scene.W) * scene.h) / scene.H) * scene.w + Math.floor(((i % scene.W) * scene.w) / scene.W));
  const bitmaps = await Promise.all(scene.images.map(bitmap));
  const ends = [0, 1, 2].map((axis) => {
    const along = spaces.flatMap((s) => [...s.points.filter((_, k) => k % 3 === axis)]);
    return [Math.min(...along), Math.max(...along)];
  });
  const cloud = new Cloud(ends.map(([low, high]) => (low + high) / 2), Math.max(...ends.map(([low, high]) => (high - low) / 2)) || 1);
  cloud.canvas.setAttribute("aria-label", `${looking.truth.length} feature cells and ${2 * names.length} prototypes as points: arrow keys turn them`);
  const cellTable = numbers(["prototype", "cosine", "probability"]);
  const spaceTable = numbers(["space", "aligned", "apart", "IoU", "in the picture"]);
  let line = null;
  const stale = new Set();
  const redraw = painter(root, guard, () => {
    const { points, stars } = looking.points();
    const theme = cloud.draw({ points, labels: looking.labels(), round: scene.supports * scene.cells, selection: looking.selection, ways: scene.ways });
    cloud.stars(stars, looking.space.known, names, theme);
    cloud.ring(looking.focus, theme);
    if (line) cloud.line(line, theme);
    stale.forEach((n) => views[n].repaint());
    stale.clear();
    if (looking.moving) redraw();
  });
  const renew = (what, images = views.keys()) => {
    for (const n of images) (views[n].renew[what](), stale.add(n));
    redraw();
  };
  const tellCell = () => {
    const i = looking.focus;
    cellTable.caption.textContent = `${looking.place(i)}: ${looking.verdict(i)}`;
    cellTable.fill(names.map((name, j) => [name, twoDigits(looking.cosine(i, j)), twoDigits(looking.probability(i, j))]));
  };
  const tellSpaces = () => {
    const rows = spaces.map((s) => [s.name, degrees(s.aligned), degrees(s.apart), twoDigits(s.iou), `${(100 * s.share).toFixed(0)} %`]);
    spaceTable.fill(rows, spaces.indexOf(looking.space));
    spaceTable.caption.textContent =
      `Angles in all ${looking.space.channels} channels${scene.ways > 1 ? ", means over the classes" : ""}. Aligned: from the query's object to the support's. Apart: from the query's object to the support's background. ` +
      "In the picture: how much of the variance its three axes hold. The model classifies with all channels, not with the picture.";
  };
  const mark = (i) => {
    if (i < 0 || i === looking.focus) return;
    [looking.focus, i].forEach((k) => stale.add(Math.floor(k / scene.cells)));
    looking.focus = i;
    tellCell();
    say(`${looking.place(i)}: ${looking.verdict(i)}.`);
    redraw();
  };
  const selected = (images) => (renew("lit", images), say(looking.summary()));
  const select = (cells, value) => {
    const before = looking.selection.includes(1);
    cells.forEach((i) => (looking.selection[i] = value));
    const same = before === looking.selection.includes(1); // or else the veil falls, or lifts, everywhere
    selected(same ? new Set(cells.map((i) => Math.floor(i / scene.cells))) : undefined);
  };
  const rest = guard(() => looking.send("selection"));
  const only = guard((test) => (looking.selection.forEach((_, i) => (looking.selection[i] = test(i))), selected(), rest()));
  const shown = () => (renew("coloured"), tellCell(), tellSpaces(), say(looking.numbers()));
  const controls = spaceControls(looking, cloud, {
    choose: guard((name) => (looking.send("shown", name), looking.read("shown"), shown())),
    colour: guard((value) => (looking.send("colour_by", value), looking.read("colour_by"), renew("coloured"))),
    look: guard((change) => (change(), redraw())),
    ball: guard((size) => {
      const near = size ? looking.nearTo(looking.focus, (size / 100) * cloud.reach) : [];
      looking.selection.fill(0);
      near.forEach((i) => (looking.selection[i] = 1));
      selected();
    }),
    drags: (selecting) => {
      cloud.canvas.style.cursor = selecting ? "crosshair" : "";
      views.forEach((view) => (view.canvas.style.touchAction = selecting ? "none" : "manipulation")); // or else a finger scrolls
    },
    only, rest,
  });
  const views = bitmaps.map((bits, n) => imageView(looking, n, bits, { mark, select, rest, selecting: controls.selecting, guard }));
  views.forEach((view) => (view.canvas.style.touchAction = "manipulation"));
  handle(cloud, controls.selecting, {
    guard, turn: redraw, hover: mark, picked: mark,
    line: (points, done) => {
      line = done ? null : points;
      if (done) (select(cloud.within(points), 1), rest());
      redraw();
    },
  });
  cloud.canvas.addEventListener("keydown", guard((event) => {
    const [dx, dy] = WAYS_OF_KEYS[event.key] ?? [0, 0];
    if (dx || dy) cloud.turn(0.1 * dx, 0.1 * dy);
    else if (event.key === "+" || event.key === "=") cloud.zoom(1.15);
    else if (event.key === "-") cloud.zoom(1 / 1.15);
    else if (event.key === "0") Object.assign(cloud.view, START);
    else if (event.key === " ") (select([looking.focus], 1 - looking.selection[looking.focus]), rest());
    else return;
    event.preventDefault();
    redraw();
  }));
  const theme = new MutationObserver(() => (root.isConnected ? redraw() : theme.disconnect()));
  [document.documentElement, document.body].forEach((node) => theme.observe(node, { attributes: true }));
  const looks = scene.names.map((name, i) => `${i % 2 ? "with a hole" : "filled"}: ${name}`);
  const legend = `● support, ▲ query; ${looks.join(", ")}, hollow: background, a speck: void. Large, with a line between them: the prototypes of support and query.`;
  const seen = element("figure", { class: "panet-picture panet-cloud" }, cloud.canvas, element("figcaption", {}, legend));
  body.append(
    ...controls.nodes,
    element("div", { class: "panet-stage" }, seen, element("div", { class: "panet-beside" }, ...views.slice(scene.supports), cellTable)),
    element("div", { class: "panet-small" }, ...views.slice(0, scene.supports)),
    spaceTable,
    help(SPACE_HELP, SPACE_KEYS),
  );
  const changes = { shown: () => ((controls.space.value = looking.space.name), shown()), colour_by: () => ((controls.colours.value = looking.colourBy), renew("coloured")), selection: () => selected() };
  Object.entries(changes).forEach(([trait, show]) => on(`change:${trait}`, () => {
    if (looking.sending) return;
    looking.read(trait);
    tell(String(model.get("message") ?? "")); // what was wrong before is mended
    show();
  }));
  renew("lit");
  shown();
}

export default { render: (props) => mount(props, "Embedding space", (body, tools) => buildSpace(props.model, body, tools)) };
