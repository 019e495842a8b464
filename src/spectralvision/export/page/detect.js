// Objects in an image, like detect.py.

/**
 * @returns {{kind: "objects", objects: {index: number, label: string, score: number,
 *   box: number[]}[]}} the highest score first; boxes are x1, y1, x2, y2 in pixels of the image
 */
export function detect(outputs, config, prepared, image) {
  const [boxes, scores] = outputs; // (1, 4, N), (1, K, N)
  const places = boxes.dims[2];
  const limits = [prepared.width, prepared.height, prepared.width, prepared.height];
  const minScore = Math.fround(config.min_score);
  const found = [];
  for (let index = 0; index < scores.data.length; index++) {
    if (!(scores.data[index] >= minScore)) continue;
    const place = index % places;
    const box = limits.map((limit, side) =>
      Math.min(Math.max(boxes.data[side * places + place], 0), limit),
    );
    found.push({ index: Math.floor(index / places), score: scores.data[index], box });
  }
  found.sort((one, other) => other.score - one.score);
  const kept = suppressOverlaps(found, config.max_overlap, config.max_objects);
  const sides = [image.width, image.height, image.width, image.height];
  const objects = kept.map((one) => ({
    ...one,
    label: config.labels[one.index],
    box: one.box.map((value, side) => (value * sides[side]) / limits[side]),
  }));
  return { kind: "objects", objects };
}

/** Return the first objects that overlap no better one of their class by more than some IoU. */
function suppressOverlaps(objects, maxOverlap, maxObjects) {
  const kept = [];
  for (const one of objects) {
    if (kept.length === maxObjects) break;
    const rivals = kept.filter((other) => other.index === one.index);
    if (!rivals.some((other) => overlaps(one.box, other.box, maxOverlap))) kept.push(one);
  }
  return kept;
}

function overlaps(one, other, maxOverlap) {
  const width = Math.max(0, Math.min(one[2], other[2]) - Math.max(one[0], other[0]));
  const height = Math.max(0, Math.min(one[3], other[3]) - Math.max(one[1], other[1]));
  const common = width * height;
  return common > maxOverlap * (area(one) + area(other) - common);
}

function area([left, top, right, bottom]) {
  return (right - left) * (bottom - top);
}
