// Prototype alignment on typed arrays (Sec. 3.5), what may be done to a support's mask, and the reader's walk
// through it. Nothing here draws.

const STAGES = [
  "The support and its mask",
  "Its prototypes",
  "The query, predicted",
  "The query's prototypes",
  "The support, cut back",
  "The loss",
];

// ---- spoiling ----------------------------------------------------------------------------------

// The map moved right and down; what leaves at one side comes in at the other.
function rolled(map, { H, W }, down, right) {
  return map.map(
    (_, i) => map[((Math.floor(i / W) - down + 2 * H) % H) * W + (((i % W) - right + 2 * W) % W)],
  );
}

// Along lines of a mask: 1 where a 1 lies at most `radius` away on the same line.
function smeared(mask, lines, length, jump, step, radius) {
  const out = new Uint8Array(mask.length);
  for (let k = 0; k < lines; k++) {
    for (const backwards of [false, true]) {
      let since = Infinity;
      for (let i = 0; i < length; i++) {
        const at = k * jump + (backwards ? length - 1 - i : i) * step;
        since = mask[at] ? 0 : since + 1;
        if (since <= radius) out[at] = 1;
      }
    }
  }
  return out;
}

const widened = (mask, { H, W }, radius) => smeared(smeared(mask, H, W, W, 1, radius), W, H, 1, W, radius);

// A support's label map, spoilt in one of the ways of SPOILS; `way` is the support's own class.
function spoilt(map, way, kind, amount, scene) {
  if (kind === "shift") return rolled(map, scene, amount, amount);
  if (kind === "elsewhere") return rolled(map, scene, Math.floor(scene.H / 2), Math.floor(scene.W / 2));
  if (kind === "swap") return map.map((label) => (label === way ? 0 : label === 0 ? way : label));
  const inside = map.map((label) => Number(label === way));
  if (kind === "grow") return widened(inside, scene, amount).map((near, i) => (near ? way : map[i]));
  if (kind === "shrink") {
    const near = widened(
      inside.map((own) => 1 - own),
      scene,
      amount,
    );
    return map.map((label, i) => (label === way && near[i] ? 0 : label));
  }
  return map.slice();
}

// ---- there and back ----------------------------------------------------------------------------

const wayOf = (scene, n) => Math.floor(n / scene.shots) + 1;

// The judge of Eq. 7: 1 where support n shows its own class, 0 on background, void elsewhere.
function judgeOf(scene, n, map) {
  return completeStrokes(map).map((label) => (label === wayOf(scene, n) ? 1 : label === 0 ? 0 : VOID));
}

// Eq. 6 and 7 for support n: scores, labels, the loss of each pixel and its mean.
function cutBack(scene, n, map, back) {
  const C = scene.channels;
  const pair = new Float32Array(2 * C);
  pair.set(back.prototypes.subarray(0, C));
  pair.set(back.prototypes.subarray(wayOf(scene, n) * C, (wayOf(scene, n) + 1) * C), C);
  const result = segment(match(scene.features[n], pair, scene), scene);
  const judge = judgeOf(scene, n, map);
  const loss = meanLoss(result.scores, judge, 1);
  return {
    ...result,
    judge,
    loss,
    losses: crossEntropy(result.probabilities, judge),
    iou: intersectionOverUnion(result.labels, judge, 1),
  };
}

// All six steps for label maps and their means (`supportMeans` of each).
function thereAndBack(scene, maps, means) {
  const query = scene.features[scene.supports];
  const prototypes = supportPrototypes(scene, means);
  const logits = match(query, prototypes, scene);
  const there = segment(logits, scene);
  const back = queryPrototypes([query], [logits], scene);
  const supports = maps.map((map, n) => cutBack(scene, n, map, back));
  const loss =
    supports.reduce((sum, s, n) => sum + (back.predicted[wayOf(scene, n)] ? s.loss : 0), 0) / scene.supports;
  const ious = scene.names.map((_, i) => intersectionOverUnion(there.labels, scene.truth[0], i + 1));
  const cells = argmax(logits, 1 + scene.ways);
  return { prototypes, there, back, supports, loss, ious, cells };
}

