// Your own photos: mark a thing in one, and see it in the others. The network runs in the page.

const CLASSES = 4;
const NOTHING = -1e9; // the logit of a class that nobody has marked

// What a photo's logits say at its own size, a strip after the other: all probabilities at once would fill a phone's memory.
function labelsAt(logits, { h, w, cells }, height, width) {
  const [rows, columns] = [neighbours(h, height), neighbours(w, width)];
  const labels = new Uint8Array(height * width);
  for (let top = 0; top < height; top += 64) {
    const strip = rows.slice(top, top + 64);
    const scores = upsample(logits, { W: width, w, cells, pixels: width * strip.length, rows: strip, columns });
    labels.set(argmax(scores, logits.length / cells), top * width);
  }
  return labels;
}

// How alike what was found is to what was marked: the cosine of their means, as `Segmentation.scores` has it.
function likeness({ features, logits, prototypes, grid: { cells, channels } }, label) {
  const found = argmax(logits, logits.length / cells);
  const mean = Float32Array.from({ length: channels }, (_, c) => found.reduce((sum, one, i) => (one === label ? sum + features[c * cells + i] : sum), 0));
  return Math.max(0, cosine(mean, prototypes[label], 0, channels));
}

class Search {
  constructor() {
    Object.assign(this, { photos: [], names: ["thing 1"], active: 1, history: [] });
  }

  add(photo, { features, h, w, channels }) {
    const { H, W } = photo;
    const grid = { H, W, h, w, channels, cells: h * w, pixels: H * W, alpha: ALPHA.cosine, distance: "cosine" };
    this.photos.push({ ...photo, grid, features, map: new Uint8Array(H * W).fill(VOID), means: null, logits: null });
    this.compute();
  }

  // Of each label that is marked, the mean under it (Eq. 1-2); strokes on the background alone count, too.
  painted(photo) {
    const full = completeStrokes(photo.map);
    const labels = [...new Set(full)].filter((label) => label !== VOID);
    photo.means = labels.length ? new Map(labels.map((label) => [label, maskedAveragePool(photo.features, full, label, photo.grid)])) : null;
  }

  // Before a change: the label maps of all photos, to go back to.
  remember() {
    this.history = [...this.history.slice(-49), this.photos.map((photo) => [photo, photo.map.slice()])];
  }

  // Give photos other label maps, [[photo, map], ...].
  renew(maps) {
    for (const [photo, map] of maps) {
      photo.map = map;
      this.painted(photo);
    }
    this.compute();
  }

  // Prototypes are means over the photos that show a class; then each photo without marks is segmented (Eq. 3-4).
  compute() {
    const marked = this.photos.filter((photo) => photo.means);
    const J = 1 + this.names.length;
    const shown = Array.from({ length: J }, (_, label) => marked.filter((photo) => photo.means.has(label)));
    this.shown = shown.map((photos) => photos.length > 0);
    const ready = this.shown[0] && this.shown.slice(1).includes(true);
    for (const photo of this.photos) {
      photo.logits = ready && !photo.means ? this.matched(photo, shown) : null;
      photo.answer = photo.logits && segment(photo.logits, photo.grid);
    }
  }

  matched(photo, shown) {
    const { channels, cells } = photo.grid;
    const logits = new Float32Array(shown.length * cells).fill(NOTHING);
    photo.prototypes = [];
    shown.forEach((photos, label) => {
      if (!photos.length) return;
      const prototype = Float32Array.from({ length: channels }, (_, c) => photos.reduce((sum, p) => sum + p.means.get(label)[c], 0) / photos.length);
      photo.prototypes[label] = prototype;
      logits.set(match(photo.features, prototype, photo.grid), label * cells);
    });
    return logits;
  }

  sentence() {
    if (!this.photos.length) return "Choose photos, take some, or begin with the rendered scenes.";
    if (this.photos.length === 1) return "Add a second photo, to be searched.";
    if (!this.shown.slice(1).includes(true)) return `Mark ${this.names[this.active - 1]} in one of the photos: it is looked for in the others.`;
    if (!this.shown[0]) return "Mark some of the background as well.";
    const told = this.photos.flatMap((photo, n) => {
      if (!photo.logits) return [];
      const { labels } = photo.answer;
      const each = this.names.map((name, i) => {
        if (!this.shown[i + 1]) return `${name} is not marked yet`;
        const share = (100 * labels.filter((label) => label === i + 1).length) / labels.length;
        return `${name} ${share.toFixed(0)} % (score ${likeness(photo, i + 1).toFixed(2)})`;
      });
      return [`photo ${n + 1}: ${each.join(", ")}`];
    });
    return told.join("; ") || "All photos are marked: add one to be searched.";
  }
}

