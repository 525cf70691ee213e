// A thing of the store as it is seen: a picture with the place that was found in it, or a text on a sheet.

import { picture } from "./api.js";
import { make, style } from "./dom.js";

export const HEADS = ["dense", "sparse", "multi"];
export const MODES = { blend: HEADS, cosine: ["dense"], lexical: ["sparse"], maxsim: ["multi"] };

/** The picture or text of a thing; box and size say what was found in the picture. */
export function portrait({ thumbnail, caption, box, size }) {
  if (!thumbnail) return make("span", { class: "portrait sheet" }, make("span", {}, caption));
  const image = make("img", { alt: "" });
  const frame = make("span", { class: "frame" }, image);
  image.addEventListener("load", () => style(frame, { "--ratio": image.naturalWidth / image.naturalHeight }));
  picture(thumbnail).then((source) => (image.src = source));
  if (box && size) frame.append(mark(box, size));
  return make("span", { class: "portrait" }, frame);
}

/** A line around a box of a picture of this size. */
export function mark([left, top, right, bottom], [wide, high], name = "box") {
  return style(make("i", { class: name }), {
    left: `${(100 * left) / wide}%`,
    top: `${(100 * top) / high}%`,
    width: `${(100 * (right - left)) / wide}%`,
    height: `${(100 * (bottom - top)) / high}%`,
  });
}

/** Lays a heat map over the picture, and the line around its best place. */
export function heat(portrait, { heat_map, box, size }) {
  const frame = portrait.querySelector(".frame");
  if (!frame || !heat_map) return;
  frame.querySelectorAll(".heat, .box").forEach((it) => it.remove());
  frame.append(make("img", { class: "heat", alt: "", src: heat_map }));
  if (box && size) frame.append(mark(box, size));
}

/** What each representation adds to a score, as a bar. */
export function shares(parts, most) {
  const bars = Object.entries(parts ?? {}).filter(([, share]) => share > 0);
  return make(
    "span",
    { class: "shares", "aria-hidden": "true" },
    bars.map(([head, share]) => style(make("i", { class: head }), { width: `${(100 * share) / most}%` })),
  );
}
