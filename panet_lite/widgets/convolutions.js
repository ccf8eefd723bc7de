// Which inputs does an output read? On a grid, and back through the blocks of a network (Sec. 3.2).

const KNOBS = { side: ["Side n", 4, 12], kernel: ["Kernel k", 1, 5], stride: ["Stride s", 1, 3], padding: ["Padding p", 0, 4], dilation: ["Dilation d", 1, 3] };
const VIEWS = [["network", "Through the network"], ["grid", "One convolution"]];
const TRAITS = ["view", ...Object.keys(KNOBS), "place", "network", "block", "cell"];

const layerOf = ({ kernel, stride, padding, dilation }) => [kernel, stride, padding, dilation];
const within = (index, n) => Math.min(index, n - 1); // beyond the last, the last is meant

// What is chosen, read from the model and checked.
function readLook(model, scene) {
  const pair = (name) => [0, 1].map((i) => whole(model.get(name)?.[i], 0, Number.MAX_SAFE_INTEGER, name));
  const look = { view: model.get("view"), place: pair("place") };
  for (const [name, [, least, most]] of Object.entries(KNOBS)) look[name] = whole(model.get(name), least, most, name);
  if (!(look.view === "grid" || (look.view === "network" && scene))) throw new Error(`There is no view ${String(look.view).slice(0, 40)}.`);
  if (!scene) return look;
  look.network = model.get("network");
  if (!scene.networks.has(look.network)) throw new Error(`There is no network ${String(look.network).slice(0, 40)}.`);
  look.block = whole(model.get("block"), 1, scene.count, "block");
  const { h, w } = scene.networks.get(look.network).blocks[look.block];
  return { ...look, cell: pair("cell").map((index, axis) => within(index, [h, w][axis])) };
}

// A cell of a drawing in which cells are squares of 1; kind: see the style sheet. mark: "dot", "cross", a text.
function cellAt(row, column, kind, mark) {
  const square = svg("rect", { x: column + 0.05, y: row + 0.05, width: 0.9, height: 0.9, rx: 0.12, class: `panet-cell-${kind}` });
  const [x, y] = [column + 0.5, row + 0.5];
  if (mark === "dot") return [square, svg("circle", { cx: x, cy: y, r: 0.16, class: "panet-cell-mark" })];
  if (mark === "cross") return [square, svg("path", { d: `M${x - 0.2},${y - 0.2}l.4,.4m0,-.4l-.4,.4`, class: "panet-cell-cross" })];
  if (mark) return [square, svg("text", { x, y: y + 0.2, "text-anchor": "middle", "font-size": 0.6, class: "panet-cell-mark" }, mark)];
  return [square];
}

const numbers = (n) => Array.from({ length: n }, (_, i) => i);

// Along one axis: the outputs, the inputs that any of them reads, and those that the chosen one reads.
function gridFacts(look) {
  const layer = layerOf(look);
  const count = outputSide(look.side, layer);
  const read = new Set(numbers(count).flatMap((i) => readsOf(i, layer)));
  const chosen = look.place.map((index) => within(index, count));
  const reads = count ? chosen.map((index) => readsOf(index, layer)) : [[], []];
  const unread = look.side ** 2 - numbers(look.side).filter((i) => read.has(i)).length ** 2;
  return { count, read, chosen, reads, unread };
}

function formula({ side: n, kernel: k, stride: s, padding: p, dilation: d }, count) {
  const sum = `⌊(${n} + 2 · ${p} − ${d} · (${k} − 1) − 1) / ${s}⌋ + 1`;
  return `Outputs along a side: ⌊(n + 2p − d(k − 1) − 1) / s⌋ + 1 = ${sum} = ${count}${count ? "" : " (no window fits)"}`;
}

function gridSentence({ side }, { count, chosen, reads, unread }) {
  if (!count) return "The kernel's taps reach further than image and padding: no output.";
  const [rows, columns] = reads.map((list) => list.map(signed).join(", "));
  const outside = reads.flat().some((i) => i < 0 || i >= side) ? ` Beyond 0 to ${side - 1} lies padding.` : "";
  const lost = unread ? ` ${unread} of ${side ** 2} inputs are read by no output.` : "";
  return `${times(count, count)} outputs. The one in row ${chosen[0]}, column ${chosen[1]} reads rows ${rows} and columns ${columns}.${outside}${lost}`;
}

function drawing(label) {
  const picture = svg("svg", { role: "img", "aria-label": label });
  const caption = element("figcaption");
  return Object.assign(element("figure", { class: "panet-picture" }, picture, caption), { picture, caption });
}