// One photo: to paint on, to look at, to save.
function card(search, photo, tools, { redraw, settle, guard, tell }) {
  const layer = new Layer(photo.W, photo.H);
  const view = picture(photo.grid, "", `${photo.name}: paint on what is to be found`, { tabindex: 0, role: "application" });
  const brush = {
    map: () => photo.map, way: () => search.active, guard, rest: settle,
    begin: () => search.remember(),
    change: (painted) => (painted && (search.painted(photo), search.compute()), redraw()),
  };
  const { ring } = paintable(view, photo.grid, tools, brush);
  const stem = photo.name.replace(/\.\w+$/, "");
  const store = guard(() => {
    const { height, width, map, grid } = photo;
    const labels = photo.logits ? labelsAt(photo.logits, grid, height, width) : enlarged(map, grid, height, width);
    png(labels, width, height).then((blob) => save(blob, `${stem}-${photo.logits ? "found" : "marks"}.png`), (error) => tell(error.message));
  });
  const drop = guard(() => {
    search.photos = search.photos.filter((one) => one !== photo);
    search.history = search.history.map((maps) => maps.filter(([one]) => one !== photo));
    view.remove();
    search.compute();
    settle();
  });
  const keep = button("Save the label map", store, { "aria-label": `Save the label map of ${photo.name}` });
  const told = element("span", {});
  view.caption.append(told, " ", keep, " ", button("Remove", drop, { "aria-label": `Remove ${photo.name}` }));
  view.repaint = () => {
    layer.clear();
    if (photo.answer) queryLayer(layer, search, photo.answer);
    else {
      layer.labels(photo.map, 0.5, 0.45);
      search.names.forEach((_, i) => layer.outline(photo.map, i + 1, "#ffffff"));
    }
    view.draw(photo.canvas, layer);
    ring();
    told.textContent = `${search.photos.indexOf(photo) + 1}. ${photo.name}: ${photo.means ? "marked" : photo.logits ? "searched" : "not marked yet"}`;
    keep.disabled = !photo.logits && !photo.means;
  };
  return view;
}

// A label map as it is painted, at the photo's own size.
function enlarged(map, { H, W }, height, width) {
  const labels = new Uint8Array(height * width);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) labels[y * width + x] = map[Math.floor(((y + 0.5) * H) / height) * W + Math.floor(((x + 0.5) * W) / width)];
  }
  return labels;
}

// Which thing the brush marks, up to four, each with a name.
function classTools(search, redraw) {
  const name = element("input", { type: "text", maxlength: 30, "aria-label": "Name of the thing", input: () => rename(name.value) });
  const holder = element("span", {});
  const rename = (text) => {
    search.names[search.active - 1] = text.trim() || `thing ${search.active}`;
    draw();
    redraw();
  };
  const choose = (label) => {
    search.active = Number(label);
    name.value = search.names[search.active - 1];
  };
  const draw = () => holder.replaceChildren(choice("You mark", search.names.map((n, i) => [String(i + 1), n]), String(search.active), choose));
  const more = button("Another thing", () => {
    search.names.push(`thing ${search.names.length + 1}`);
    choose(search.names.length);
    more.disabled = search.names.length >= CLASSES;
    draw();
    search.compute();
    redraw();
  });
  choose(1);
  draw();
  return element("div", { class: "panet-row" }, holder, element("label", {}, "called ", name), more);
}

// Buttons that bring photos.
function sources(model, add, { guard, tell }) {
  const input = element("input", { type: "file", multiple: true, accept: "image/*", change: () => (add([...input.files]), (input.value = "")) });
  const holder = element("div", {});
  const camera = () => cameraBox((blob) => add([blob], "photo")).then((box) => {
    holder.firstChild?.close(); // pressed twice: no camera stays on unseen
    holder.replaceChildren(box);
  }, (error) => tell(error.message));
  const scenes = () => add(model.get("examples").map((bytes) => new Blob([bytes], { type: "image/jpeg" })), "scene");
  const row = element("div", { class: "panet-row" }, element("label", { class: "panet-file" }, "Choose photos", input), button("Camera", guard(camera)), button("Rendered scenes", guard(scenes)));
  return element("div", {}, row, holder);
}

async function build(model, body, { say, tell, guard, root }) {
  const search = new Search();
  let last = Promise.resolve();
  const redraw = painter(root, guard, () => {
    [...stage.children].forEach((view) => view.repaint());
    say(search.sentence());
  });
  const add = (files, called) => {
    last = last.then(async () => {
      root.toggleAttribute("data-busy", true);
      for (const file of files) {
        try {
          say("The network is at work; the first time it is loaded, 2 MB.");
          const photo = await readPhoto(file, called ? `${called} ${search.photos.length + 1}` : file.name);
          search.add(photo, await (await openNetwork(model)).embed(photo));
          stage.append(card(search, search.photos.at(-1), tools, { redraw, settle: redraw, guard, tell }));
        } catch (error) {
          tell(error.message);
        }
      }
      root.toggleAttribute("data-busy", false);
      redraw();
    });
  };
  const tools = brushTools({
    boxes: true,
    undo: guard(() => search.history.length && (search.renew(search.history.pop()), redraw())),
    clear: guard(() => (search.remember(), search.renew(search.photos.map((photo) => [photo, photo.map.map(() => VOID)])), redraw())),
  });
  const stage = element("div", { class: "panet-stage" });
  body.append(
    sources(model, add, { guard, tell }), classTools(search, redraw), tools, stage,
    help([
      "Paint on a thing in one photo: it is looked for in all photos without marks. What you do not paint is background, until a stroke of the background says what is.",
      "Photos can also be dropped here, or pasted. They stay in this page: nothing is sent, and nothing is kept.",
    ], BRUSH_HELP),
  );
  const drop = (list) => (event) => {
    const files = [...(event[list]?.files ?? [])];
    if (files.length) (event.preventDefault(), add(files));
  };
  root.addEventListener("dragover", (event) => event.preventDefault());
  root.addEventListener("drop", drop("dataTransfer"));
  root.addEventListener("paste", drop("clipboardData"));
  root.tabIndex = -1;
  redraw();
}

export default { render: (props) => mount(props, "Your own photos", (body, tools) => build(props.model, body, tools)) };
