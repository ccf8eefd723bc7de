// From a dense mask down to a point, and the reader's own strokes beside them (Sec. 4.4).

const RUNGS = { dense: "Mask", box: "Box", scribble: "Scribble", point: "Point", yours: "Yours" };

// The label maps of each rung and what follows from them. history: what undo brings back; own: a prediction
// that Python put in place of the selected rung's.
class Ladder {
  constructor(model, scene) {
    Object.assign(this, { model, scene, history: [], own: null, rungs: {} });
    for (const [rung, maps] of Object.entries(scene.starts)) this.put(rung, maps);
    this.readMaps();
    this.readSelection();
  }

  split(trait, count) {
    return unpackMaps(this.model.get(trait), count, this.scene, trait);
  }

  readMaps() {
    this.put("yours", this.split("label_map", this.scene.supports));
  }

  readSelection() {
    const value = this.model.get("selection");
    if (!Object.hasOwn(this.rungs, value)) throw new Error(`There is no rung ${String(value).slice(0, 40)}.`);
    this.selection = value;
  }

  readPrediction() {
    const [labels] = this.split("prediction", 1);
    const ours = this.rungs[this.selection].result.labels;
    this.own = labels.every((label, i) => label === ours[i]) ? null : labels;
  }

  put(rung, maps) {
    this.rungs[rung] = { maps, means: maps.map((map, n) => supportMeans(this.scene, n, map)) };
    this.compute(rung);
  }

  compute(rung) {
    const { scene, rungs } = this;
    const prototypes = supportPrototypes(scene, rungs[rung].means);
    rungs[rung].result = segment(match(scene.features[scene.supports], prototypes, scene), scene);
    this.own = null;
  }

  painted(n) {
    this.rungs.yours.means[n] = supportMeans(this.scene, n, this.rungs.yours.maps[n]);
    this.compute("yours");
  }

  remember() {
    this.history = [...this.history.slice(-49), this.rungs.yours.maps.map((map) => map.slice())];
  }

  select(rung) {
    this.selection = rung;
    this.own = null;
  }

  // To Python, where there is one.
  send() {
    this.sending = true; // our own changes need not be read again
    this.model.set("label_map", packMaps(this.rungs.yours.maps, this.scene));
    this.model.set("selection", this.selection);
    this.model.set("prediction", packMaps([this.rungs[this.selection].result.labels], this.scene));
    this.sending = false;
    this.model.save_changes();
  }

  // What a rung is worth, in words.
  score(rung, labels = this.rungs[rung].result.labels) {
    const { scene } = this;
    if (rung === "yours" && this.rungs.yours.maps.every((map) => map.every((label) => label === VOID))) return "nothing painted yet";
    return scene.names.map((name, i) => {
      const iou = intersectionOverUnion(labels, scene.truth[0], i + 1);
      return `${scene.ways > 1 ? `${name} ` : ""}IoU ${iou === null ? "–" : iou.toFixed(2)}`;
    }).join(", ");
  }

  sentence() {
    const { selection, own } = this;
    const said = own ? `prediction set in Python, ${this.score("", own)}` : this.score(selection);
    const lone = this.rungs[selection].maps.some((map) => completeStrokes(map) !== map);
    const rule = lone ? " Everything unpainted counts as background." : "";
    return `${RUNGS[selection]}: ${said}${selection === "dense" ? "" : `; mask: ${this.score("dense")}`}.${rule}`;
  }
}

// Marks of a few pixels, three times as wide: a thumbnail would lose them.
function widened(map, { W }) {
  if (!sparse(map)) return map;
  const wide = map.slice();
  map.forEach((label, i) => {
    if (label === VOID) return;
    for (let dy = -3; dy <= 3; dy++) for (let dx = -3; dx <= 3; dx++) {
      if ((i % W) + dx >= 0 && (i % W) + dx < W && wide[i + dy * W + dx] === VOID) wide[i + dy * W + dx] = label;
    }
  });
  return wide;
}

// A rung as a button: its first support, the query's prediction, the IoU.
function rungButton(ladder, rung, bitmaps, layer, choose) {
  const { scene } = ladder;
  const [support, query] = [0, 1].map(() => element("canvas", { width: scene.W, height: scene.H, "aria-hidden": "true" }));
  const score = element("span");
  const node = button("", () => choose(rung), { class: "panet-rung" });
  node.append(support, query, element("span", {}, RUNGS[rung]), score);
  const draw = (canvas, image, filled) => {
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    filled.drawOn(context);
  };
  node.repaint = () => {
    const { maps, result } = ladder.rungs[rung];
    draw(support, bitmaps[0], supportLayer(layer, widened(maps[0], scene), 1));
    draw(query, bitmaps[scene.supports], queryLayer(layer, scene, result));
    score.textContent = ladder.score(rung);
  };
  return node;
}

