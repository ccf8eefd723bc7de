// Paint on the supports, and watch the query being segmented (Sec. 3.6, 4.4).

const STARTS = { dense: "Mask", box: "Box", scribble: "Scribble", point: "Point" };

// What is painted and what follows from it. maps: the supports' label maps; means: of each support, so that
// a dab costs one masked average; shown: a prediction that Python put in place of ours.
class Painting {
  constructor(model, scene) {
    Object.assign(this, { model, scene, history: [], shown: null });
    this.readMaps();
    this.readActive();
    this.compute();
  }

  split(trait, count) {
    return unpackMaps(this.model.get(trait), count, this.scene, trait);
  }

  readMaps() {
    this.setMaps(this.split("label_map", this.scene.supports));
  }

  readActive() {
    const active = this.model.get("active");
    if (!Array.isArray(active) || active.length !== this.scene.shots) throw new Error("active should say of each shot whether it counts.");
    this.active = active.map(Boolean);
  }

  setMaps(maps) {
    this.maps = maps;
    this.means = maps.map((map, n) => supportMeans(this.scene, n, map));
  }

  painted(n) {
    this.means[n] = supportMeans(this.scene, n, this.maps[n]);
    this.compute();
  }

  compute() {
    const { scene } = this;
    const prototypes = supportPrototypes(scene, this.means, this.active);
    this.results = scene.features.slice(scene.supports).map((f) => segment(match(f, prototypes, scene), scene));
    this.shown = null;
  }

  labels(q) {
    return this.shown ? this.shown[q] : this.results[q].labels;
  }

  remember() {
    this.history = [...this.history.slice(-49), this.maps.map((map) => map.slice())];
  }

  // To Python, where there is one.
  send() {
    this.sending = true; // our own changes need not be read again
    this.model.set("label_map", packMaps(this.maps, this.scene));
    this.model.set("prediction", packMaps(this.results.map((r) => r.labels), this.scene));
    this.model.set("active", [...this.active]);
    this.sending = false;
    this.model.save_changes();
  }

  sentence() {
    const { scene, maps } = this;
    const missing = scene.names.filter((_, i) => !maps.some((map, n) => Math.floor(n / scene.shots) === i && map.includes(i + 1)));
    if (missing.length) return `Nothing is marked as ${missing.join(" or ")} yet: paint it in a support.`;
    const scores = scene.names.map((name, i) => {
      const ious = scene.truth.map((truth, q) => intersectionOverUnion(this.labels(q), truth, i + 1));
      return `${name}: IoU ${ious.map((iou) => (iou === null ? "–" : iou.toFixed(2))).join(", ")}`;
    });
    return (this.shown ? "Prediction set in Python. " : "") + scores.join("; ");
  }
}

function supportViews(painting, bitmaps, tools, { redraw, settle, guard }) {
  const { scene } = painting;
  const layer = new Layer(scene.W, scene.H);
  return painting.maps.map((_, n) => {
    const way = Math.floor(n / scene.shots) + 1;
    const name = scene.names[way - 1];
    const view = picture(scene, "", `Support ${n + 1}: paint the ${name} here`, { tabindex: 0, role: "application" });
    view.caption.append(`Support ${n + 1}: ${name}`);
    const change = (painted) => (painted && painting.painted(n), redraw());
    const brush = { map: () => painting.maps[n], way, begin: () => painting.remember(), change, rest: settle, guard };
    const { ring } = paintable(view, scene, tools, brush);
    const counts = toggle("counts", true, (on) => ((painting.active[n % scene.shots] = on), painting.compute(), settle()), {
      "aria-label": `Support ${n + 1} counts`,
    });
    if (scene.shots > 1) view.caption.append(" ", counts);
    view.repaint = () => {
      const map = painting.maps[n];
      counts.pressed = painting.active[n % scene.shots];
      view.classList.toggle("panet-off", !counts.pressed);
      view.draw(bitmaps[n], supportLayer(layer, map, way));
      ring();
    };
    return view;
  });
}

function queryViews(painting, bitmaps, look) {
  const { scene } = painting;
  const layer = new Layer(scene.W, scene.H);
  return scene.truth.map((truth, q) => {
    const view = picture(scene, "", `Query ${q + 1} with the prediction`);
    view.repaint = () => {
      const answer = painting.shown ? { labels: painting.labels(q) } : painting.results[q];
      view.draw(bitmaps[scene.supports + q], queryLayer(layer, scene, answer, look.truth && truth));
      view.caption.textContent = `Query${scene.queries > 1 ? ` ${q + 1}` : ""}: what PANet takes for it`;
    };
    return view;
  });
}

async function build(model, body, { say, guard, on, root }) {
  const scene = openScene(model.get("scene"));
  const bitmaps = await Promise.all(scene.images.map(bitmap));
  const painting = new Painting(model, scene);
  const look = { truth: false };
  const redraw = painter(root, guard, () => {
    views.forEach((view) => view.repaint());
    say(painting.sentence());
  });
  const settle = guard(() => (redraw(), painting.send()));
  const renew = (maps) => (painting.setMaps(maps), painting.compute(), settle());
  const tools = brushTools({
    undo: guard(() => painting.history.length && renew(painting.history.pop())),
    clear: guard(() => (painting.remember(), renew(painting.maps.map((map) => map.map(() => VOID))))),
  });
  // Of one's own picture nothing is known: what would do nothing is not offered.
  const marked = (kind) => kind in scene.starts && scene.starts[kind].some((map) => map.some((label) => label > 0 && label !== VOID));
  const starts = Object.keys(STARTS).filter(marked).map((kind) =>
    button(STARTS[kind], guard(() => (painting.remember(), renew(scene.starts[kind].map((map) => map.slice()))))));
  const known = scene.truth.some((truth) => truth.some((label) => label !== VOID));
  const show = toggle("Show the truth", false, (on) => ((look.truth = on), redraw()));
  const supports = supportViews(painting, bitmaps, tools, { redraw, settle, guard });
  const offers = [...starts, ...(known ? [show] : [])];
  const views = [...supports, ...queryViews(painting, bitmaps, look)];
  body.append(
    ...(starts.length ? [element("div", { class: "panet-row", role: "group", "aria-label": "Start from" }, element("span", {}, "Start from"), ...offers)] : offers),
    tools,
    element("div", { class: "panet-stage" }, ...views),
    help(["Paint on a support. What you mark as object and as background makes the two prototypes; the query follows at once. What is clear counts as background until you mark some background; from then on it says nothing."], BRUSH_HELP),
  );
  on("change:label_map", () => painting.sending || (painting.readMaps(), painting.compute(), redraw()));
  on("change:active", () => painting.sending || (painting.readActive(), painting.compute(), redraw()));
  on("change:prediction", () => {
    if (painting.sending) return;
    const labels = painting.split("prediction", scene.queries);
    const ours = painting.results.every((r, q) => r.labels.every((label, i) => label === labels[q][i]));
    painting.shown = ours ? null : labels;
    redraw();
  });
  redraw();
}

export default { render: (props) => mount(props, "Paint and segment", (body, tools) => build(props.model, body, tools)) };
