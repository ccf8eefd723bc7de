// Choose an episode, and see it (Sec. 3.1). What the page does not carry, a running notebook draws.

const OFFERED = { ways: [1, 2, 3, 5], shots: [1, 2, 5, 10], seed: [0, 1, 2, 3, 4] };
const FIELDS = ["fold", "class", "ways", "shots", "seed"];
const keyOf = (selection) => JSON.stringify(FIELDS.map((field) => selection[field]));

// An array whose bytes are zlib's.
async function inflate(value, shape, name) {
  let data;
  try {
    const stream = new Blob([value.data]).stream().pipeThrough(new DecompressionStream("deflate"));
    data = new DataView(await new Response(stream).arrayBuffer());
  } catch {
    throw new Error(`${name} cannot be unpacked.`);
  }
  return unpack({ ...value, data }, "uint8", shape, name);
}

// A deck as Python made it, checked: episodes by key, with places of pictures and label maps.
async function openDeck(value) {
  if (!Array.isArray(value?.images) || !Array.isArray(value.episodes)) throw new Error("The episodes are missing.");
  const [H, W] = [0, 1].map((i) => whole(value.size?.[i], 1, 4096, "The images' size"));
  const N = whole(value.images.length, 1, 10000, "The number of pictures");
  const E = whole(value.episodes.length, 1, 10000, "The number of episodes");
  const classes = (Array.isArray(value.classes) ? value.classes : []).map((name) => String(name).slice(0, 60));
  if (!Array.isArray(value.folds) || !value.folds.every((pair) => Array.isArray(pair?.[1]))) throw new Error("The folds are missing.");
  const folds = value.folds.map(([fold, names]) => [whole(fold, 0, 99, "A fold"), names.map(String)]);
  const place = (n) => whole(n, 0, N - 1, "A picture's number");
  let rows = 0;
  const episodes = value.episodes.map((episode, row) => {
    const ways = whole(episode.ways, 1, 20, "The number of ways");
    const shots = whole(episode.shots, 1, 100, "The number of shots");
    const labels = Array.from({ length: ways }, (_, i) => whole(episode.classes?.[i], 1, classes.length, "A class"));
    const supports = labels.flatMap((_, way) => Array.from({ length: shots }, (_, k) => place(episode.supports?.[way]?.[k])));
    const query = place(episode.query);
    const selection = Object.fromEntries(FIELDS.map((field) => [field, episode[field]]));
    rows += ways;
    return { selection, ways, shots, labels, supports, query, row, first: rows - ways, names: labels.map((c) => classes[c - 1]) };
  });
  const deck = { H, W, pixels: H * W, folds, numbers: value.numbers ?? [], images: value.images, bitmaps: [] };
  deck.labels = await inflate(value.labels, [N, H, W], "The label maps");
  if (value.predictions) {
    const [h, w] = [1, 2].map((i) => whole(value.probabilities?.shape?.[i], 1, 1024, "The probabilities' size"));
    Object.assign(deck, { h, w, cells: h * w });
    deck.predictions = await inflate(value.predictions, [E, H, W], "The predictions");
    deck.probabilities = await inflate(value.probabilities, [rows, h, w], "The probabilities");
  }
  deck.episodes = new Map(episodes.map((episode) => [keyOf(episode.selection), episode]));
  return deck;
}

// The label map of picture n in an episode's labels (as panet_lite.episodes.episode_labels).
function episodeLabels(deck, n, classes) {
  const table = new Uint8Array(256);
  table[VOID] = VOID;
  classes.forEach((label, way) => (table[label] = way + 1));
  return deck.labels.subarray(n * deck.pixels, (n + 1) * deck.pixels).map((label) => table[label]);
}

function predictionOf(deck, { row, ways, first }) {
  if (!deck.predictions) return null;
  const labels = checkLabels(deck.predictions.slice(row * deck.pixels, (row + 1) * deck.pixels), ways, "The prediction");
  const small = new Float32Array((1 + ways) * deck.cells); // the background's stay 0: it is not drawn
  for (let i = 0; i < ways * deck.cells; i++) small[deck.cells + i] = deck.probabilities[first * deck.cells + i] / 255;
  return { labels, probabilities: upsample(small, deck) };
}

