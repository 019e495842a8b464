// The page: where images come from, and what is shown. The model runs in worker.js.

import { closeCamera, openCamera } from "./camera.js";
import { showPairs, showResult } from "./show.js";

const MAX_SHOWN_PIXELS = 1600; // per side

const parts = Object.fromEntries(
  [...document.querySelectorAll("[id]")].map((element) => [element.id, element]),
);
const worker = new Worker("worker.js", { type: "module" });
const waiting = new Map(); // number of a run -> what resolves it
let runs = 0;
let shown; // the file on the page
let source = 0; // changes with each new image or camera, so that older ones know
let isLoaded = false;

// 1. Messages of the worker

const answers = {
  progress({ fraction }) {
    parts.progress.hidden = false;
    parts.progress.value = fraction;
    setStatus(`Loading the model: ${Math.round(100 * fraction)}%`);
  },
  loaded({ facts, config, processor, runtime }) {
    isLoaded = true;
    parts.progress.hidden = true;
    parts.processor.value = processor;
    parts.processor.disabled = false;
    showFacts(facts, config, runtime);
    setStatus(shown || isCameraOn() ? "" : "Ready for an image");
  },
  notice({ text, processor }) {
    parts.processor.value = processor;
    showError(text);
  },
  result({ id, ...rest }) {
    waiting.get(id)?.resolve(rest);
  },
  error({ id, text }) {
    if (waiting.has(id)) {
      waiting.get(id).reject(new Error(text));
    } else {
      parts.progress.hidden = true;
      parts.processor.disabled = false;
      setStatus("");
      showError(text);
    }
  },
};
worker.onmessage = ({ data }) => answers[data.type](data);
worker.onerror = (event) => {
  event.preventDefault();
  setStatus("");
  showError("The page's programs could not be started: use a current browser.");
};

/** Run the model on a bitmap, which the worker takes over. */
function run(bitmap, decoded) {
  const id = ++runs;
  const answered = new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
  worker.postMessage({ type: "run", id, bitmap, decoded }, [bitmap]);
  return answered.finally(() => waiting.delete(id));
}

// 2. Images

/** Show an image file and what the model finds in it. */
async function openImage(file) {
  leaveCamera();
  showError("");
  const number = ++source;
  const start = performance.now();
  let bitmap;
  try {
    // The pixels as they are stored, like Pillow's, but upright
    bitmap = await createImageBitmap(file, {
      imageOrientation: "from-image",
      colorSpaceConversion: "none",
    });
  } catch {
    const name = file.name || "what was pasted";
    showError(`${name} is not an image that this browser can read: choose a PNG, JPEG or WebP.`);
    return;
  }
  if (number !== source) return;
  shown = file;
  const size = { width: bitmap.width, height: bitmap.height };
  const decoded = performance.now() - start;
  drawPicture(bitmap);
  if (isLoaded) setStatus("Computing");
  try {
    const { result, times } = await run(bitmap, decoded);
    if (number === source) {
      showResult(result, times, parts.results, parts.times, parts.overlay, size);
      setStatus(describe(result));
    }
  } catch (error) {
    setStatus("");
    showError(error.message);
  }
}

function drawPicture(bitmap) {
  const scale = Math.min(1, MAX_SHOWN_PIXELS / Math.max(bitmap.width, bitmap.height));
  const canvas = parts.picture;
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  showOnly(canvas);
}

/** Show the picture, the video or the hint on the stage, without the last result. */
function showOnly(element) {
  for (const one of [parts.picture, parts.video, parts.hint]) one.hidden = one !== element;
  parts.overlay.hidden = true;
  parts.results.replaceChildren();
  parts.times.hidden = true;
}

function openFirst(files) {
  if (files.length > 0) openImage(files[0]);
  else showError("No image was dropped or pasted: drop an image file.");
}

// 3. The camera

function isCameraOn() {
  return parts.camera.getAttribute("aria-pressed") === "true";
}

function setCamera(isOn) {
  parts.camera.setAttribute("aria-pressed", String(isOn));
  parts.camera.textContent = isOn ? "Stop camera" : "Start camera";
}

async function enterCamera() {
  showError("");
  const number = ++source;
  setCamera(true);
  try {
    const stream = await openCamera();
    if (number !== source) {
      closeCamera(stream);
      return;
    }
    parts.video.srcObject = stream;
    await parts.video.play();
    if (number !== source) return;
    shown = undefined;
    showOnly(parts.video);
    setStatus(isLoaded ? "Camera on" : "Loading the model");
    await classifyFrames(number);
  } catch (error) {
    if (number !== source) return;
    leaveCamera();
    showError(error.message);
  }
}

/** Run the model on one frame after another until something else is shown. */
async function classifyFrames(number) {
  while (number === source) {
    const bitmap = await createImageBitmap(parts.video);
    const size = { width: bitmap.width, height: bitmap.height };
    const { result, times } = await run(bitmap, 0);
    if (number !== source) return;
    showResult(result, times, parts.results, parts.times, parts.overlay, size);
    setStatus("Camera on");
    await new Promise((resolve) => requestAnimationFrame(resolve));
  }
}

function leaveCamera() {
  if (!isCameraOn()) return;
  source++;
  setCamera(false);
  closeCamera(parts.video.srcObject);
  parts.video.srcObject = null;
  if (!shown) showOnly(parts.hint);
  setStatus(isLoaded ? "Ready for an image" : "Loading the model");
}

// 4. Texts

function setStatus(text) {
  if (parts.status.textContent !== text) parts.status.textContent = text;
}

function showError(text) {
  parts.error.textContent = text;
  parts.error.hidden = text === "";
}

function describe(result) {
  if (result.kind === "classes") return `Most probable: ${result.classes[0].label}`;
  if (result.kind === "map") return "Fractions of the image";
  const number = result.objects.length;
  return number === 0 ? "No objects found" : `${number} ${number === 1 ? "object" : "objects"}`;
}

function showFacts(facts, config, runtime) {
  document.title = facts.name;
  parts.name.textContent = facts.name;
  const [height, width] = config.size;
  const kind = facts.int8 ? ", INT8" : "";
  const pairs = [
    ["Weights", facts.weights],
    ["Input", `${width} × ${height} pixels`],
    ["Classes", String(config.labels.length)],
    ["File", `${(facts.bytes / 1e6).toFixed(1)} MB${kind}`],
    ["Runtime", `onnxruntime-web ${runtime}`],
  ];
  showPairs(parts.facts, pairs);
}

// 5. What the user does

parts.choose.addEventListener("click", () => parts.file.click());
parts.file.addEventListener("change", () => {
  if (parts.file.files.length > 0) openImage(parts.file.files[0]);
  parts.file.value = ""; // the same file can be chosen again
});
parts.camera.addEventListener("click", () => (isCameraOn() ? leaveCamera() : enterCamera()));
parts.processor.addEventListener("change", () => {
  showError("");
  parts.processor.disabled = true;
  worker.postMessage({ type: "load", processor: parts.processor.value });
  if (shown) openImage(shown);
});
document.addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files];
  if (files.length > 0) event.preventDefault();
  openFirst(files);
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  parts.stage.classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) parts.stage.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  parts.stage.classList.remove("over");
  openFirst([...event.dataTransfer.files]);
});

parts.processors.hidden = !("gpu" in navigator);
parts.processor.value = "cpu"; // browsers keep the last choice when they reload
worker.postMessage({ type: "load", processor: "cpu" });
