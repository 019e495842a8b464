// Load the model and run it, outside of the thread that draws the page.
//
// {type: "load", processor}     -> progress, then loaded
// {type: "run", id, bitmap, decoded} -> result
// Both answer with an error, or with a notice and the CPU where the GPU fails.

import { classify } from "./classify.js";
import { detect } from "./detect.js";
import { prepare, readPixels } from "./prepare.js";
import { segment } from "./segment.js";

const BUNDLES = { cpu: "./ort/ort.wasm.bundle.min.js", gpu: "./ort/ort.webgpu.bundle.min.js" };
const PROVIDERS = { cpu: "wasm", gpu: "webgpu" };

let config; // preprocess.json, with the names of the classes as labels
let facts; // model.json
let bytes; // of the model's file
let ort, session, processor;

let queue = Promise.resolve();
onmessage = ({ data }) => {
  queue = queue.then(() => answer(data));
};

async function answer(message) {
  try {
    if (message.type === "load") await load(message.processor);
    else await run(message);
  } catch (error) {
    postMessage({ type: "error", id: message.id, text: error.message });
  }
}

async function load(wanted) {
  await readFiles();
  try {
    await open(wanted);
  } catch (error) {
    if (wanted === "cpu") throw new Error(`The model could not be started (${brief(error)}).`);
    await fallBack(error);
  }
  postMessage({ type: "loaded", facts, config, processor, runtime: ort.env.versions.web });
}

/** Fetch what lies beside the page, once. */
async function readFiles() {
  if (bytes) return;
  facts = await (await fetchFile("model.json")).json();
  config = await (await fetchFile("preprocess.json")).json();
  const labels = await (await fetchFile("labels.txt")).text();
  config.labels = labels.split("\n").slice(0, -1);
  bytes = await fetchModel();
}

async function fetchFile(name) {
  let response;
  try {
    response = await fetch(name);
  } catch {
    throw new Error(`${name} could not be fetched: check that the server of this page runs.`);
  }
  if (!response.ok) {
    throw new Error(`${name} was not found beside this page: serve the whole exported folder.`);
  }
  return response;
}

async function fetchModel() {
  const response = await fetchFile(facts.file);
  const chunks = [];
  let received = 0;
  const reader = response.body.getReader();
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    chunks.push(read.value);
    received += read.value.length;
    postMessage({ type: "progress", fraction: Math.min(1, received / facts.bytes) });
  }
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}

/** Start a session on the CPU or the GPU. */
async function open(wanted) {
  await session?.release();
  session = undefined;
  ort = await import(BUNDLES[wanted]);
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = 1; // more threads need special headers of the server
  session = await ort.InferenceSession.create(bytes, {
    executionProviders: [PROVIDERS[wanted]],
  });
  processor = wanted;
}

async function fallBack(error) {
  await open("cpu");
  const text = `The GPU could not be used (${brief(error)}), so the CPU is used.`;
  postMessage({ type: "notice", text, processor });
}

async function run({ id, bitmap, decoded }) {
  if (!session) throw new Error("The model is not loaded: reload the page.");

  // 1. The input
  const start = performance.now();
  const image = readPixels(bitmap);
  bitmap.close();
  const prepared = prepare(image, config);

  // 2. The network
  const started = performance.now();
  const outputs = await compute(prepared.values);

  // 3. What the outputs say
  const ended = performance.now();
  const result = interpret(outputs, prepared, image);
  const times = {
    preparation: decoded + started - start,
    network: ended - started,
    result: performance.now() - ended,
  };
  postMessage({ type: "result", id, result, times, processor });
}

/** Return the outputs for (3, H, W) values, on the CPU if the GPU fails. */
async function compute(values) {
  const tensor = () => new ort.Tensor("float32", values, [1, 3, ...config.size]);
  let found;
  try {
    found = await session.run({ [config.input]: tensor() });
  } catch (error) {
    if (processor === "cpu") throw new Error(`The model could not be run (${brief(error)}).`);
    await fallBack(error);
    found = await session.run({ [config.input]: tensor() });
  }
  return config.outputs.map((name) => found[name]);
}

function interpret(outputs, prepared, image) {
  if ("max_overlap" in config) return detect(outputs, config, prepared, image);
  if ("mask_values" in config) return segment(outputs, config, prepared, image);
  return classify(outputs, config);
}

/** Return the first line of an error, shortened. */
function brief(error) {
  const line = String(error.message ?? error).split("\n")[0].replace(/[.\s]+$/, "");
  return line.length > 120 ? `${line.slice(0, 120)} ...` : line;
}