// The number of a way, written where its region is: classes are not told apart by colour alone.
function writeNumber({ context, canvas }, map, way, W) {
  const inside = [];
  map.forEach((label, i) => label === way && inside.push([i % W, Math.floor(i / W)]));
  if (inside.length < 30) return;
  const middle = [0, 1].map((axis) => inside.reduce((sum, at) => sum + at[axis], 0) / inside.length);
  const distance = ([x, y]) => (x - middle[0]) ** 2 + (y - middle[1]) ** 2;
  const [x, y] = inside.reduce((best, at) => (distance(at) < distance(best) ? at : best));
  Object.assign(context, { font: `bold ${canvas.width / 12}px system-ui, sans-serif`, textAlign: "center", textBaseline: "middle" });
  Object.assign(context, { lineWidth: canvas.width / 60, lineJoin: "round", strokeStyle: "#000000", fillStyle: "#ffffff" });
  context.strokeText(way, (x + 0.5) * SCALE, (y + 0.5) * SCALE);
  context.fillText(way, (x + 0.5) * SCALE, (y + 0.5) * SCALE);
}

// The pictures of one episode: {node, repaint(look)}.
async function episodeView(deck, episode, prediction) {
  const load = async (n) => (deck.bitmaps[n] ??= await bitmap(deck.images[n]));
  const layer = new Layer(deck.W, deck.H);
  const { ways, shots, names, labels } = episode;
  const make = async (n, caption, said, map, probabilities) => {
    const image = await load(n);
    const view = picture(deck, caption, said);
    view.repaint = (masks) => {
      layer.clear();
      if (masks && map) {
        if (probabilities) layer.probabilities(probabilities, map);
        else layer.labels(map);
        names.forEach((_, i) => layer.outline(map, i + 1, "#ffffff", i % 2 === 1));
      }
      view.draw(image, layer);
      if (masks && map && ways > 1) names.forEach((_, i) => writeNumber(view, map, i + 1, deck.W));
    };
    return view;
  };
  const number = (n) => (deck.numbers[n] === undefined ? "" : `, image ${deck.numbers[n]}`);
  const title = (way) => (ways > 1 ? `${way + 1} ${names[way]}` : names[way]);
  const supports = await Promise.all(episode.supports.map((n, i) => {
    const way = Math.floor(i / shots);
    const said = `Support ${(i % shots) + 1} of ${names[way]} with its mask`;
    return make(n, `support: ${title(way)}${number(n)}`, said, episodeLabels(deck, n, labels));
  }));
  const truth = episodeLabels(deck, episode.query, labels);
  const queries = [
    await make(episode.query, `query${number(episode.query)}`, "Query"),
    await make(episode.query, "truth", "Query with its truth", truth),
  ];
  if (prediction) {
    const caption = `prediction: ${scores(names, truth, prediction.labels)}`;
    queries.push(await make(episode.query, caption, "Query with the prediction", prediction.labels, prediction.probabilities));
  }
  const stage = (said, style, views) => element("div", { class: "panet-grid", style, role: "group", "aria-label": said }, ...views);
  const views = [...supports, ...queries];
  const node = element("div", { class: "panet-body" },
    stage("Supports", "--least: 5.5rem; --most: 9rem", supports), stage("Query", "--least: 8rem; --most: 1fr", queries));
  return { node, truth, repaint: (masks) => views.forEach((view) => view.repaint(masks)) };
}

function scores(names, truth, labels) {
  const ious = names.map((_, i) => intersectionOverUnion(labels, truth, i + 1));
  return names.map((name, i) => `${name} ${ious[i] === null ? "neither there nor predicted" : `IoU ${ious[i].toFixed(2)}`}`).join(", ");
}

function sentence({ selection, names }, truth, prediction) {
  const { fold, ways, shots, seed } = selection;
  const task = `Fold ${fold}, ${ways}-way ${shots}-shot, seed ${seed}`;
  if (!prediction) return `${task}: ${names.join(" and ")}.`;
  return `${task}: ${prediction.own ? "prediction set in Python, " : ""}${scores(names, truth, prediction.labels)}.`;
}

