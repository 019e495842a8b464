// Make an image the input of the model as preprocess.json says, like prepare_image.py.

import { resizeImage } from "./resize.js";

/** Return the RGBA pixels of a bitmap on white. */
export function readPixels(bitmap) {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

/**
 * Return (3, H, W) values, and the sides of the resized image in them.
 *
 * "crop" cuts the center out of the image, "stretch" ignores its aspect ratio, "fit" keeps all of
 * it at the upper left, its shorter side at most "short_side", if given.
 */
export function prepare(image, config) {
  const [height, width] = config.size;
  const sides = resizedSides(image, config);
  const pixels = resizeImage(image, sides.width, sides.height, config.interpolation);
  const isCrop = config.mode === "crop";
  const left = isCrop ? roundHalfToEven((sides.width - width) / 2) : 0;
  const top = isCrop ? roundHalfToEven((sides.height - height) / 2) : 0;
  const values = new Float32Array(3 * height * width);
  for (let channel = 0; channel < 3; channel++) {
    const table = normalizedBytes(config.mean[channel], config.std[channel]);
    if (isCrop) values.fill(table[0], channel * height * width, (channel + 1) * height * width);
    for (let y = 0; y < height; y++) {
      const row = y + top;
      if (row < 0 || row >= sides.height) continue;
      for (let x = 0; x < width; x++) {
        const column = x + left;
        if (column < 0 || column >= sides.width) continue;
        const byte = pixels[(row * sides.width + column) * 3 + channel];
        values[(channel * height + y) * width + x] = table[byte];
      }
    }
  }
  return isCrop ? { values, width, height } : { values, ...sides };
}

/** Return the normalized value of each byte, rounded to float32 like NumPy's. */
function normalizedBytes(mean, std) {
  const round = Math.fround;
  return Float32Array.from({ length: 256 }, (_, byte) =>
    round(round(round(byte / 255) - round(mean)) / round(std)),
  );
}

/** Return the sides of the image before it is cropped or padded. */
export function resizedSides(image, config) {
  const [height, width] = config.size;
  if (config.mode === "stretch") return { width, height };
  if (config.mode === "fit") {
    let scale = Math.min(height / image.height, width / image.width);
    if (config.short_side) {
      scale = Math.min(scale, config.short_side / Math.min(image.width, image.height));
    }
    return {
      width: Math.min(Math.max(1, roundHalfToEven(image.width * scale)), width),
      height: Math.min(Math.max(1, roundHalfToEven(image.height * scale)), height),
    };
  }
  const tall = Math.trunc(height / config.crop_pct);
  const wide = Math.trunc(width / config.crop_pct);
  if (tall * image.width <= wide * image.height) {
    const free = Math.trunc((wide * image.height) / image.width); // the width decides
    return { width: wide, height: Math.max(height, free) };
  }
  const free = Math.trunc((tall * image.width) / image.height);
  return { width: Math.max(width, free), height: tall };
}

/** Round like Python's round. */
function roundHalfToEven(x) {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}
