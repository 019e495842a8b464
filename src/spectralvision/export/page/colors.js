// A color for each class, far from those of the classes before it.

const GOLDEN_ANGLE_DEGREES = 137.508;

/** Return [red, green, blue] of a class number. */
export function colorOf(index) {
  const hue = (index * GOLDEN_ANGLE_DEGREES + 210) % 360;
  const lightness = [0.52, 0.66, 0.4][Math.floor(index / 6) % 3];
  return hslToRgb(hue, 0.75, lightness);
}

export function toCss([red, green, blue]) {
  return `rgb(${red} ${green} ${blue})`;
}

/** Return black or white, whichever is easier to read on a color. */
export function inkOn([red, green, blue]) {
  return 0.299 * red + 0.587 * green + 0.114 * blue > 140 ? "black" : "white";
}

function hslToRgb(hue, saturation, lightness) {
  const spread = saturation * Math.min(lightness, 1 - lightness);
  return [0, 8, 4].map((offset) => {
    const place = (offset + hue / 30) % 12;
    const value = lightness - spread * Math.max(-1, Math.min(place - 3, 9 - place, 1));
    return Math.round(255 * value);
  });
}
