// Brings the book's widgets to life where no kernel is: on a web server, or on a USB stick.
//
// myst-nb writes the widgets' state into the page as JSON, and one small script where each is to be drawn;
// book/offline.py puts the still picture before that script. A model here is what anywidget gives a module
// (https://anywidget.dev/en/afm/), but nobody listens at the other end: save_changes and send do nothing.
// The state is untrusted: whatever is wrong with it, the picture stays, one sentence says why, and the
// rest of the page works.
"use strict";

{
  const MIME = "application/vnd.jupyter.widget-";
  const models = new Map(); // by model id: two views of one model share it
  const modules = new Map(); // by source text

  function fromBase64(text) {
    const binary = atob(text);
    const bytes = new Uint8Array(binary.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
    return new DataView(bytes.buffer);
  }

  // Puts each buffer back where Python took it from; a path leads into nested objects and lists.
  function withBuffers(state, buffers) {
    for (const { path, data, encoding } of buffers) {
      if (encoding !== "base64") throw new Error(`its data are written in ${encoding}, not base64.`);
      const last = path[path.length - 1];
      const steps = path.slice(0, -1);
      const place = steps.reduce((at, key) => (Object.hasOwn(at, key) ? at[key] : undefined), state);
      if (typeof place !== "object") throw new Error("its data belong nowhere.");
      place[last] = fromBase64(data);
    }
    return state;
  }

  const bytesOf = (view) => new Uint8Array(view.buffer ?? view, view.byteOffset ?? 0, view.byteLength);
  const isBytes = (x) => ArrayBuffer.isView(x) || x instanceof ArrayBuffer;

  function same(a, b) {
    if (Object.is(a, b)) return true;
    if (typeof a !== "object" || typeof b !== "object" || !a || !b) return false;
    if (isBytes(a) !== isBytes(b)) return false;
    if (isBytes(a)) [a, b] = [bytesOf(a), bytesOf(b)];
    const keys = Object.keys(a);
    return keys.length === Object.keys(b).length && keys.every((k) => Object.hasOwn(b, k) && same(a[k], b[k]));
  }

  class Model {
    #state;
    #listeners = new Map(); // event: functions, in the order they came

    constructor(state) {
      this.#state = state;
    }

    get(name) {
      return this.#state[name];
    }

    // As Backbone does: change:name for each value that differs, then one change.
    set(name, value) {
      const values = typeof name === "object" ? name : { [name]: value };
      const changed = Object.keys(values).filter((key) => !same(this.#state[key], values[key]));
      for (const key of changed) this.#state[key] = values[key];
      for (const key of changed) this.#fire(`change:${key}`, values[key]);
      if (changed.length) this.#fire("change");
      return this;
    }

    #fire(event, ...values) {
      for (const f of [...(this.#listeners.get(event) ?? [])]) f.call(this, this, ...values);
    }

    on(events, f) {
      for (const event of events.split(/\s+/)) {
        this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), f]);
      }
      return this;
    }

    off(events, f) {
      for (const event of events ? events.split(/\s+/) : [...this.#listeners.keys()]) {
        const kept = f ? (this.#listeners.get(event) ?? []).filter((g) => g !== f) : [];
        this.#listeners.set(event, kept);
      }
      return this;
    }

    save_changes() {}
    send() {}
  }

  function load(source) {
    if (!modules.has(source)) {
      const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
      modules.set(source, import(url).finally(() => URL.revokeObjectURL(url)));
    }
    return modules.get(source);
  }

  function style(id, css) {
    if (!css || [...document.querySelectorAll("style[data-widget]")].some((s) => s.dataset.widget === id)) return;
    const node = document.createElement("style");
    node.dataset.widget = id;
    node.textContent = css;
    document.head.append(node);
  }

  // The model and its module's exports: {model, initialize, render}. Made once for each id.
  async function open(states, id) {
    const entry = Object.hasOwn(states, id) ? states[id] : undefined;
    if (typeof entry?.state !== "object") throw new Error("the page does not hold its state.");
    const state = withBuffers(entry.state ?? {}, entry.buffers ?? []);
    if (typeof state._esm !== "string") throw new Error("it needs a running notebook.");
    const model = new Model(state);
    const exported = (await load(state._esm)).default;
    const widget = typeof exported === "function" ? await exported() : exported;
    if (typeof widget?.render !== "function") throw new Error("its module draws nothing.");
    await widget.initialize?.({ model });
    return { model, widget };
  }

  // Draws one view behind its script; the still picture goes when the widget is there.
  async function mount(states, script) {
    const host = document.createElement("div");
    host.className = "widget-host";
    try {
      const id = JSON.parse(script.textContent).model_id;
      if (!models.has(id)) models.set(id, open(states(), id));
      const { model, widget } = await models.get(id);
      style(model.get("_anywidget_id"), model.get("_css"));
      host.model = model;
      script.after(host);
      await widget.render({ model, el: host });
      const picture = script.previousElementSibling;
      if (picture?.matches(".widget-still")) picture.hidden = !host.querySelector("[data-failed]");
      host.dataset.name = nameOf(script);
      const alone = document.createElement("a");
      Object.assign(alone, { className: "widget-alone", href: `#only=${host.dataset.name}`, target: "_blank" });
      alone.textContent = "This widget alone";
      host.after(alone);
      host.dataset.ready = "";
    } catch (error) {
      host.setAttribute("role", "alert");
      host.className = "widget-failed";
      host.textContent = `This widget could not start: ${error.message}`;
      script.after(host);
    }
  }

  let parsed;
  function states() {
    try {
      parsed ??= JSON.parse(document.querySelector(`script[type="${MIME}state+json"]`).textContent).state;
    } catch (error) {
      throw new Error(`the page's data cannot be read (${error.message}).`);
    }
    if (typeof parsed !== "object") throw new Error("the page holds no widget's state.");
    return parsed;
  }

  const scripts = [...document.querySelectorAll(`script[type="${MIME}view+json"]`)];

  // A widget's name on its page: its class, and from the second of its kind on a number.
  function nameOf(script) {
    const kind = (one) => String(states()[JSON.parse(one.textContent).model_id]?.state?._anywidget_id).split(".").pop();
    const number = scripts.slice(0, scripts.indexOf(script) + 1).filter((one) => kind(one) === kind(script)).length;
    return kind(script) + (number > 1 ? `-${number}` : "");
  }

  // For a projector, or a frame in another page: PAGE.html#only=NAME is that widget and nothing else.
  function leaveAlone(name) {
    const hosts = [...document.querySelectorAll(".widget-host[data-name]")];
    const host = hosts.find((one) => one.dataset.name === name);
    if (host) {
      document.documentElement.classList.add("alone");
      document.body.replaceChildren(host.closest(".widget-box") ?? host);
      return;
    }
    const line = document.createElement("p");
    line.setAttribute("role", "alert");
    line.className = "widget-failed";
    line.textContent = `This page has no widget ${name}. It has: ${hosts.map((one) => one.dataset.name).join(", ") || "none"}.`;
    (document.querySelector("main") ?? document.body).prepend(line);
  }

  const wanted = () => new URLSearchParams(location.hash.slice(1)).get("only");
  const alone = wanted();
  const mounted = Promise.all(scripts.map((script) => mount(states, script)));
  if (alone) mounted.then(() => leaveAlone(alone));
  addEventListener("hashchange", () => wanted() !== alone && location.reload());
}
