// The backbone in the page: in a worker of its own, loaded when it is asked for, from the page's folder or from Python.

// Puts bytes back where network.py's `apart` took them from.
function together(value, buffers) {
  if (Array.isArray(value)) return value.map((one) => together(one, buffers));
  if (!value || typeof value !== "object") return value;
  if (Number.isInteger(value.buffer)) return buffers[value.buffer];
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, together(one, buffers)]));
}

async function inflated(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// A page of the book has network.js in its folder of scripts; a script can be loaded from a USB stick, too.
function partsOfPage(host) {
  return new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = new URL("network.js", host.src);
    script.onerror = () => failed(new Error("The file network.js is missing beside this page: build the book again."));
    script.onload = () => {
      const spoilt = (error) => failed(new Error(`The file network.js beside this page is spoilt (${error.message}): build the book again.`));
      const { content, buffers } = globalThis.panetNetwork ?? {};
      Promise.all((buffers ?? [""]).map(inflated)).then((bytes) => done(together(content, bytes))).catch(spoilt);
    };
    document.head.append(script);
  });
}

// In a notebook Python is asked.
function partsOfKernel(model) {
  return new Promise((done, failed) => {
    const end = (settle, value) => {
      clearTimeout(timer);
      model.off("msg:custom", answer);
      settle(value);
    };
    const timer = setTimeout(() => end(failed, new Error("No kernel answers: run the notebook's cells again.")), 20000);
    const answer = (content, buffers) => {
      if (!content?.network) return;
      end(done, together(content, buffers.map((b) => new Uint8Array(b.buffer ?? b, b.byteOffset ?? 0, b.byteLength))));
    };
    model.on("msg:custom", answer);
    model.send({ ask: "network" });
  });
}

// Typed arrays of packed ones, aligned; what is wrong is said.
const ARRAYS = { uint8: Uint8Array, float16: Uint16Array, float32: Float32Array };
function arrayOf({ dtype, shape, data }, name) {
  const Kind = ARRAYS[dtype];
  if (!Kind || data?.byteLength !== shape[0] * Kind.BYTES_PER_ELEMENT) throw new Error(`The network's ${name} are spoilt: build the book again.`);
  return new Kind(data.slice().buffer);
}

class Network {
  // {machinery, network} as network.py has them.
  static async open(parts) {
    const { machinery, network } = parts;
    const self = new Network();
    const url = URL.createObjectURL(new Blob([machinery.code, "\n", WORKER], { type: "text/javascript" }));
    self.worker = new Worker(url);
    self.waiting = new Map();
    self.worker.onmessage = ({ data: { id, result, error } }) => {
      const [done, failed] = self.waiting.get(id);
      self.waiting.delete(id);
      if (error) failed(new Error(error));
      else done(result);
    };
    self.worker.onerror = (event) => self.waiting.forEach(([, failed]) => failed(new Error(event.message ?? "The network stopped: open the page again.")));
    const arrays = ["filters", "gains", "shifts"].map((name) => [name, arrayOf(network[name], name)]);
    await self.ask({ setup: { wasm: arrayOf(machinery.wasm, "machinery"), network: { ...network, ...Object.fromEntries(arrays) } } });
    URL.revokeObjectURL(url);
    return self;
  }

  ask(message, moved = []) {
    return new Promise((done, failed) => {
      const id = unique("network");
      this.waiting.set(id, [done, failed]);
      this.worker.postMessage({ id, ...message }, moved);
    });
  }

  // RGBA pixels to {features (C, h, w), h, w, channels}.
  embed({ pixels, H, W }) {
    return this.ask({ picture: { pixels, H, W } });
  }

  close() {
    this.worker.terminate();
  }
}

// The network of a widget's model. Widgets of one network share it; no widget gets another's.
function openNetwork(model) {
  const wanted = model.get("network");
  const networks = (globalThis.panetNetworks ??= new Map()); // by digest
  if (!networks.has(wanted)) {
    const host = document.querySelector('script[src*="_static/widgets.js"]');
    const opening = (host ? partsOfPage(host) : partsOfKernel(model)).then((parts) => {
      if (parts?.network?.digest !== wanted) throw new Error("The file network.js beside this page holds another network than this widget's.");
      return Network.open(parts);
    });
    networks.set(wanted, opening);
    opening.catch(() => networks.delete(wanted)); // the next photo tries again
  }
  return networks.get(wanted);
}

// ---- pixels ------------------------------------------------------------------------------------

// What each new pixel takes of the old ones, in 22 bits, as Pillow has it for its bilinear filter.
function takes(from, to) {
  const scale = from / to;
  const reach = Math.max(scale, 1);
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.floor(centre - reach + 0.5));
    const last = Math.min(from, Math.floor(centre + reach + 0.5));
    const shares = Array.from({ length: last - first }, (_, k) => Math.max(0, 1 - Math.abs((first + k - centre + 0.5) / reach)));
    const sum = shares.reduce((total, share) => total + share, 0) || 1;
    return [first, shares.map((share) => Math.floor(0.5 + (share / sum) * 2 ** 22))];
  });
}

// RGBA pixels {pixels, H, W} at another size, to the bit as Pillow makes them: rows first, then columns.
function resized({ pixels, H, W }, height, width) {
  const along = (source, rows, step, line, table, set) => {
    for (let r = 0; r < rows; r++) {
      table.forEach(([first, shares], i) => {
        for (let c = 0; c < 4; c++) {
          let sum = 2 ** 21;
          for (let k = 0; k < shares.length; k++) sum += source[r * line + (first + k) * step + c] * shares[k];
          set(r, i, c, Math.min(255, Math.floor(sum / 2 ** 22)));
        }
      });
    }
  };
  let now = pixels;
  if (width !== W) {
    const wide = new Uint8ClampedArray(4 * H * width);
    along(now, H, 4, 4 * W, takes(W, width), (r, i, c, v) => (wide[4 * (r * width + i) + c] = v));
    now = wide;
  }
  if (height !== H) {
    const small = new Uint8ClampedArray(4 * height * width);
    along(now, width, 4 * width, 4, takes(H, height), (r, i, c, v) => (small[4 * (i * width + r) + c] = v));
    now = small;
  }
  return { pixels: now, H: height, W: width };
}
