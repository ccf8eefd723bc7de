// Pictures with layers over them, and mouse, pen and touch on them.

const SCALE = 2; // canvas pixels to an image's pixel

// JPEG bytes as something a canvas can draw.
async function bitmap(bytes) {
  try {
    return await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
  } catch {
    throw new Error("one of its pictures cannot be read.");
  }
}

const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
const wayColour = (way) => (way ? COLOURS[(way - 1) % COLOURS.length] : BACKGROUND);

// A dark-to-light scale that colour-blind readers see alike (after cividis); t in 0..1.
const STOPS = ["#00224e", "#35456c", "#666970", "#948e77", "#c8b866", "#fee838"].map(rgb);
function shade(t) {
  const x = Math.min(Math.max(t, 0), 1) * (STOPS.length - 1);
  const i = Math.min(Math.floor(x), STOPS.length - 2);
  return STOPS[i].map((low, k) => Math.round(low + (x - i) * (STOPS[i + 1][k] - low)));
}

// Something transparent at image size to lay over a picture. All methods return the layer.
class Layer {
  constructor(width, height) {
    this.canvas = element("canvas", { width, height });
    this.context = this.canvas.getContext("2d");
    this.image = this.context.createImageData(width, height);
    this.words = new Uint32Array(this.image.data.buffer);
  }

  clear() {
    this.words.fill(0);
    return this;
  }

  put(i, [r, g, b], strength) {
    this.words[i] = ((255 * strength) << 24) | (b << 16) | (g << 8) | r; // browsers' machines are little-endian
  }

  // A label map: classes in their colours; `background` is the strength of label 0, void stays clear.
  labels(map, strength = 0.5, background = 0) {
    const colours = Array.from({ length: 21 }, (_, way) => rgb(way ? wayColour(way) : "#333333"));
    for (let i = 0; i < map.length; i++) {
      const label = map[i];
      if (label !== VOID && (label || background)) this.put(i, colours[label], label ? strength : background);
    }
    return this;
  }

  // Probabilities (J, N): the likeliest class's colour, the stronger the surer.
  probabilities(values, labels, strength = 0.75) {
    const N = labels.length;
    const colours = Array.from({ length: values.length / N }, (_, way) => rgb(wayColour(way)));
    for (let i = 0; i < N; i++) {
      if (labels[i]) this.put(i, colours[labels[i]], strength * values[labels[i] * N + i]);
    }
    return this;
  }

  // Numbers as shades between `low` and `high`; what is not finite stays clear.
  numbers(values, low, high, strength = 1) {
    const table = Array.from({ length: 256 }, (_, i) => shade(i / 255));
    for (let i = 0; i < values.length; i++) {
      if (Number.isFinite(values[i])) {
        const t = Math.round((255 * (values[i] - low)) / (high - low || 1));
        this.put(i, table[Math.min(Math.max(t, 0), 255)], strength);
      }
    }
    return this;
  }

  // A line along the inner edge of where map === value; dashed for ground truth, say.
  outline(map, value, colour, dashed = false) {
    const { width, height } = this.canvas;
    const ink = rgb(colour);
    for (let y = 0, i = 0; y < height; y++) {
      for (let x = 0; x < width; x++, i++) {
        if (map[i] !== value || (dashed && (x + y) % 8 > 3)) continue;
        const inner = x && y && x < width - 1 && y < height - 1;
        if (inner && map[i - 1] === value && map[i + 1] === value && map[i - width] === value && map[i + width] === value) continue;
        this.put(i, ink, 1);
      }
    }
    return this;
  }

  drawOn(context) {
    this.context.putImageData(this.image, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(this.canvas, 0, 0, context.canvas.width, context.canvas.height);
    context.imageSmoothingEnabled = true;
    return this;
  }
}

const sparse = (map) => map.reduce((said, label) => said + (label !== VOID), 0) < map.length / 5;

// Strokes have an edge, solid around the object, dashed on the background.
function supportLayer(layer, map, way) {
  layer.clear().labels(map, 0.5, 0.45).outline(map, way, "#ffffff");
  return sparse(map) ? layer.outline(map, 0, "#ffffff", true) : layer;
}

// A prediction: sure pixels strong, outlined; under it, where `truth` is given, what is true, in dashes.
function queryLayer(layer, scene, { labels, probabilities }, truth) {
  layer.clear();
  if (probabilities) layer.probabilities(probabilities, labels);
  else layer.labels(labels);
  scene.names.forEach((_, i) => {
    layer.outline(labels, i + 1, "#ffffff", i % 2 === 1);
    if (truth) layer.outline(truth, i + 1, "#000000").outline(truth, i + 1, "#ffe14d", true);
  });
  return layer;
}

// A figure with a canvas of the scene's size and a caption; `canvas`, `caption` and `draw(image, ...layers)`.
function picture(scene, caption, label, attributes = {}) {
  const canvas = element("canvas", {
    width: scene.W * SCALE, height: scene.H * SCALE, role: "img", "aria-label": label, ...attributes,
  });
  const text = element("figcaption", {}, caption);
  const node = element("figure", { class: "panet-picture" }, canvas, text);
  const context = canvas.getContext("2d");
  const draw = (image, ...layers) => {
    if (image) context.drawImage(image, 0, 0, canvas.width, canvas.height);
    else context.clearRect(0, 0, canvas.width, canvas.height);
    layers.forEach((layer) => layer.drawOn(context));
  };
  return Object.assign(node, { canvas, caption: text, context, draw });
}

// Mouse, pen and touch on a canvas, in the image's pixels: handlers down, move (pressed or not), up, leave
// get {x, y, pressed}.
function pointer(canvas, scene, handlers) {
  canvas.style.touchAction = "none";
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    const [x, y] = [((event.clientX - box.left) * scene.W) / box.width, ((event.clientY - box.top) * scene.H) / box.height];
    return { x, y, pressed: event.buttons > 0 };
  };
  const listen = (type, handler) => handler && canvas.addEventListener(type, (event) => handler(place(event), event));
  listen("pointerdown", (at, event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    handlers.down?.(at);
  });
  listen("pointermove", handlers.move);
  listen("pointerup", handlers.up);
  listen("pointercancel", handlers.up);
  listen("pointerleave", handlers.leave);
}
