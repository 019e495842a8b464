// Resize images as Image.resize of Pillow does, value by value.
//
// Each output value is a weighted mean of the input values below a filter, which is as wide as an
// output pixel where the image shrinks. Rows are resized first, then columns. Images of bytes are
// computed in integers, with weights in units of 2^-22, and rounded after the rows too. Pillow 13
// takes the columns first where that is less work, which rounds differently.

const PRECISION_BITS = 22;

const FILTERS = {
  bilinear: { support: 1, weight: (x) => (x < 1 ? 1 - x : 0) },
  bicubic: { support: 2, weight: bicubic },
  lanczos: { support: 3, weight: (x) => (x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

function bicubic(x) {
  const a = -0.5;
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}

/**
 * Resize an RGBA image; return its RGB bytes.
 * @param {{data: Uint8ClampedArray, width: number, height: number}} image of four channels
 * @param {string} method nearest, bilinear, bicubic or lanczos
 */
export function resizeImage(image, width, height, method) {
  const rgb = { data: dropAlpha(image.data), width: image.width, height: image.height };
  if (method === "nearest") return resizeNearest(rgb, width, height);
  return resizeChannels(rgb, 3, width, height, method, true).data;
}

/** Resize a map of floats with the bilinear filter; return its values. */
export function resizeMap(map, width, height) {
  return resizeChannels(map, 1, width, height, "bilinear", false).data;
}

function dropAlpha(rgba) {
  const rgb = new Uint8ClampedArray((rgba.length / 4) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    rgb[to] = rgba[from];
    rgb[to + 1] = rgba[from + 1];
    rgb[to + 2] = rgba[from + 2];
  }
  return rgb;
}

function resizeNearest(image, width, height) {
  const columns = nearestPlaces(image.width, width);
  const rows = nearestPlaces(image.height, height);
  const result = new Uint8ClampedArray(width * height * 3);
  let to = 0;
  for (const row of rows) {
    for (const column of columns) {
      const from = (row * image.width + column) * 3;
      for (let channel = 0; channel < 3; channel++) result[to++] = image.data[from + channel];
    }
  }
  return result;
}

function nearestPlaces(size, newSize) {
  const places = new Int32Array(newSize);
  const step = size / newSize;
  let center = step * 0.5; // summed up as Pillow does, since the sum is rounded
  for (let place = 0; place < newSize; place++, center += step) places[place] = center;
  return places;
}

/** Resize along the rows, then along the columns, wherever the size changes. */
function resizeChannels(image, channels, width, height, method, isBytes) {
  let found = image;
  if (found.width !== width) {
    const taps = computeTaps(found.width, width, FILTERS[method], isBytes);
    found = resizeRows(found, channels, width, taps, isBytes);
  }
  if (found.height !== height) {
    const taps = computeTaps(found.height, height, FILTERS[method], isBytes);
    found = resizeColumns(found, channels, height, taps, isBytes);
  }
  return found;
}

/** Return, for each output pixel, the first input pixel, their number, and their weights. */
function computeTaps(size, newSize, filter, isBytes) {
  const scale = size / newSize;
  const stretch = Math.max(scale, 1);
  const support = filter.support * stretch;
  const capacity = Math.ceil(support) * 2 + 1;
  const starts = new Int32Array(newSize);
  const counts = new Int32Array(newSize);
  const weights = isBytes
    ? new Int32Array(newSize * capacity)
    : new Float64Array(newSize * capacity);
  const found = new Float64Array(capacity);
  for (let place = 0; place < newSize; place++) {
    const center = (place + 0.5) * scale;
    const start = Math.max(0, Math.trunc(center - support + 0.5));
    const count = Math.min(size, Math.trunc(center + support + 0.5)) - start;
    let sum = 0;
    for (let tap = 0; tap < count; tap++) {
      found[tap] = filter.weight(Math.abs((start + tap - center + 0.5) / stretch));
      sum += found[tap];
    }
    for (let tap = 0; tap < count; tap++) {
      const weight = sum === 0 ? found[tap] : found[tap] / sum;
      weights[place * capacity + tap] = isBytes ? toInteger(weight) : weight;
    }
    starts[place] = start;
    counts[place] = count;
  }
  return { starts, counts, weights, capacity };
}

function toInteger(weight) {
  return Math.trunc(weight * 2 ** PRECISION_BITS + (weight < 0 ? -0.5 : 0.5));
}

function newValues(length, isBytes) {
  return isBytes ? new Uint8ClampedArray(length) : new Float32Array(length);
}

const HALF = 2 ** (PRECISION_BITS - 1);

function resizeRows({ data, width, height }, channels, newWidth, taps, isBytes) {
  const result = newValues(newWidth * height * channels, isBytes);
  let to = 0;
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < newWidth; column++) {
      const first = (row * width + taps.starts[column]) * channels;
      const weights = column * taps.capacity;
      for (let channel = 0; channel < channels; channel++) {
        let sum = isBytes ? HALF : 0;
        let from = first + channel;
        for (let tap = 0; tap < taps.counts[column]; tap++, from += channels) {
          sum += data[from] * taps.weights[weights + tap];
        }
        result[to++] = isBytes ? sum >> PRECISION_BITS : sum; // clamped to bytes
      }
    }
  }
  return { data: result, width: newWidth, height };
}

function resizeColumns({ data, width }, channels, newHeight, taps, isBytes) {
  const length = width * channels;
  const result = newValues(length * newHeight, isBytes);
  const sums = new Float64Array(length);
  for (let row = 0; row < newHeight; row++) {
    sums.fill(isBytes ? HALF : 0);
    for (let tap = 0; tap < taps.counts[row]; tap++) {
      const weight = taps.weights[row * taps.capacity + tap];
      const from = (taps.starts[row] + tap) * length;
      for (let index = 0; index < length; index++) sums[index] += data[from + index] * weight;
    }
    for (let index = 0; index < length; index++) {
      result[row * length + index] = isBytes ? sums[index] >> PRECISION_BITS : sums[index];
    }
  }
  return { data: result, width, height: newHeight };
}