// Inputs and outputs, both to one scale; touching an output chooses it.
function gridView(look, choose) {
  const [inputs, outputs] = [drawing("Inputs"), drawing("Outputs")];
  const sum = element("p");
  const touch = (event) => {
    const { count, span } = outputs;
    const box = outputs.picture.getBoundingClientRect();
    const cell = [event.clientY - box.top, event.clientX - box.left].map((at) => Math.floor((at * span) / box.width));
    if (event.buttons && cell.every((i) => i >= 0 && i < count)) choose(cell);
  };
  for (const type of ["pointerdown", "pointermove"]) outputs.picture.addEventListener(type, touch);
  const repaint = () => {
    const { side: n, padding: p } = look;
    const facts = gridFacts(look);
    const { count, read, chosen, reads } = facts;
    const span = Math.max(n + 2 * p, count);
    Object.assign(outputs, { count, span });
    inputs.picture.setAttribute("viewBox", `0 0 ${span} ${span}`);
    outputs.picture.setAttribute("viewBox", `0 0 ${span} ${Math.max(1, count)}`);
    const image = (i) => i >= p && i < n + p;
    const input = (row, column) => {
      const inside = image(row) && image(column);
      const tap = reads[0].includes(row - p) && reads[1].includes(column - p);
      if (tap) return cellAt(row, column, "chosen", inside ? "dot" : "0");
      if (!inside) return cellAt(row, column, "padding");
      return cellAt(row, column, "plain", read.has(row - p) && read.has(column - p) ? "" : "cross");
    };
    const output = (row, column) => {
      const mine = row === chosen[0] && column === chosen[1];
      return cellAt(row, column, mine ? "chosen" : "plain", mine ? "dot" : "");
    };
    const all = (m, make) => numbers(m).flatMap((row) => numbers(m).flatMap((column) => make(row, column)));
    inputs.picture.replaceChildren(...all(n + 2 * p, input));
    outputs.picture.replaceChildren(...all(count, output));
    inputs.caption.textContent = `${times(n, n)} inputs; dots: read by the chosen output${p ? "; dashed: padding, zeros" : ""}${facts.unread ? "; crosses: read by none" : ""}`;
    outputs.caption.textContent = `${times(count, count)} outputs; touch one`;
    sum.textContent = formula(look, count);
    return gridSentence(look, facts);
  };
  return Object.assign(element("div", { class: "panet-body" }, element("div", { class: "panet-stage panet-pair" }, inputs, outputs), sum), { repaint });
}

// Two sliders for a place on a map; `show(place, sizes)` follows.
function placeSliders(onInput) {
  const sliders = ["Row", "Column"].map((name, axis) => slider(name, { min: 0, max: 0, step: 1, value: 0 }, (v) => onInput(axis, v)));
  const show = (place, sizes) => sliders.forEach((node, axis) => {
    node.querySelector("input").max = Math.max(0, sizes[axis] - 1);
    node.value = within(place[axis], Math.max(1, sizes[axis]));
  });
  return Object.assign(element("div", { class: "panet-row" }, ...sliders), { show });
}

async function build(model, body, { say, guard, on, root }) {
  const scene = openBlocks(model.get("scene"));
  const image = scene && (await bitmap(scene.image));
  const look = readLook(model, scene);
  const sizes = () => scene.networks.get(look.network).blocks[look.block];
  let sending = false;
  const send = guard(() => {
    sending = true; // our own changes need not be read again
    for (const name of scene ? TRAITS : TRAITS.slice(0, -3)) model.set(name, look[name]);
    sending = false;
    model.save_changes();
  });
  const change = guard((values) => (Object.assign(look, values), redraw()));
  for (const rest of ["change", "pointerup", "pointercancel"]) body.addEventListener(rest, send); // not with every step
  // Another block or network: the cell at the same place of the picture.
  const moved = (values) => {
    const before = sizes();
    Object.assign(look, values);
    const after = sizes();
    const share = (index, from, to) => Math.min(to - 1, Math.floor(((index + 0.5) * to) / from));
    change({ cell: [share(look.cell[0], before.h, after.h), share(look.cell[1], before.w, after.w)] });
  };
  const knobs = Object.entries(KNOBS).map(([name, [text, min, max]]) =>
    Object.assign(slider(text, { min, max, step: 1, value: look[name] }, (v) => change({ [name]: v })), { trait: name }));
  const place = placeSliders((axis, v) => change({ place: look.place.map((old, i) => (i === axis ? v : old)) }));
  const grid = gridView(look, (at) => change({ place: at }));
  const one = element("div", { class: "panet-body" }, element("div", { class: "panet-knobs" }, ...knobs), place, grid);
  const parts = { grid: one };
  const views = choice("Show", VIEWS, look.view, (view) => change({ view }));
  let networks, blocks, cell, through;
  if (scene) {
    networks = choice("Network", [...scene.networks.keys()].map((name) => [name, name]), look.network, (network) => moved({ network }));
    blocks = choice("After block", numbers(scene.count).map((i) => [String(i + 1), String(i + 1)]), String(look.block), (b) => moved({ block: Number(b) }));
    cell = placeSliders((axis, v) => change({ cell: look.cell.map((old, i) => (i === axis ? v : old)) }));
    through = blocksView(scene, look, image, guard((block, at) => change({ block, cell: at })));
    parts.network = element("div", { class: "panet-body" }, element("div", { class: "panet-row" }, networks, blocks), cell, through);
  }
  const redraw = painter(root, guard, () => {
    views.hidden = !scene;
    views.value = look.view;
    for (const [name, part] of Object.entries(parts)) part.hidden = name !== look.view;
    if (look.view === "grid") {
      knobs.forEach((knob) => (knob.value = look[knob.trait]));
      const count = outputSide(look.side, layerOf(look));
      place.show(look.place, [count, count]);
      return say(grid.repaint());
    }
    [networks.value, blocks.value] = [look.network, String(look.block)];
    cell.show(look.cell, [sizes().h, sizes().w]);
    through.repaint();
    say(blocksSentence(scene, look));
  });
  const colours = "Colours of a block: its three strongest directions (principal components) as red, green and blue. Like colours are like vectors, within a block; between blocks they mean nothing.";
  body.append(views, ...Object.values(parts), help(
    ["Choose an output; what it reads is lit. A frame that leaves the picture goes on in the padding.", ...(scene ? [colours] : [])],
    [["Tab", "from control to control"], ["arrow keys", "one step of a slider, or the next choice"], ["Home, End", "a slider's ends"]],
  ));
  on(TRAITS.map((name) => `change:${name}`).join(" "), () => sending || (Object.assign(look, readLook(model, scene)), redraw()));
  redraw();
}

export default { render: (props) => mount(props, "Convolutions, and what a feature sees", (body, tools) => build(props.model, body, tools)) };
