// What the embedding space shows: points, cosines and predictions of each model, the focus, the selection.

// What Python's space.py sent of each model's space, checked.
function openSpaces(value, scene) {
  if (!Array.isArray(value) || !value.length) throw new Error("There is no space to show.");
  const [N, J] = [scene.supports + scene.queries, scene.ways + 1];
  const finite = (packed, shape, name) => {
    const array = unpack(packed, "float32", shape, name);
    if (!array.every(Number.isFinite)) throw new Error(`${name} hold a number that is not finite.`);
    return array;
  };
  const angles = (list, name) => {
    if (!Array.isArray(list) || list.length !== scene.ways) throw new Error(`${name} should be ${scene.ways} angles.`);
    const known = list.filter(Number.isFinite);
    return known.reduce((a, b) => a + b, 0) / known.length; // the mean over the ways
  };
  return value.map((space) => {
    const name = String(space.name).slice(0, 60);
    if (![0, 1].every((i) => Array.isArray(space.known?.[i]) && space.known[i].length === J)) throw new Error(`It is not said which prototypes ${name} has.`);
    if (!Number.isFinite(space.alpha)) throw new Error(`The alpha of ${name} is not a number.`);
    const cosines = finite(space.cosines, [N, J, scene.h, scene.w], `The cosines of ${name}`);
    const logits = cosines.map((value) => value * space.alpha);
    const one = J * scene.cells;
    const images = Array.from({ length: N }, (_, n) => logits.subarray(n * one, (n + 1) * one));
    const labels = images.map((scores) => segment(scores, scene).labels); // at image size
    return {
      name, cosines, labels,
      points: finite(space.points, [N, scene.h, scene.w, 3], `The points of ${name}`),
      stars: finite(space.prototypes, [2, J, 3], `The prototypes of ${name}`),
      cells: Uint8Array.from(images.flatMap((scores) => [...argmax(scores, J)])),
      probabilities: images.map((scores) => softmax(scores, J)),
      aligned: angles(space.aligned, `The angles of ${name}`),
      apart: angles(space.apart, `The angles of ${name}`),
      iou: meanIou(labels.slice(scene.supports), scene),
      known: space.known,
      share: Number(space.share),
      channels: whole(space.channels, 1, 65535, "The number of channels"),
    };
  });
}

// Over all queries, averaged over the ways; NaN where no way occurs.
function meanIou(labels, scene) {
  const [ours, truth] = [joined(labels), joined(scene.truth)];
  const known = scene.names.map((_, i) => intersectionOverUnion(ours, truth, i + 1)).filter((iou) => iou !== null);
  return known.reduce((a, b) => a + b, 0) / known.length;
}


// The label in the middle of each feature cell, of all maps in a row.
function cellLabels(maps, { H, W, h, w, cells }) {
  const middle = (i, few, many) => Math.floor(((i + 0.5) * many) / few);
  return Uint8Array.from({ length: maps.length * cells }, (_, i) => {
    const cell = i % cells;
    return maps[Math.floor(i / cells)][middle(Math.floor(cell / w), h, H) * W + middle(cell % w, w, W)];
  });
}

const degrees = (angle) => (Number.isFinite(angle) ? `${angle.toFixed(0)}°` : "–");
const twoDigits = (value) => (Number.isFinite(value) ? value.toFixed(2) : "–");

// ---- what is looked at, and how ------------------------------------------------------------------

class Looking {
  constructor(model) {
    const value = model.get("scene");
    const scene = openPictures(value);
    [scene.h, scene.w] = [0, 1].map((i) => whole(value.grid?.[i], 1, 1024, "The features' size"));
    scene.cells = scene.h * scene.w;
    if (!scene.starts.dense) throw new Error("The supports' label maps are missing.");
    this.maps = [...scene.starts.dense, ...scene.truth];
    Object.assign(this, { model, scene, N: this.maps.length, since: -Infinity, names: ["background", ...scene.names] });
    this.spaces = openSpaces(model.get("spaces"), scene);
    this.truth = cellLabels(this.maps, scene);
    ["shown", "colour_by", "selection"].forEach((trait) => this.read(trait));
    this.from = this.space;
    this.focus = this.surest();
  }