// One row of radio buttons for each field; `sync(selection, possible)` checks and disables them.
function controls(deck, choose) {
  const node = element("div", { class: "panet-row" });
  const fields = {};
  const options = (field, selection) => {
    if (field === "fold") return deck.folds.map(([fold]) => fold);
    if (field === "class") return deck.folds.find(([fold]) => fold === selection.fold)?.[1] ?? [];
    const carried = [...deck.episodes.values()].map((episode) => episode.selection[field]);
    return [...new Set([...OFFERED[field], ...carried, selection[field]])].sort((a, b) => a - b);
  };
  const sync = (selection, possible) => {
    for (const field of FIELDS) {
      const wanted = options(field, selection);
      if (String(fields[field]?.options) !== String(wanted)) {
        const made = choice(field === "class" ? "Class" : field[0].toUpperCase() + field.slice(1), wanted.map((v) => [v, v]), null, (v) => choose(field, v));
        if (fields[field]) fields[field].replaceWith(made);
        else node.append(made);
        fields[field] = Object.assign(made, { options: wanted });
      }
      fields[field].value = selection[field];
      fields[field].querySelectorAll("input").forEach((input, i) => (input.disabled = !possible(field, wanted[i])));
    }
  };
  return Object.assign(node, { sync });
}

async function build(model, body, { say, guard, on, root, tell }) {
  const deck = await openDeck(model.get("deck"));
  const state = { deck, live: false, masks: true, shown: null, turn: 0 };
  const first = [...deck.episodes.values()][0].selection;
  const stage = element("div");
  const why = element("p", { class: "panet-hint" }, "Dashed choices are not on this page: they need a running notebook.");
  const redraw = painter(root, guard, () => state.shown?.view.repaint(state.masks));
  const selected = () => {
    const value = model.get("selection");
    return value && FIELDS.every((field) => field in value) ? value : first;
  };
  const changed = (field, value) => {
    const selection = { ...selected(), [field]: value };
    if (field === "fold") selection.class = deck.folds.find(([fold]) => fold === value)[1][0];
    return selection;
  };
  const possible = (field, value) => state.live || deck.episodes.has(keyOf(changed(field, value)));
  const answerOf = (source, episode) => {
    const made = predictionOf(source, episode);
    const packed = model.get("prediction");
    if (!packed || state.ours) return made;
    const labels = checkLabels(unpack(packed, "uint8", [1, deck.H, deck.W], "prediction"), 20, "prediction");
    return made && labels.every((label, i) => label === made.labels[i]) ? made : { labels, own: true };
  };
  const show = async () => {
    const turn = ++state.turn;
    const selection = selected();
    panel.sync(selection, possible);
    const source = [deck, state.drawn].find((one) => one?.episodes.has(keyOf(selection)));
    if (!source) return say(state.live ? "Drawing the episode in Python …" : "This episode is not on this page: it needs a running notebook.");
    const episode = source.episodes.get(keyOf(selection));
    const prediction = answerOf(source, episode);
    const view = await episodeView(source, episode, prediction);
    if (turn !== state.turn) return; // something else was chosen in the meantime
    state.shown = { view, episode };
    stage.replaceChildren(view.node);
    say(sentence(episode, view.truth, prediction));
    tell(String(model.get("message") ?? ""));
    redraw();
  };
  const failed = (error) => tell(`This episode cannot be shown: ${error.message}`);
  const safely = () => show().catch(failed);
  const readDrawn = async () => {
    if (model.get("drawn")?.images) state.drawn = await openDeck(model.get("drawn"));
  };
  const choose = guard((field, value) => {
    const selection = changed(field, value);
    const episode = deck.episodes.get(keyOf(selection));
    state.ours = true; // what was set in Python belongs to the episode before
    model.set("selection", selection);
    if (episode && deck.predictions) {
      model.set("prediction", pack(predictionOf(deck, episode).labels, [1, deck.H, deck.W]));
    }
    model.save_changes();
    safely();
  });
  const panel = controls(deck, choose);
  const masks = toggle("Masks", true, (pressed) => ((state.masks = pressed), redraw()));
  body.append(panel, element("div", { class: "panet-row" }, masks, why), stage, help(
    ["The supports are what the model is shown, with their masks; it is asked about the query. White lines mark the masks' edges; with several ways, each class has its number, and even numbers a dashed line."],
    [["Tab", "next group of choices"], ["arrow keys", "choose within it"], ["Space", "masks on or off"]],
  ));
  on("change:selection", safely);
  on("change:prediction", () => ((state.ours = false), safely()));
  on("change:drawn", () => readDrawn().then(show).catch(failed));
  on("change:echo", () => ((state.live = why.hidden = true), panel.sync(selected(), possible)));
  await readDrawn();
  await show();
  model.set("hello", 1 + Math.floor(Math.random() * 1e9)); // is anybody there?
  model.save_changes();
}

export default { render: (props) => mount(props, "Episode browser", (body, tools) => build(props.model, body, tools)) };