const decimals = (value) => (value === null ? "–" : value.toFixed(2));

// The reader's walk: the step, the masks, and what follows from them.
class Walk {
  constructor(model, scene) {
    const annotated = scene.starts.dense;
    if (!annotated) throw new Error("The scene has no dense label maps.");
    Object.assign(this, { model, scene, annotated, spoil: "none", amount: 16, history: [], support: 0 });
    this.before = thereAndBack(
      scene,
      annotated,
      annotated.map((map, n) => supportMeans(scene, n, map)),
    );
    this.readMaps();
    this.readStep();
  }

  readMaps() {
    this.setMaps(unpackMaps(this.model.get("label_map"), this.scene.supports, this.scene, "label_map"));
    this.spoil = this.maps.every((map, n) => map.every((label, i) => label === this.annotated[n][i]))
      ? "none"
      : "";
  }

  readStep() {
    this.step = whole(this.model.get("step"), 1, STAGES.length, "step");
  }

  setMaps(maps) {
    this.maps = maps;
    this.means = maps.map((map, n) => supportMeans(this.scene, n, map));
    this.compute();
  }

  respoil() {
    this.setMaps(
      this.annotated.map((map, n) => spoilt(map, wayOf(this.scene, n), this.spoil, this.amount, this.scene)),
    );
  }

  painted(n) {
    this.spoil = "";
    this.means[n] = supportMeans(this.scene, n, this.maps[n]);
    this.compute();
  }

  compute() {
    this.now = thereAndBack(this.scene, this.maps, this.means);
  }

  remember() {
    this.history = [
      ...this.history.slice(-49),
      { maps: this.maps.map((map) => map.slice()), spoil: this.spoil },
    ];
  }

  send() {
    this.sending = true;
    this.model.set("label_map", packMaps(this.maps, this.scene));
    this.model.set("prediction", packMaps([this.now.there.labels], this.scene));
    this.model.set("step", this.step);
    this.sending = false;
    this.model.save_changes();
  }

  // What each step says, in full and in short; steps 4 to 6 speak of the support that is shown.
  sentences() {
    const { scene, now, support: n } = this;
    const lost = !now.back.predicted[wayOf(scene, n)];
    const names = ["background", ...scene.names];
    const alike = names
      .map((name, j) => `${name} ${decimals(cosine(now.prototypes, now.back.prototypes, j, scene.channels))}`)
      .join(", ");
    const ious = scene.names.map((name, i) => `${name} IoU ${decimals(now.ious[i])}`).join(", ");
    return [
      ["The mask says what the object is.", ""],
      [
        "Masked average pooling at feature size (Eq. 1-2). The strip has a row for each prototype, background first, and a cell for each channel.",
        "",
      ],
      ["Each pixel goes to the nearest prototype (Eq. 3-4).", ious],
      ["The same pooling in the query, under the predicted mask.", `cosine with step 2: ${alike}`],
      lost
        ? ["The class was predicted nowhere in the query, so there is nothing to cut with.", "lost"]
        : [
            "The query's prototypes segment the support (Eq. 6), as if its mask were unknown.",
            `IoU ${decimals(now.supports[n].iou)} with step 1`,
          ],
      [
        `Where the way back disagrees with the mask of step 1, it costs: dark cells nothing, light ones 3 and more${lost ? ". A lost class adds nothing" : ""} (Eq. 7).`,
        `L_PAR ${now.loss.toFixed(3)}`,
      ],
    ];
  }

  summary() {
    const { now, before } = this;
    const ious = (result) => result.ious.map(decimals).join(", ");
    return `Query IoU ${ious(now)} (as annotated ${ious(before)}), L_PAR ${now.loss.toFixed(3)} (as annotated ${before.loss.toFixed(3)}).`;
  }
}