// The supports, large: those of a given rung to be looked at, the reader's own to be painted on.
function supportView(ladder, n, bitmaps, layer, painting) {
  const { scene } = ladder;
  const way = Math.floor(n / scene.shots) + 1;
  const name = scene.names[way - 1];
  const said = painting ? `Support ${n + 1}: paint the ${name} here` : `Support ${n + 1} with its annotation`;
  const view = picture(scene, `Support ${n + 1}: ${name}`, said, painting ? { tabindex: 0, role: "application" } : {});
  let ring = () => {};
  if (painting) {
    const { tools, redraw, settle, guard } = painting;
    const change = (painted) => (painted && ladder.painted(n), redraw());
    ({ ring } = paintable(view, scene, tools, {
      map: () => ladder.rungs.yours.maps[n], way, begin: () => ladder.remember(), change, rest: settle, guard,
    }));
  }
  view.repaint = () => {
    view.draw(bitmaps[n], supportLayer(layer, ladder.rungs[ladder.selection].maps[n], way));
    ring();
  };
  return view;
}

async function build(model, body, { say, guard, on, root }) {
  const scene = openScene(model.get("scene"));
  const missing = Object.keys(RUNGS).slice(0, -1).filter((rung) => !scene.starts[rung]);
  if (missing.length) throw new Error(`The annotation ${missing.join(", ")} is missing.`);
  const bitmaps = await Promise.all(scene.images.map(bitmap));
  const ladder = new Ladder(model, scene);
  const layer = new Layer(scene.W, scene.H);
  const look = { truth: false };
  let stale = Object.keys(RUNGS); // rungs whose buttons are to be drawn anew
  const redraw = painter(root, guard, () => {
    const mine = ladder.selection === "yours";
    tools.hidden = !mine;
    copy.hidden = mine;
    yours.forEach((view) => (view.hidden = !mine));
    given.forEach((view) => (view.hidden = mine));
    (mine ? yours : given).forEach((view) => view.repaint());
    const result = ladder.own ? { labels: ladder.own } : ladder.rungs[ladder.selection].result;
    query.draw(bitmaps[scene.supports], queryLayer(layer, scene, result, look.truth && scene.truth[0]));
    [...new Set(mine ? [...stale, "yours"] : stale)].forEach((rung) => rungs[rung].repaint());
    stale = [];
    for (const [rung, node] of Object.entries(rungs)) node.setAttribute("aria-pressed", String(rung === ladder.selection));
    say(ladder.sentence());
  });
  const settle = guard(() => (redraw(), ladder.send()));
  const choose = guard((rung) => (ladder.select(rung), settle()));
  const renew = (maps) => (ladder.put("yours", maps), settle());
  const tools = brushTools({
    undo: guard(() => ladder.history.length && renew(ladder.history.pop())),
    clear: guard(() => (ladder.remember(), renew(ladder.rungs.yours.maps.map((map) => map.map(() => VOID))))),
  });
  const copy = button("Go on painting from this one", guard(() => {
    ladder.remember();
    const maps = ladder.rungs[ladder.selection].maps.map((map) => map.slice());
    ladder.select("yours");
    renew(maps);
    yours[0].hidden = false;
    yours[0].canvas.focus();
  }));
  const show = toggle("Show the truth", false, (shown) => ((look.truth = shown), redraw()));
  const rungs = Object.fromEntries(Object.keys(RUNGS).map((rung) => [rung, rungButton(ladder, rung, bitmaps, layer, choose)]));
  const given = bitmaps.slice(0, scene.supports).map((_, n) => supportView(ladder, n, bitmaps, layer));
  const yours = given.map((_, n) => supportView(ladder, n, bitmaps, layer, { tools, redraw, settle, guard }));
  const query = picture(scene, "Query: what PANet takes for it", "Query with the prediction");
  body.append(
    element("div", { class: "panet-grid", style: "--least: 6.5rem; --most: 1fr", role: "group", "aria-label": "Rungs" }, ...Object.values(rungs)),
    tools,
    element("div", { class: "panet-row" }, copy, show),
    element("div", { class: "panet-stage" }, ...given, ...yours, query),
    help(
      ["Choose a rung to see it large. On the last one you hold the brush. Dark pixels are background (strokes on it have a dashed edge), clear ones say nothing."],
      [["Tab, Enter", "choose a rung"], ...BRUSH_HELP],
    ),
  );
  on("change:label_map", () => ladder.sending || (ladder.readMaps(), stale.push("yours"), redraw()));
  on("change:selection", () => ladder.sending || (ladder.readSelection(), (ladder.own = null), redraw()));
  on("change:prediction", () => ladder.sending || (ladder.readPrediction(), redraw()));
  redraw();
}

export default { render: (props) => mount(props, "Annotation ladder", (body, tools) => build(props.model, body, tools)) };
