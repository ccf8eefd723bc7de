// A brush on a label map, for mouse, pen, touch and keyboard, with undo.

const BRUSHES = [["object", "Object"], ["background", "Background"], ["eraser", "Eraser"]];
const BOX = ["box", "Box"]; // drawn from corner to corner, filled
const STEP = 4; // image pixels an arrow key moves

// What the brushes of a widget share: {kind, radius}, and the tools that set it. `undo` and `clear` are
// asked of the widget, which knows what was painted last.
function brushTools({ radius = 8, boxes = false, undo, clear }) {
  const settings = { kind: "object", radius };
  const kinds = choice("Brush", boxes ? [...BRUSHES, BOX] : BRUSHES, settings.kind, (kind) => (settings.kind = kind));
  const size = slider("Size", { min: 2, max: 30, step: 1, value: radius, format: (r) => `${r} px` }, (r) => (settings.radius = r));
  const node = element("div", { class: "panet-row" }, kinds, size, button("Undo", undo), button("Clear", clear));
  const set = (kind) => (settings.kind = kinds.value = kind);
  const grow = (by) => (settings.radius = size.value = Math.min(30, Math.max(2, settings.radius + by)));
  const key = { 1: () => set("object"), 0: () => set("background"), e: () => set("eraser"), "[": () => grow(-2), "]": () => grow(2) };
  return Object.assign(node, { settings, key, undo });
}

const BRUSH_HELP = [
  ["arrow keys", "move the brush (with the picture in focus)"],
  ["Space", "paint a dab"],
  ["Shift + arrow", "paint a stroke"],
  ["1, 0, E", "object, background, eraser"],
  ["[ and ]", "smaller, larger brush"],
  ["Ctrl + Z", "undo"],
];

// A disc of `label` into a map, and a stroke of discs from one place to another.
function dab(map, scene, { x, y }, radius, label) {
  const { H, W } = scene;
  for (let row = Math.max(0, Math.ceil(y - radius)); row <= Math.min(H - 1, y + radius); row++) {
    for (let column = Math.max(0, Math.ceil(x - radius)); column <= Math.min(W - 1, x + radius); column++) {
      if ((row - y) ** 2 + (column - x) ** 2 <= radius ** 2) map[row * W + column] = label;
    }
  }
}

function stroke(map, scene, from, to, radius, label) {
  const steps = Math.ceil(Math.hypot(to.x - from.x, to.y - from.y) / Math.max(1, radius / 2)) || 1;
  for (let i = 1; i <= steps; i++) {
    const at = { x: from.x + ((to.x - from.x) * i) / steps, y: from.y + ((to.y - from.y) * i) / steps };
    dab(map, scene, at, radius, label);
  }
}

function rectangle(map, { H, W }, from, to, label) {
  const [left, right] = [from.x, to.x].sort((a, b) => a - b);
  const [top, bottom] = [from.y, to.y].sort((a, b) => a - b);
  for (let y = Math.max(0, Math.floor(top)); y <= Math.min(H - 1, bottom); y++) {
    map.fill(label, y * W + Math.max(0, Math.floor(left)), y * W + Math.min(W - 1, Math.floor(right)) + 1);
  }
}

// Lets the reader paint on `view` (a `picture`). map(): the label map to paint into; way: the label of
// "object", or what gives it; begin(): before a stroke, to remember the old map; change(): after each dab; rest(): when the
// pen is lifted. Returns {ring()}: draws the brush's outline, to be called at the end of each drawing.
function paintable(view, scene, tools, { map, way, begin, change, rest, guard }) {
  const { settings } = tools;
  const cursor = { x: Math.round(scene.W / 2), y: Math.round(scene.H / 2), shown: false };
  const own = () => (typeof way === "function" ? way() : way);
  const label = () => ({ object: own(), box: own(), background: 0, eraser: VOID })[settings.kind];
  let last = null;
  let corner = null; // of a box: where it began, and the map before it
  const go = (to, paint) => {
    if (paint) stroke(map(), scene, last ?? to, to, settings.radius, label());
    last = paint ? to : null;
    Object.assign(cursor, to, { shown: true });
    change(paint);
  };
  const drag = (to) => {
    map().set(corner.before);
    rectangle(map(), scene, corner.at, to, label());
    change(true);
  };
  const down = (at) => {
    begin();
    if (settings.kind === "box") (corner = { at, before: map().slice() }), drag(at);
    else go(at, true);
  };
  pointer(view.canvas, scene, {
    down: guard(({ x, y }) => down({ x, y })),
    move: guard(({ x, y, pressed }) => (corner && pressed ? drag({ x, y }) : go({ x, y }, pressed && last !== null))),
    up: guard(() => (last || corner) && ((last = corner = null), rest())),
    leave: guard(() => last || ((cursor.shown = false), change(false))),
  });
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const arrow = ([dx, dy], painting) => {
    const from = { x: cursor.x, y: cursor.y };
    const to = {
      x: Math.min(scene.W - 1, Math.max(0, from.x + STEP * dx)),
      y: Math.min(scene.H - 1, Math.max(0, from.y + STEP * dy)),
    };
    if (painting) begin();
    last = painting ? from : null;
    go(to, painting);
    last = null;
    if (painting) rest();
  };
  const keydown = (event) => {
    if (event.key in ARROWS) arrow(ARROWS[event.key], event.shiftKey);
    else if (event.key === " ") (begin(), (last = null), go({ x: cursor.x, y: cursor.y }, true), (last = null), rest());
    else if (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey)) tools.undo();
    else if (tools.key[event.key.toLowerCase()] && !event.ctrlKey && !event.metaKey) (tools.key[event.key.toLowerCase()](), change(false));
    else return;
    event.preventDefault();
  };
  view.canvas.addEventListener("keydown", guard(keydown));
  view.canvas.addEventListener("focus", () => ((cursor.shown = view.canvas.matches(":focus-visible")), change(false)));
  view.canvas.addEventListener("blur", () => ((cursor.shown = false), change(false)));
  return { ring: () => cursor.shown && drawRing(view.context, cursor, settings, own()) };
}

function drawRing(context, { x, y }, { kind, radius }, way) {
  const colours = { object: wayColour(way), box: wayColour(way), background: "#333333", eraser: "#ffffff" };
  for (const [colour, width] of [["#ffffff", 5], ["#000000", 3.5], [colours[kind], 2]]) {
    context.beginPath();
    context.arc((x + 0.5) * SCALE, (y + 0.5) * SCALE, radius * SCALE, 0, 2 * Math.PI);
    Object.assign(context, { strokeStyle: colour, lineWidth: width });
    context.stroke();
  }
}
