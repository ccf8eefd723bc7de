// What widgets are made of: elements, controls, and a voice for screen readers.

// An element; attributes that are functions become listeners. Text goes in as text, never as HTML.
function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

// The same for a drawing.
function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

let numbered = 0;
const unique = (stem) => `panet-${stem}-${Date.now().toString(36)}-${++numbered}`; // ids, good for one page

// Mounts a widget: `build(body, {say, tell, guard, on, root})` fills the body. say(text): the result, shown at
// once and read out when it comes to rest. tell(text): what is wrong. What build throws becomes a sentence, and
// so does what a function throws that went through guard, as all listeners on(...) the model do; it goes when
// the reader goes on.
async function mount({ model, el }, title, build) {
  const line = element("p", { class: "panet-line", "aria-hidden": "true" }); // changes with every dab
  const voice = element("p", { class: "panet-voice", role: "status" }); // the same, read out once all is at rest
  const alarm = element("p", { class: "panet-alarm", role: "alert", hidden: true });
  const body = element("div", { class: "panet-body" });
  const root = element("section", { class: "panet", "aria-label": title }, body, line, voice, alarm);
  const tell = (text) => {
    alarm.textContent = text;
    alarm.hidden = !text;
  };
  const guard = (f) => (...values) => {
    try {
      return f(...values);
    } catch (error) {
      tell(`This widget cannot go on: ${error.message}`);
    }
  };
  let timer;
  const say = (text) => {
    if (text === line.textContent) return;
    line.textContent = text;
    clearTimeout(timer);
    timer = setTimeout(() => (voice.textContent = text), 400);
  };
  const listeners = [];
  const on = (events, f) => {
    const safe = guard(f);
    model.on(events, safe);
    listeners.push([events, safe]);
  };
  el.replaceChildren(root);
  el.addEventListener("keydown", (event) => event.stopPropagation()); // or the page takes the arrow keys
  on("change:message", () => tell(String(model.get("message") ?? "")));
  try {
    tell(String(model.get("message") ?? ""));
    await build(body, { say, tell, guard, on, root });
    const goOn = () => alarm.hidden || (model.set("message", ""), tell(""));
    for (const event of ["pointerdown", "keydown"]) root.addEventListener(event, goOn, true);
  } catch (error) {
    body.replaceChildren();
    root.dataset.failed = ""; // a page that has the still picture goes on showing it
    tell(`This widget cannot be drawn: ${error.message}`);
  }
  return () => {
    clearTimeout(timer);
    listeners.forEach(([events, f]) => model.off(events, f));
  };
}

// Draws at most once a frame, however often it is asked. The last 200 durations stay in root.repaints.
function painter(root, guard, draw) {
  let waiting = false;
  root.repaints = [];
  const now = guard(() => {
    waiting = false;
    const begin = performance.now();
    draw();
    root.repaints.push(performance.now() - begin);
    if (root.repaints.length > 200) root.repaints.shift();
  });
  return () => {
    if (!waiting) requestAnimationFrame(now);
    waiting = true;
  };
}

const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

// ---- controls ----------------------------------------------------------------------------------

function button(text, onClick, attributes = {}) {
  return element("button", { type: "button", click: onClick, ...attributes }, text);
}

// A button that stays pressed; its `pressed` can be set.
function toggle(text, pressed, onChange, attributes = {}) {
  const node = button(text, () => ((node.pressed = !node.pressed), onChange(node.pressed)), attributes);
  Object.defineProperty(node, "pressed", {
    get: () => node.getAttribute("aria-pressed") === "true",
    set: (value) => node.setAttribute("aria-pressed", String(Boolean(value))),
  });
  node.pressed = pressed;
  return node;
}

// A labelled slider; the node's `value` can be set. format: the text beside it, also read out.
function slider(label, { min, max, step, value, format = String }, onInput) {
  const id = unique("slider");
  const input = element("input", { type: "range", id, min, max, step });
  const output = element("output", { for: id });
  const show = () => {
    output.textContent = format(input.valueAsNumber);
    input.setAttribute("aria-valuetext", output.textContent);
  };
  input.addEventListener("input", () => (show(), onInput(input.valueAsNumber)));
  const node = element("div", { class: "panet-slider" }, element("label", { for: id }, label), input, output);
  Object.defineProperty(node, "value", {
    get: () => input.valueAsNumber,
    set: (v) => ((input.value = v), show()),
  });
  node.value = value;
  return node;
}

// One of several, as radio buttons in a row. options: [[value, text], ...]; `value` can be set.
function choice(legend, options, value, onChange) {
  const name = unique("choice");
  const inputs = new Map();
  const labels = options.map(([key, text]) => {
    const input = element("input", { type: "radio", name, value: key, change: () => onChange(key) });
    inputs.set(key, input);
    return element("label", {}, input, element("span", {}, text));
  });
  const node = element("fieldset", { class: "panet-choice" }, element("legend", {}, legend), ...labels);
  Object.defineProperty(node, "value", {
    get: () => [...inputs].find(([, input]) => input.checked)?.[0],
    set: (key) => inputs.forEach((input, k) => (input.checked = k === key)),
  });
  node.value = value;
  return node;
}

// <details> that explain: sentences, then a list of keys.
function help(sentences, keys) {
  const rows = keys.map(([name, what]) => element("li", {}, element("kbd", {}, name), ` ${what}`));
  return element("details", {}, element("summary", {}, "How to use"), ...sentences.map((s) => element("p", {}, s)), element("ul", {}, ...rows));
}
