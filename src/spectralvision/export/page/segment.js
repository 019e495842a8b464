// The class of each pixel of an image, like segment.py.

import { resizeMap } from "./resize.js";

const MAX_SIDE_PIXELS = 800; // of the map of classes, which is only shown

/**
 * @returns {{kind: "map", width: number, height: number, map: Uint16Array,
 *   classes: {index: number, label: string, score: number}[]}} the class numbers of the pixels,
 *   and the fractions of the classes, the largest first
 */
export function segment(outputs, config, prepared, image) {
  const scale = Math.min(1, MAX_SIDE_PIXELS / Math.max(image.width, image.height));
  const width = Math.max(1, Math.round(image.width * scale));
  const height = Math.max(1, Math.round(image.height * scale));
  const map = new Uint16Array(width * height);
  const best = new Float32Array(width * height).fill(-Infinity);
  config.labels.forEach((_, index) => {
    const scores = resizeMap(cropMap(outputs[0], index, prepared), width, height);
    for (let pixel = 0; pixel < scores.length; pixel++) {
      if (scores[pixel] > best[pixel]) {
        best[pixel] = scores[pixel];
        map[pixel] = index;
      }
    }
  });
  return { kind: "map", width, height, map, classes: countClasses(map, config.labels) };
}

/** Return the scores (1, K, H, W) of a class in the part of the input that the image covers. */
function cropMap({ data, dims }, index, { width, height }) {
  const [, , rows, columns] = dims;
  const values = new Float32Array(width * height);
  for (let row = 0; row < height; row++) {
    const from = (index * rows + row) * columns;
    values.set(data.subarray(from, from + width), row * width);
  }
  return { data: values, width, height };
}

function countClasses(map, labels) {
  const counts = new Array(labels.length).fill(0);
  for (const index of map) counts[index]++;
  return counts
    .map((count, index) => ({ index, label: labels[index], score: count / map.length }))
    .filter((one) => one.score > 0)
    .sort((one, other) => other.score - one.score);
}
