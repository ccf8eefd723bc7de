// Photos into the page, label maps out of it, and the camera. What comes in is not trusted; nothing leaves the page.

const SIDE = 320; // pixels that the network sees of a photo's longer side, as `Segmenter` has it
const MEGAPIXELS = 60; // 240 MB, decoded

// Rounded as Python rounds: a half goes to the even number.
const rounded = (x) => (x % 1 === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));

// A canvas with the picture at a size, for drawing and for its pixels.
function canvasOf(image, width, height) {
  const canvas = element("canvas", { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  Object.assign(context, { imageSmoothingQuality: "high", fillStyle: "#ffffff" });
  context.fillRect(0, 0, width, height); // what is transparent
  context.drawImage(image, 0, 0, width, height);
  return canvas;
}

// A file's picture: {name, height, width, canvas (to look at), pixels, H, W (for the network)}.
async function readPhoto(file, name = file.name) {
  const bad = (why) => new Error(`${String(name).slice(0, 60)} ${why}`);
  if (!file.size) throw bad("is empty.");
  if (/svg|video|audio|pdf/.test(file.type)) throw bad("is no photo: JPEG, PNG and WebP are.");
  const image = await createImageBitmap(file).catch(() => {
    throw bad("cannot be read by this browser: JPEG, PNG and WebP can.");
  });
  const { width, height } = image;
  try {
    if (width * height > MEGAPIXELS * 1e6) throw bad(`has ${Math.round((width * height) / 1e6)} megapixels: make it smaller, ${MEGAPIXELS} at most.`);
    const share = Math.min(1, SIDE / Math.max(width, height));
    const [W, H] = [width, height].map((n) => Math.max(1, rounded(n * share)));
    const near = Math.min(1, 4 * share); // the browser's part of the way, as a decoder's draft is Python's
    const canvas = canvasOf(image, Math.max(1, Math.round(width * near)), Math.max(1, Math.round(height * near)));
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return { name: String(name), height, width, canvas, ...resized({ pixels: data, H: canvas.height, W: canvas.width }, H, W) };
  } finally {
    image.close();
  }
}

// ---- PNG ---------------------------------------------------------------------------------------

const CRC = Uint32Array.from({ length: 256 }, (_, n) => Array.from({ length: 8 }).reduce((c) => (c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1), n));

function chunk(kind, data) {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set([...kind].map((c) => c.charCodeAt(0)), 4);
  bytes.set(data, 8);
  let crc = ~0;
  for (let i = 4; i < 8 + data.length; i++) crc = CRC[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  view.setUint32(8 + data.length, ~crc >>> 0);
  return bytes;
}

// A label map (height, width) as a PNG whose values are its labels, with colours to look at.
async function png(labels, width, height) {
  const rows = new Uint8Array(height * (width + 1)); // each row begins with its filter, 0
  for (let y = 0; y < height; y++) rows.set(labels.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  const deflated = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
  const head = new Uint8Array(13);
  new DataView(head.buffer).setUint32(0, width);
  new DataView(head.buffer).setUint32(4, height);
  head.set([8, 3, 0, 0, 0], 8); // 8 bits, a palette
  const colours = new Uint8Array(3 * 256); // black is the background
  for (let label = 1; label < VOID; label++) colours.set(rgb(wayColour(label)), 3 * label);
  colours.set([224, 224, 192], 3 * VOID);
  const sign = Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10);
  const data = new Uint8Array(await new Response(deflated).arrayBuffer());
  return new Blob([sign, chunk("IHDR", head), chunk("PLTE", colours), chunk("IDAT", data), chunk("IEND", new Uint8Array())], { type: "image/png" });
}

function save(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// ---- camera ------------------------------------------------------------------------------------

// A live picture with buttons: take(blob) gets each photo; the camera is off when the box goes.
async function cameraBox(take) {
  if (!navigator.mediaDevices?.getUserMedia) throw new Error("This page may not use a camera here: choose a file.");
  const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } }).catch((error) => {
    throw new Error(`There is no camera for this page (${error.name}): choose a file.`);
  });
  const video = element("video", { autoplay: true, muted: true, playsinline: true, "aria-label": "What the camera sees" });
  video.srcObject = stream;
  const shoot = () => video.videoWidth && canvasOf(video, video.videoWidth, video.videoHeight).toBlob(take, "image/jpeg", 0.95);
  const close = () => (stream.getTracks().forEach((track) => track.stop()), box.remove());
  const row = element("div", { class: "panet-row" }, button("Take the photo", shoot), button("Close the camera", close));
  const box = element("div", { class: "panet-camera" }, video, row);
  return Object.assign(box, { close });
}
