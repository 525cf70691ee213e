// Things that were dropped in, each compared with each.

import * as api from "./api.js";
import { shade } from "./colours.js";
import { Composer, read } from "./composer.js";
import { announce, complain, find, latest, make, style } from "./dom.js";
import { MODES, portrait } from "./things.js";
import { say } from "./words.js";

const MOST = 24;
const comparing = latest(find("#matrix"));
let things = [];
let answer = null;

export function start(heads) {
  const composer = new Composer(find("#compare .composer"), {
    send: "compare.add",
    hint: "compare.placeholder",
    given: (thing) => {
      if (!thing) return;
      composer.fill({});
      add([thing]);
      composer.text.focus();
    },
    taken: async (files) => {
      if (files.length > 1) return take(files);
      composer.show(await read(files[0]));
      composer.text.focus();
    },
  });
  for (const option of find("#metric").options)
    option.hidden = !(MODES[option.value] ?? []).every((head) => heads.includes(head));
  find("#compare .options").addEventListener("submit", (event) => event.preventDefault());
  find("#metric").addEventListener("change", refresh);
  find("#clear").addEventListener("click", () => {
    things = [];
    refresh();
    composer.text.focus();
  });
  document.addEventListener("spoken", list);
  list();
}

/** Adds picture files. */
export async function take(files) {
  add(await Promise.all(files.map(read)));
}

/** Adds things {text, image, name}. */
export function add(more) {
  const room = MOST - things.length;
  if (more.length > room) complain(new Error(say("compare.most", { n: MOST })));
  things = [...things, ...more.slice(0, room)];
  return refresh();
}

function remove(thing) {
  const place = things.indexOf(thing);
  things = things.filter((one) => one !== thing);
  refresh();
  (find("#things").children[Math.min(place, things.length - 1)] ?? find("#compare form"))
    .querySelector("button")
    .focus();
}

function refresh() {
  answer = null;
  list();
  return comparing(async (signal) => {
    if (things.length < 2) return;
    const items = things.map(({ text, image }) => ({ text, image }));
    answer = await api.compare({ items, metric: find("#metric").value }, signal);
    draw();
    announce(verdict(answer));
  });
}

const label = (thing) => [thing.text, !thing.text && thing.name].filter(Boolean).join("");
const seen = (thing) => ({ thumbnail: thing.image, caption: thing.text });

function list() {
  find("#clear").hidden = !things.length;
  find("#things").replaceChildren(...things.map(chip));
  draw();
}

function draw() {
  if (things.length < 2) find("#matrix").replaceChildren(make("p", { class: "soft middle" }, say("compare.few")));
  else if (answer) find("#matrix").replaceChildren(make("p", { class: "middle" }, verdict(answer)), table(answer));
}

function chip(thing) {
  const away = {
    class: "away",
    type: "button",
    "aria-label": say("remove", { name: label(thing) }),
    on: { click: () => remove(thing) },
  };
  return make(
    "li",
    { class: "chip" },
    thing.image && portrait(seen(thing)),
    make("span", {}, label(thing)),
    make("button", away, "×"),
  );
}

function table({ matrix, metric }) {
  const values = matrix.flat().filter(Number.isFinite);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const near = (value) => (metric === "euclidean" ? high - value : value - low) / (high - low || 1);
  const words = (thing, scope) =>
    thing.image && make("span", { class: scope === "row" ? "unseen" : "words" }, label(thing));
  const heading = (thing, scope) =>
    make("th", { scope, title: label(thing) }, portrait(seen(thing)), words(thing, scope));
  const cell = (value) => {
    const { ground, ink } = shade(near(value));
    return style(make("td", {}, value.toFixed(2)), { background: ground, color: ink });
  };
  const grid = make(
    "table",
    {},
    make("caption", { class: "unseen" }, say(`metric.${metric}`)),
    make("thead", {}, make("tr", {}, make("td"), ...things.map((thing) => heading(thing, "col")))),
    make("tbody", {}, ...matrix.map((row, i) => make("tr", {}, heading(things[i], "row"), ...row.map(cell)))),
  );
  return make("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": say("matrix") }, grid);
}

/** The nearest two, in words. */
function verdict({ matrix, metric }) {
  const sign = metric === "euclidean" ? -1 : 1;
  const pairs = matrix.flatMap((row, i) => row.slice(0, i).map((value, j) => ({ value, i, j })));
  const { value, i, j } = pairs.reduce((best, pair) => (sign * pair.value > sign * best.value ? pair : best));
  return say("compare.nearest", { a: label(things[j]), b: label(things[i]), value: value.toFixed(2) });
}
