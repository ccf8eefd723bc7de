// A cloud of points on a plain canvas: turned, seen in perspective, painted from far to near.

const SIDE = [760, 620]; // of its canvas
const START = { yaw: 0.45, pitch: 0.3, zoom: 1 };
const FOG = 12; // steps from near to far

const INSIDE = { circle: (x, y, r) => Math.hypot(x, y) <= r, triangle: (x, y, r) => y <= 0.8 * r && Math.abs(x) * 1.6 <= y + 1.1 * r };

// The pixels of a mark as [dx, dy, part]: part 0 its rim, 1 its inside, 2 the hole of every second class.
const stamps = new Map();
function stamp(shape, radius) {
  const key = shape + radius;
  if (!stamps.has(key)) {
    const within = (x, y) => INSIDE[shape](x, y, radius);
    const list = [];
    for (let y = -radius - 1; y <= radius + 1; y++) {
      for (let x = -radius - 1; x <= radius + 1; x++) {
        if (!within(x, y)) continue;
        const inner = within(x - 1, y) && within(x + 1, y) && within(x, y - 1) && within(x, y + 1);
        list.push(x, y, !inner ? 0 : Math.hypot(x, y - (shape === "triangle" ? 1 : 0)) <= 0.45 * radius ? 2 : 1);
      }
    }
    stamps.set(key, Int8Array.from(list));
  }
  return stamps.get(key);
}

