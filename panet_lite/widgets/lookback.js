// From an output back to the inputs that it reads: the arithmetic, and the blocks of a network as pictures.

// How many outputs n inputs give, along one axis; 0 where no window fits.
function outputSide(n, [kernel, stride, padding, dilation]) {
  return Math.max(0, Math.floor((n + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1);
}

// First and last input that output `index` of the layers can depend on.
function looksAt(index, layers) {
  return layers.reduceRight(
    ([first, last], [kernel, stride, padding, dilation]) => [
      first * stride - padding,
      last * stride - padding + dilation * (kernel - 1),
    ],
    [index, index],
  );
}

// The inputs that output `index` of one layer reads.
function readsOf(index, layer) {
  const [kernel, , , dilation] = layer;
  return Array.from({ length: kernel }, (_, tap) => looksAt(index, [layer])[0] + tap * dilation);
}

const signed = (number) => String(number).replace("-", "−");
const times = (a, b) => `${a}\u00a0×\u00a0${b}`; // not over two lines

function openMap(value, name) {
  const [h, w] = [0, 1].map((i) => whole(value?.shape?.[i], 1, 1024, `The size of ${name}`));
  const bytes = unpack(value, "uint8", [h, w, 3], name);
  const layer = new Layer(w, h);
  for (let i = 0; i < h * w; i++) layer.put(i, bytes.subarray(3 * i, 3 * i + 3), 1);
  return { h, w, layer };
}

// What Python's `photographed` made, checked: {H, W, image, networks}; null where there is only the grid.
function openBlocks(value) {
  if (!value || typeof value !== "object") throw new Error("The scene is missing.");
  if (!Object.keys(value).length) return null;
  const [H, W] = [0, 1].map((i) => whole(value.size?.[i], 1, 4096, "The image's size"));
  if (!Array.isArray(value.maps)) throw new Error("The blocks' pictures are missing.");
  const maps = value.maps.map((one, i) => openMap(one, `map ${i + 1}`));
  const networks = new Map();
  for (const [name, facts] of Object.entries(value.networks ?? {})) {
    if (![facts?.layers, facts?.ends, facts?.maps].every(Array.isArray)) throw new Error("A network's layers are missing.");
    const layers = facts.layers.map((layer) =>
      [1, 1, 0, 1].map((least, i) => whole(layer?.[i], least, 99, "A layer's number")),
    );
    const ends = facts.ends.map((end) => whole(end, 1, layers.length, "A block's end"));
    const own = ends.map((_, i) => maps[whole(facts.maps[i], 0, maps.length - 1, "A map's number")]);
    const used = facts.used == null ? null : whole(facts.used, 1, 4096, "The square of influence");
    networks.set(name, { layers, ends: [0, ...ends], used, blocks: [{ h: H, w: W }, ...own] });
  }
  const counts = [...networks.values()].map(({ blocks }) => blocks.length);
  if (!counts.length || counts.some((count) => count !== counts[0] || count < 2)) {
    throw new Error("The scene should have networks of as many blocks, and has not.");
  }
  return { H, W, image: value.image, networks, count: counts[0] - 1 };
}

// Rows and columns, after block `at` (0: of the picture), that a cell after `block` can depend on.
function fieldOf({ layers, ends }, block, cell, at = 0) {
  return cell.map((index) => looksAt(index, layers.slice(ends[at], ends[block])));
}

const extent = ([first, last]) => last - first + 1;

// A square of `side` pixels around the middle of a field.
const around = (field, side) => field.map(([first, last]) => [(first + last + 1 - side) / 2, (first + last - 1 + side) / 2]);

// Frames rows and columns of a map of h by w; `dim` darkens the rest.
function frame({ context, canvas }, { h, w }, [rows, columns], { dim, dashed, colour = "#ffffff" }) {
  const [down, right] = [canvas.height / h, canvas.width / w];
  const box = [columns[0] * right, rows[0] * down, extent(columns) * right, extent(rows) * down];
  context.save();
  if (dim) {
    context.fillStyle = "rgba(0, 0, 0, 0.6)";
    context.beginPath();
    context.rect(0, 0, canvas.width, canvas.height);
    context.rect(...box);
    context.fill("evenodd");
  }
  for (const [ink, width] of [["#000000", 8], [colour, 4]]) {
    context.setLineDash(dashed ? [14, 8] : []);
    Object.assign(context, { strokeStyle: ink, lineWidth: width });
    context.strokeRect(...box);
  }
  context.restore();
}

// The picture and what each block makes of it; touching a cell chooses it. look: {network, block, cell}.
function blocksView(scene, look, image, choose) {
  const views = Array.from({ length: scene.count + 1 }, (_, at) => {
    const view = picture(scene, "", at ? `What block ${at} makes of the picture` : "The picture");
    const touch = ({ x, y }) => {
      const block = at || look.block;
      const { h, w } = scene.networks.get(look.network).blocks[block];
      const inside = (share, n) => Math.min(n - 1, Math.max(0, Math.floor(share * n)));
      choose(block, [inside(y / scene.H, h), inside(x / scene.W, w)]);
    };
    pointer(view.canvas, scene, { down: touch, move: (place) => place.pressed && touch(place) }); // rest: see `build`
    view.canvas.style.touchAction = "pan-y"; // a finger can still scroll past six pictures
    return view;
  });
  const repaint = () => {
    const network = scene.networks.get(look.network);
    views.forEach((view, at) => {
      const size = network.blocks[at];
      if (at) view.draw(null, size.layer);
      else view.draw(image);
      const field = at <= look.block ? fieldOf(network, look.block, look.cell, at) : null;
      if (field) frame(view, size, field, { dim: at < look.block });
      const square = at === 0 && look.block === scene.count && network.used;
      if (square) frame(view, size, around(field, network.used), { dashed: true, colour: "#ffe14d" });
      const reads = field && at < look.block ? `; lit: ${times(...field.map(extent))}` : "";
      view.caption.textContent = `${at ? `Block ${at}` : "Picture"}: ${times(size.h, size.w)}${reads}`;
    });
  };
  return Object.assign(element("div", { class: "panet-blocks" }, ...views), { repaint });
}

function blocksSentence(scene, { network: name, block, cell }) {
  const network = scene.networks.get(name);
  const field = fieldOf(network, block, cell);
  const [rows, columns] = field.map(([first, last]) => `${signed(first)} to ${signed(last)}`);
  const used = block === scene.count && network.used;
  const most = used ? ` Nine tenths of the influence come from about ${times(used, used)} (yellow dashes).` : "";
  return `${name}: row ${cell[0]}, column ${cell[1]} after block ${block} can depend on rows ${rows} and columns ${columns} of the picture, ${times(...field.map(extent))} pixels.${most}`;
}
