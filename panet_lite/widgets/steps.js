// Fig. 2 as six steps, there and back, and a support mask that the reader may spoil (Sec. 3.5).

const SPOILS = [
  ["none", "As annotated"],
  ["shift", "Shifted"],
  ["grow", "Grown"],
  ["shrink", "Shrunk"],
  ["elsewhere", "On another region"],
  ["swap", "Object and background swapped"],
];
const SIZED = ["shift", "grow", "shrink"]; // these have an amount, in image pixels
const PAUSE = 2000; // milliseconds a step is shown while playing

// Before and after, side by side.
function table(walk) {
  const cell = (tag, text, attributes = {}) => element(tag, attributes, text);
  const row = (name) => {
    const cells = [cell("td", ""), cell("td", "")];
    return Object.assign(element("tr", {}, cell("th", name, { scope: "row" }), ...cells), {
      show: (values) => values.forEach((v, i) => (cells[i].textContent = v)),
    });
  };
  const rows = [row("Query IoU (truth)"), row("Way back, IoU (mask of step 1)"), row("L_PAR")];
  const head = element(
    "tr",
    {},
    cell("th", "", { "aria-hidden": "true" }),
    cell("th", "As annotated", { scope: "col" }),
    cell("th", "Now", { scope: "col" }),
  );
  const repaint = () => {
    const both = [walk.before, walk.now];
    rows[0].show(both.map((r) => r.ious.map(decimals).join(", ")));
    rows[1].show(both.map((r) => decimals(r.supports[walk.support].iou)));
    rows[2].show(both.map((r) => r.loss.toFixed(3)));
  };
  return Object.assign(
    element("table", { class: "panet-table" }, element("thead", {}, head), element("tbody", {}, ...rows)),
    { repaint },
  );
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
  const steps = choice(
    "Step",
    STAGES.map((_, i) => [String(i + 1), String(i + 1)]),
    String(walk.step),
    (value) => (stop(), go(Number(value))),
  );
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
  const amount = slider(
    "By",
    { min: 0, max: 64, step: 2, value: walk.amount, format: (v) => `${v} px` },
    guard((v) => ((walk.amount = v), walk.respoil(), redraw())),
  );
  amount.querySelector("input").addEventListener("change", settle);
  const undo = guard(() => {
    const last = walk.history.pop();
    if (last) (walk.setMaps(last.maps), (walk.spoil = last.spoil), settle());
  });
  const tools = brushTools({
    undo,
    clear: guard(
      () => (
        walk.remember(),
        walk.setMaps(walk.maps.map((map) => map.map(() => VOID))),
        (walk.spoil = ""),
        settle()
      ),
    ),
  });
  const pictures = stage(walk, bitmaps, tools, { redraw, settle, guard });
  const numbers = table(walk);
  const explained = element("p");
  const which = choice(
    "Support shown",
    walk.maps.map((_, n) => [String(n), `${n + 1}`]),
    "0",
    (n) => ((walk.support = Number(n)), redraw()),
  );
  which.hidden = scene.supports === 1;
  body.append(
    element(
      "div",
      { class: "panet-row" },
      steps,
      element("span", { class: "panet-row" }, back, next, play),
      which,
    ),
    element("div", { class: "panet-row" }, spoils, amount),
    numbers,
    explained,
    pictures,
    tools,
    help(
      [
        "White: what was predicted. Yellow dashes: what it is compared with. Dark cells in step 6 cost nothing, light ones 3 or more. Step through once, then go to step 6 and spoil the support's mask; the brush paints on the picture of step 1.",
      ],
      [["Tab", "from control to control"], ...BRUSH_HELP],
    ),
  );
  on("change:label_map", () => walk.sending || (walk.readMaps(), redraw()));
  on("change:step", () => walk.sending || (walk.readStep(), redraw()));
  redraw();
}

export default {
  render: (props) =>
    mount(props, "Alignment, step by step", (body, tools) => build(props.model, body, tools)),
};
