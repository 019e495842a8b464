// Show results: a list beside the image, and what lies over it.

import { colorOf, inkOn, toCss } from "./colors.js";

const MAP_OPACITY = 0.6;
const TIMES = { preparation: "Preparation", network: "Network", result: "Evaluation" };

/** Show a result in the list and over the image, whose size in pixels is given. */
export function showResult(result, times, list, timeList, overlay, size) {
  overlay.hidden = result.kind === "classes";
  if (result.kind === "map") drawMap(result, overlay);
  if (result.kind === "objects") drawObjects(result.objects, overlay, size);
  const entries = result.kind === "objects" ? result.objects : result.classes;
  list.dataset.kind = result.kind;
  list.replaceChildren(...entries.map((entry) => listEntry(entry, result.kind)));
  const names = Object.keys(TIMES).filter((name) => name in times && !isTrivial(name, result));
  showPairs(timeList, names.map((name) => [TIMES[name], `${times[name].toFixed(1)} ms`]));
}

function isTrivial(name, result) {
  return name === "result" && result.kind === "classes";
}

/** Fill a description list with [title, text] pairs. */
export function showPairs(list, pairs) {
  const groups = pairs.map(([title, text]) => {
    const group = document.createElement("div");
    group.append(element("dt", "", title), element("dd", "", text));
    return group;
  });
  list.replaceChildren(...groups);
  list.hidden = groups.length === 0;
}

function listEntry({ index, label, score, box }, kind) {
  const item = element("li", "entry", "");
  if (box) item.dataset.box = box.map((value) => value.toFixed(1)).join(" ");
  if (kind !== "classes") {
    const swatch = element("span", "swatch", "");
    swatch.style.background = toCss(colorOf(index));
    item.append(swatch);
  }
  item.append(element("span", "label", label));
  item.append(element("span", "score", `${(100 * score).toFixed(1)}%`));
  const bar = element("span", "bar", "");
  const filled = element("span", "filled", "");
  filled.style.width = `${100 * score}%`;
  if (kind !== "classes") filled.style.background = toCss(colorOf(index));
  bar.append(filled);
  item.append(bar);
  return item;
}

function element(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  made.textContent = text;
  return made;
}

function drawMap({ width, height, map, classes }, overlay) {
  overlay.width = width;
  overlay.height = height;
  const image = new ImageData(width, height);
  const colors = new Map(classes.map(({ index }) => [index, colorOf(index)]));
  map.forEach((index, pixel) => {
    image.data.set(colors.get(index), 4 * pixel);
    image.data[4 * pixel + 3] = 255 * MAP_OPACITY;
  });
  overlay.getContext("2d").putImageData(image, 0, 0);
}

/** Draw boxes with names, in pixels of the screen so that lines and text stay sharp. */
function drawObjects(objects, overlay, size) {
  const ratio = window.devicePixelRatio;
  const shown = overlay.parentElement.getBoundingClientRect();
  const fit = Math.min(shown.width / size.width, shown.height / size.height);
  const scale = Math.max(fit, 0.01) * ratio;
  overlay.width = Math.round(size.width * scale);
  overlay.height = Math.round(size.height * scale);
  const context = overlay.getContext("2d");
  context.font = `600 ${13 * ratio}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  for (const one of [...objects].reverse()) drawObject(context, one, scale, ratio);
}

function drawObject(context, { index, label, score, box }, scale, ratio) {
  const color = colorOf(index);
  const [left, top, right, bottom] = box.map((value) => value * scale);
  context.lineWidth = 2 * ratio;
  context.strokeStyle = toCss(color);
  context.strokeRect(left, top, right - left, bottom - top);
  const text = `${label} ${(100 * score).toFixed(0)}%`;
  const height = 20 * ratio;
  const width = context.measureText(text).width + 10 * ratio;
  const x = Math.max(0, Math.min(left - ratio, context.canvas.width - width));
  const y = top >= height ? top - height : top;
  context.fillStyle = toCss(color);
  context.fillRect(x, y, width, height);
  context.fillStyle = inkOn(color);
  context.fillText(text, x + 5 * ratio, y + height / 2);
}
