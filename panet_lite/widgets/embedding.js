// In a worker, behind TensorFlow.js: pixels to the features of the network that network.py's `exported` describes.

let blocks = null; // [{adds, layers: [{filter, shift, ...}]}]
let stretch = null; // of each colour: [factor, shift] from 0..255 to what the network wants

// float16, as bits, to numbers.
function fromHalf(bits) {
  return Float32Array.from(bits, (b) => {
    const [sign, exponent, rest] = [b & 0x8000 ? -1 : 1, (b >> 10) & 31, b & 1023];
    return exponent ? sign * (1 + rest / 1024) * 2 ** (exponent - 15) : (sign * rest) / 2 ** 24;
  });
}

// Each filter times its gain, as a tensor.
function layerOf(layer, filters, gains, shifts) {
  const { kernel, inside, out, depthwise } = layer;
  const shape = depthwise ? [kernel, kernel, out, 1] : [kernel, kernel, inside, out];
  const values = filters(shape.reduce((product, n) => product * n, 1));
  const gain = gains(out);
  return { ...layer, filter: tf.tensor(values.map((v, i) => v * gain[i % out]), shape), shift: tf.tensor(shifts(out), [out]) };
}

async function begin({ wasm, network }) {
  const url = URL.createObjectURL(new Blob([wasm], { type: "application/wasm" }));
  const names = ["-simd", "", "-threaded-simd"].map((kind) => [`tfjs-backend-wasm${kind}.wasm`, url]);
  tf.setWasmPaths(Object.fromEntries(names)); // one is enough: browsers without SIMD are older than this page
  if (!(await tf.setBackend("wasm"))) throw new Error("This browser cannot run WebAssembly with SIMD.");
  const reader = (array, at = 0) => (count) => array.subarray(at, (at += count));
  const [filters, gains, shifts] = [reader(fromHalf(network.filters)), reader(network.gains), reader(network.shifts)];
  blocks = network.blocks.map(({ adds, layers }) => ({ adds, layers: layers.map((l) => layerOf(l, filters, gains, shifts)) }));
  stretch = network.std.map((std, c) => [1 / (255 * std), -network.mean[c] / std]);
}

function convolved(x, { filter, shift, stride, dilation, depthwise, active }) {
  const given = { x, filter, bias: shift, strides: stride, dilations: dilation, pad: "same", activation: active ? "relu6" : "linear" };
  return (depthwise ? tf.depthwiseConv2d : tf.conv2d)(given);
}

// RGBA pixels, row by row, to {features (C, h, w), h, w, channels}.
function embed({ pixels, H, W }) {
  const input = new Float32Array(3 * H * W);
  for (let i = 0, k = 0; k < input.length; i++) {
    if (i % 4 === 3) continue;
    const [factor, shift] = stretch[i % 4];
    input[k++] = pixels[i] * factor + shift;
  }
  const out = tf.tidy(() =>
    blocks.reduce((x, { adds, layers }) => {
      const y = layers.reduce(convolved, x);
      return adds ? tf.add(x, y) : y;
    }, tf.tensor(input, [1, H, W, 3])));
  const [, h, w, channels] = out.shape;
  const values = out.dataSync();
  out.dispose();
  const features = new Float32Array(values.length);
  for (let i = 0; i < h * w; i++) for (let c = 0; c < channels; c++) features[c * h * w + i] = values[i * channels + c];
  return { features, h, w, channels };
}

onmessage = async ({ data: { id, setup, picture } }) => {
  try {
    const result = setup ? await begin(setup) : embed(picture);
    postMessage({ id, result }, result ? [result.features.buffer] : []);
  } catch (error) {
    postMessage({ id, error: error.message });
  }
};
