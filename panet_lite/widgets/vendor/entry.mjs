// What the page takes of TensorFlow.js 4.22.0 (Apache-2.0): its WebAssembly backend, four kernels, and what calls them.
//
// tfjs.js beside it is made of this file, and the .wasm is the package's own:
//   npm install @tensorflow/tfjs-core@4.22.0 @tensorflow/tfjs-backend-wasm@4.22.0 esbuild@0.28.2
//   npx esbuild entry.mjs --bundle --minify --format=iife --global-name=tf --legal-comments=none --outfile=tfjs.js
import { registerKernel } from "@tensorflow/tfjs-core/dist/kernel_registry.js";
import { add } from "@tensorflow/tfjs-core/dist/ops/add.js";
import { conv2d } from "@tensorflow/tfjs-core/dist/ops/fused/conv2d.js";
import { depthwiseConv2d } from "@tensorflow/tfjs-core/dist/ops/fused/depthwise_conv2d.js";
import { tensor } from "@tensorflow/tfjs-core/dist/ops/tensor.js";
import { memory, ready, setBackend, tidy } from "@tensorflow/tfjs-core/dist/globals.js";
import { setThreadsCount, setWasmPaths } from "@tensorflow/tfjs-backend-wasm/dist/base.js";
import { addConfig } from "@tensorflow/tfjs-backend-wasm/dist/kernels/Add.js";
import { fusedConv2DConfig } from "@tensorflow/tfjs-backend-wasm/dist/kernels/FusedConv2D.js";
import { fusedDepthwiseConv2DConfig } from "@tensorflow/tfjs-backend-wasm/dist/kernels/FusedDepthwiseConv2D.js";
import { reshapeConfig } from "@tensorflow/tfjs-backend-wasm/dist/kernels/Reshape.js";
for (const config of [addConfig, fusedConv2DConfig, fusedDepthwiseConv2DConfig, reshapeConfig]) registerKernel(config);
export { add, conv2d, depthwiseConv2d, memory, ready, setBackend, setThreadsCount, setWasmPaths, tensor, tidy };
