// Arrays and scenes as Python's scenes.py packs them, checked before anything is done with them.

const KINDS_OF_ARRAY = { int8: Int8Array, uint8: Uint8Array, float32: Float32Array };

// The typed array behind {dtype, shape, data}. The page's state is not trusted: what is wrong is said.
function unpack(value, dtype, shape, name) {
  const Kind = KINDS_OF_ARRAY[dtype];
  if (!value || value.dtype !== dtype || !value.data || String(value.shape) !== String(shape)) {
    throw new Error(`${name} should be ${dtype} of shape ${shape.join(" x ")}, and is not.`);
  }
  const size = shape.reduce((product, n) => product * n, 1);
  const { buffer, byteOffset, byteLength } = value.data;
  if (byteLength !== size * Kind.BYTES_PER_ELEMENT) {
    throw new Error(`${name} has ${byteLength} bytes where ${size * Kind.BYTES_PER_ELEMENT} belong.`);
  }
  return new Kind(buffer.slice(byteOffset, byteOffset + byteLength)); // aligned, and our own
}

function pack(array, shape) {
  const dtype = Object.keys(KINDS_OF_ARRAY).find((name) => array instanceof KINDS_OF_ARRAY[name]);
  return { dtype, shape, data: new DataView(array.slice().buffer) };
}

function checkLabels(labels, ways, name) {
  const wrong = labels.find((label) => label > ways && label !== VOID);
  if (wrong !== undefined) throw new Error(`${name} holds ${wrong}, which is no class: use 0 to ${ways} and ${VOID}.`);
  return labels;
}

function whole(value, least, most, name) {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new Error(`${name} should be a whole number from ${least} to ${most}, and is not.`);
  }
  return value;
}

// One label map (H, W) for each of `count` images, out of a packed array (count, H, W), and back.
function unpackMaps(value, count, { H, W, ways }, name) {
  const all = checkLabels(unpack(value, "uint8", [count, H, W], name), ways, name);
  return Array.from({ length: count }, (_, n) => all.slice(n * H * W, (n + 1) * H * W));
}

function joined(maps) {
  const all = new Uint8Array(maps.reduce((length, map) => length + map.length, 0));
  maps.reduce((at, map) => (all.set(map, at), at + map.length), 0);
  return all;
}

function packMaps(maps, { H, W }) {
  return pack(joined(maps), [maps.length, H, W]);
}

// What Python's `scenes.pictures` made, checked and decoded.
function openPictures(value) {
  if (!value || typeof value !== "object") throw new Error("The scene is missing.");
  const ways = whole(value.ways, 1, 20, "The number of ways");
  const shots = whole(value.shots, 1, 100, "The number of shots");
  const queries = whole(value.queries, 1, 100, "The number of queries");
  const [H, W] = [0, 1].map((i) => whole(value.size?.[i], 1, 4096, "The image's size"));
  const supports = ways * shots;
  if (!Array.isArray(value.images) || value.images.length !== supports + queries) {
    throw new Error(`The scene should have ${supports + queries} pictures, and has not.`);
  }
  const maps = (packed, count, name) => unpackMaps(packed, count, { H, W, ways }, name);
  const starts = Object.entries(value.starts ?? {}).map(([kind, v]) => [kind, maps(v, supports, `The ${kind} label map`)]);
  return {
    ways, shots, queries, supports, H, W,
    pixels: H * W,
    names: Array.from({ length: ways }, (_, i) => String(value.names?.[i] ?? `class ${i + 1}`).slice(0, 60)),
    images: value.images,
    starts: Object.fromEntries(starts),
    truth: maps(value.truth, queries, "The truth"),
  };
}

// A scene as Python's `scenes.scene` made it, checked and decoded.
function openScene(value) {
  const scene = openPictures(value);
  const [h, w] = [0, 1].map((i) => whole(value.grid?.[i], 1, 1024, "The features' size"));
  const channels = whole(value.channels, 1, 4096, "The number of channels");
  if (!(Number.isFinite(value.alpha) && Object.hasOwn(ALPHA, value.distance))) {
    throw new Error("The scene should have an alpha that is a number and a known distance, and has not.");
  }
  const images = scene.supports + scene.queries;
  const small = unpack(value.features, "int8", [images, channels, h, w], "The features");
  const scale = unpack(value.scale, "float32", [channels], "The features' scale");
  if (!scale.every(Number.isFinite)) throw new Error("The features' scale holds a number that is not finite.");
  const cells = h * w;
  const values = Float32Array.from(small, (v, i) => v * scale[Math.floor(i / cells) % channels]);
  const features = Array.from({ length: images }, (_, n) => values.subarray(n * channels * cells, (n + 1) * channels * cells));
  return { ...scene, h, w, cells, channels, alpha: value.alpha, distance: value.distance, features };
}