  read(trait) {
    const value = this.model.get(trait);
    if (trait === "shown") {
      const space = this.spaces.find((s) => s.name === value);
      if (!space) throw new Error(`There is no space ${String(value).slice(0, 60)}: choose one of ${this.spaces.map((s) => s.name).join(", ")}.`);
      if (this.space && space !== this.space) this.since = calm() ? -Infinity : performance.now();
      [this.from, this.space] = [this.space ?? space, space];
    } else if (trait === "colour_by") this.colourBy = value === "prediction" ? "prediction" : "truth";
    else {
      const { N, scene } = this;
      const selection = unpack(value, "uint8", [N, scene.h, scene.w], "The selection");
      if (selection.some((v) => v > 1)) throw new Error("The selection should hold 0 and 1, and does not.");
      this.selection = selection;
    }
  }

  // To Python, where there is one.
  send(trait, value) {
    this.sending = true; // our own changes need not be read again
    this.model.set(trait, trait === "selection" ? pack(this.selection, [this.N, this.scene.h, this.scene.w]) : value);
    this.sending = false;
    this.model.save_changes();
  }

  labels() {
    return this.colourBy === "truth" ? this.truth : this.space.cells;
  }

  wrong(i) {
    return this.truth[i] !== VOID && this.truth[i] !== this.space.cells[i];
  }

  probability(i, j) {
    const { cells } = this.scene;
    return this.space.probabilities[Math.floor(i / cells)][j * cells + (i % cells)];
  }

  cosine(i, j) {
    const { cells } = this.scene;
    return this.space.cosines[(Math.floor(i / cells) * this.names.length + j) * cells + (i % cells)];
  }

  // Where to begin: the query's cell that is wrong and surest of it, or else the one in the middle.
  surest() {
    const first = this.scene.supports * this.scene.cells;
    let [best, most] = [first + Math.floor(this.scene.h / 2) * this.scene.w + Math.floor(this.scene.w / 2), 0];
    for (let i = first; i < this.truth.length; i++) {
      const sure = this.wrong(i) ? this.probability(i, this.space.cells[i]) : 0;
      if (sure > most) [best, most] = [i, sure];
    }
    return best;
  }

  // Between two spaces while one turns into the other.
  points() {
    const t = Math.min(1, (performance.now() - this.since) / 900);
    this.moving = t < 1;
    const share = t * t * (3 - 2 * t);
    const between = (key) => (this.moving ? this.space[key].map((to, i) => this.from[key][i] + share * (to - this.from[key][i])) : this.space[key]);
    return { points: between("points"), stars: between("stars") };
  }

  nearTo(i, radius) {
    const { points } = this.space;
    const away = (k) => Math.hypot(...[0, 1, 2].map((axis) => points[3 * k + axis] - points[3 * i + axis]));
    return Array.from(this.truth, (_, k) => k).filter((k) => away(k) <= radius);
  }

  image(n) {
    const { supports, shots, names, queries } = this.scene;
    if (n < supports) return `Support ${n + 1}: ${names[Math.floor(n / shots)]}`;
    return queries > 1 ? `Query ${n - supports + 1}` : "Query";
  }

  place(i) {
    const { cells, w } = this.scene;
    const cell = i % cells;
    return `${this.image(Math.floor(i / cells))}, row ${Math.floor(cell / w) + 1}, column ${(cell % w) + 1}`;
  }

  verdict(i) {
    const nearest = this.names[this.space.cells[i]];
    if (this.truth[i] === VOID) return `void, nearest to ${nearest}`;
    return `${this.names[this.truth[i]]}, nearest to ${nearest}: ${this.wrong(i) ? "wrong" : "right"}`;
  }

  summary() {
    const chosen = Array.from(this.truth, (_, i) => i).filter((i) => this.selection[i]);
    if (!chosen.length) return "No cell is selected.";
    const counts = this.names.map((name, j) => `${chosen.filter((i) => this.truth[i] === j).length} ${name}`);
    const queries = chosen.filter((i) => i >= this.scene.supports * this.scene.cells).length;
    return `${chosen.length} cells selected, ${queries} of them in the query: ${counts.join(", ")}; ${chosen.filter((i) => this.wrong(i)).length} wrong.`;
  }

  numbers() {
    const { name, aligned, apart, iou } = this.space;
    return `${name}: aligned to ${degrees(aligned)}, apart by ${degrees(apart)}, IoU ${twoDigits(iou)}.`;
  }
}