const word = ([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
const mixed = (a, b, share) => a.map((v, i) => Math.round(v + share * (b[i] - v)));

class Cloud {
  // middle: what it turns about; reach: how far the points lie from there, along the axes.
  constructor(middle, reach) {
    this.canvas = element("canvas", { width: SIDE[0], height: SIDE[1], tabindex: 0, role: "application" });
    this.context = this.canvas.getContext("2d");
    this.image = this.context.createImageData(...SIDE);
    this.words = new Uint32Array(this.image.data.buffer);
    Object.assign(this, { middle, reach, view: { ...START } });
  }

  // Points (N, 3) to [x, y on the canvas, nearness in -1..1 to the eye] each.
  project(points, out = new Float32Array(points.length)) {
    const { yaw, pitch, zoom } = this.view;
    const [cy, sy, cp, sp] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
    const size = (0.46 * SIDE[1] * zoom) / this.reach;
    for (let i = 0; i < points.length; i += 3) {
      const [a, b, c] = [points[i] - this.middle[0], points[i + 1] - this.middle[1], points[i + 2] - this.middle[2]];
      const x = cy * a + sy * c;
      const depth = cy * c - sy * a;
      const y = cp * b - sp * depth;
      const near = (sp * b + cp * depth) / this.reach;
      const scale = (size * 4) / (4 - near); // the eye stands four reaches away
      out[i] = SIDE[0] / 2 + x * scale;
      out[i + 1] = SIDE[1] / 2 - y * scale;
      out[i + 2] = near;
    }
    return out;
  }

  turn(yaw, pitch) {
    this.view.yaw += yaw;
    this.view.pitch = Math.min(1.57, Math.max(-1.57, this.view.pitch + pitch));
  }

  zoom(factor) {
    this.view.zoom = Math.min(8, Math.max(0.4, this.view.zoom * factor));
  }

  // From far to near: counted into depths, which is quicker than sorting.
  order() {
    const places = this.places;
    const N = places.length / 3;
    const starts = new Uint32Array(258);
    const depth = Uint8Array.from({ length: N }, (_, i) => Math.min(255, Math.max(0, 128 + 127 * places[3 * i + 2])));
    for (const d of depth) starts[d + 1]++;
    for (let d = 0; d < 257; d++) starts[d + 1] += starts[d];
    const order = new Uint32Array(N);
    depth.forEach((d, i) => (order[starts[d]++] = i));
    return order;
  }

  // Colours as the theme has them: [label][inside, rim][clear, faded][fog] to a word, and ink and paper.
  palette(ways) {
    const style = getComputedStyle(this.canvas);
    const [ink, paper] = ["--panet-ink", "--panet-paper"].map((name) => rgb(style.getPropertyValue(name).trim() || "#888888"));
    const fogged = (colour, most) => Array.from({ length: FOG }, (_, i) => word(mixed(colour, paper, most - (0.45 * i) / (FOG - 1))));
    const colours = Array.from({ length: ways + 1 }, (_, way) => mixed(rgb(wayColour(way)), ink, 0.15));
    return { ink, paper, colours: colours.map((colour) => [colour, mixed(colour, ink, 0.45)].map((c) => [fogged(c, 0.45), fogged(c, 0.85)])) };
  }

  // labels: of each point; hollow where 0, with a hole where even, a speck where void. round: points before it are circles, the others
  // triangles. selection: 1 where selected.
  draw({ points, labels, round, selection, ways }) {
    this.places = this.project(points, this.places);
    const { colours, ink, paper } = this.palette(ways);
    const marked = word(ink);
    const some = selection.includes(1);
    this.words.fill(0);
    for (const i of this.order()) {
      const near = this.places[3 * i + 2];
      const radius = Math.round(Math.min(9, (4.6 + 1.4 * near) * Math.sqrt(this.view.zoom))) + (selection[i] ? 2 : 0);
      const fog = Math.min(FOG - 1, Math.max(0, Math.floor(((near + 1) / 2) * FOG)));
      const faded = some && !selection[i] ? 1 : 0;
      const [inside, rim] = colours[labels[i] === VOID ? 0 : labels[i]].map((kinds) => kinds[faded][fog]);
      const mark = stamp(i < round ? "circle" : "triangle", labels[i] === VOID ? 1 : Math.max(2, radius));
      const parts = labels[i] ? [rim, inside, labels[i] % 2 ? inside : word(paper)] : [inside, 0, 0];
      if (selection[i]) parts[0] = marked;
      this.put(mark, this.places[3 * i], this.places[3 * i + 1], parts);
    }
    this.context.putImageData(this.image, 0, 0);
    return { ink, paper };
  }

  put(mark, x, y, parts) {
    const [left, top] = [Math.round(x), Math.round(y)];
    if (left < 12 || top < 12 || left >= SIDE[0] - 12 || top >= SIDE[1] - 12) return;
    for (let k = 0; k < mark.length; k += 3) {
      const colour = parts[mark[k + 2]];
      if (colour) this.words[(top + mark[k + 1]) * SIDE[0] + left + mark[k]] = colour;
    }
  }

  // The prototypes there are: circles of the supports, triangles of the queries, a line between two of a class.
  stars(stars, known, names, { ink, paper }) {
    const { context } = this;
    const [J, at] = [names.length, this.project(stars)];
    const css = ([r, g, b]) => `rgb(${r} ${g} ${b})`;
    Object.assign(context, { lineJoin: "round", font: "600 22px system-ui, sans-serif" });
    names.forEach((_, j) => {
      Object.assign(context, { lineWidth: 3, strokeStyle: css(ink) });
      const [[x, y], [u, v]] = [j, j + J].map((k) => [at[3 * k], at[3 * k + 1]]);
      if (known[0][j] && known[1][j]) (context.beginPath(), context.moveTo(x, y), context.lineTo(u, v), context.stroke());
      const shapes = [new Path2D(), new Path2D()];
      shapes[0].arc(x, y, 11, 0, 2 * Math.PI);
      [[0, -14], [13, 10], [-13, 10]].forEach(([dx, dy]) => shapes[1].lineTo(u + dx, v + dy));
      shapes[1].closePath();
      for (const shape of shapes.filter((_, i) => known[i][j])) {
        for (const [width, colour] of [[9, paper], [4, ink]]) {
          Object.assign(context, { lineWidth: width, strokeStyle: css(colour) });
          context.stroke(shape);
        }
        context.fillStyle = wayColour(j);
        context.fill(shape);
      }
    });
    const centre = names.reduce((sum, _, j) => sum + at[3 * j] / J, 0);
    names.forEach((name, j) => {
      const [x, y] = [at[3 * j], at[3 * j + 1] - 18];
      if (!known[0][j]) return;
      Object.assign(context, { lineWidth: 6, strokeStyle: css(paper), fillStyle: css(ink), textAlign: x < centre ? "right" : "left" });
      context.strokeText(name, x, y), context.fillText(name, x, y);
    });
  }

  ring(i, { ink, paper }) {
    for (const [width, [r, g, b]] of [[8, paper], [3.5, ink]]) {
      this.context.beginPath();
      this.context.arc(this.places[3 * i], this.places[3 * i + 1], 15, 0, 2 * Math.PI);
      Object.assign(this.context, { lineWidth: width, strokeStyle: `rgb(${r} ${g} ${b})` });
      this.context.stroke();
    }
  }

  line(points, { ink }) {
    this.context.beginPath();
    points.forEach(([x, y]) => this.context.lineTo(x, y));
    this.context.closePath();
    Object.assign(this.context, { lineWidth: 2, strokeStyle: `rgb(${ink.join(" ")})` });
    this.context.stroke();
  }

  // The point nearest to a place, within reach of a finger; of equals the one in front. -1 if there is none.
  at(x, y) {
    let [best, least] = [-1, 20 ** 2];
    for (let i = 0; i < this.places.length / 3; i++) {
      const away = (this.places[3 * i] - x) ** 2 + (this.places[3 * i + 1] - y) ** 2 - 30 * this.places[3 * i + 2];
      if (away < least) [best, least] = [i, away];
    }
    return best;
  }

  // The points within a line drawn round them (even-odd rule).
  within(line) {
    const inside = (x, y) => line.reduce((odd, [ax, ay], k) => {
      const [bx, by] = line[(k + 1) % line.length];
      return ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax ? !odd : odd;
    }, false);
    return Array.from({ length: this.places.length / 3 }, (_, i) => i).filter((i) => inside(this.places[3 * i], this.places[3 * i + 1]));
  }
}

// Mouse, pen and touch on a cloud: drag to turn or to draw a line round points, two fingers or the wheel to
// zoom. does: {turn(), line(points, done), hover(i), picked(i)}; lasso(): whether a drag draws a line.
function handle(cloud, lasso, does) {
  const { canvas } = cloud;
  const fingers = new Map();
  let [line, moved, spread] = [null, false, 0];
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) * SIDE[0]) / box.width, ((event.clientY - box.top) * SIDE[1]) / box.height];
  };
  const down = (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, place(event));
    [line, moved, spread] = [lasso() && fingers.size === 1 ? [place(event)] : null, false, 0];
  };
  const move = (event) => {
    const [at, last] = [place(event), fingers.get(event.pointerId)];
    if (!last) return does.hover(cloud.at(...at));
    if (!moved && Math.hypot(at[0] - last[0], at[1] - last[1]) < 4) return;
    moved = true;
    fingers.set(event.pointerId, at);
    if (fingers.size === 2) {
      const [[a, b], [c, d]] = fingers.values();
      const now = Math.hypot(a - c, b - d);
      if (spread) cloud.zoom(now / spread);
      spread = now;
    } else if (line) return line.push(at), does.line(line, false);
    else cloud.turn((at[0] - last[0]) / 150, (at[1] - last[1]) / 150);
    does.turn();
  };
  const up = (event) => {
    if (!fingers.delete(event.pointerId)) return;
    if (!moved) does.picked(cloud.at(...place(event)));
    else if (line) does.line(line, true);
    line = null;
  };
  const wheel = (event) => {
    if (!canvas.matches(":focus") && !event.ctrlKey) return; // the page scrolls on
    event.preventDefault();
    cloud.zoom(Math.exp(-event.deltaY / 500));
    does.turn();
  };
  canvas.style.touchAction = "none";
  Object.entries({ pointerdown: down, pointermove: move, pointerup: up, pointercancel: up }).forEach(([type, f]) => canvas.addEventListener(type, does.guard(f)));
  canvas.addEventListener("wheel", does.guard(wheel), { passive: false });
}
