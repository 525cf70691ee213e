// From far to near: each is as much darker than the one before it.

const SCALE = ["#f6f7e0", "#c3deb0", "#80c79d", "#2aaba7", "#0089ac", "#00699c", "#154888", "#212b66"];
const channels = SCALE.map((colour) => [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16)));

/** The colour of a nearness from 0 to 1, and one for letters on it. */
export function shade(nearness) {
  const place = Math.min(Math.max(nearness, 0), 1) * (SCALE.length - 1);
  const low = Math.min(Math.floor(place), SCALE.length - 2);
  const rgb = channels[low].map((value, i) => Math.round(value + (channels[low + 1][i] - value) * (place - low)));
  const dark = contrast(rgb, [255, 255, 255]) >= 4.5;
  return { ground: `rgb(${rgb.join(" ")})`, ink: dark ? "#ffffff" : "#000000" };
}

function contrast(a, b) {
  const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (light + 0.05) / (dark + 0.05);
}

function luminance(rgb) {
  const linear = rgb.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
}
