// The map: the things of the store on a plane, moved, enlarged and picked out.

import * as api from "./api.js";
import { announce, complain, find, latest, make, style } from "./dom.js";
import { open } from "./ledger.js";
import { portrait } from "./things.js";
import { say } from "./words.js";

const stage = find("#stage");
const charting = latest(stage);
const EDGE = 0.9; // share of the stage that the whole map takes
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

let points = []; // {id, x, y, caption, thumbnail, it: its element}
let total = 0;
let view = { scale: 1, x: 0, y: 0 }; // what of the map is looked at: its scale and its middle
let picked = new Set();
let active = null;

export function start() {
  for (const radio of find("#map").querySelectorAll("[name=method]")) radio.addEventListener("change", load);
  for (const button of find("#map").querySelectorAll("[data-zoom]"))
    button.addEventListener("click", () => zoom(Number(button.dataset.zoom)));
  find("#map .options").addEventListener("submit", (event) => event.preventDefault());
  find("#pick-clear").addEventListener("click", () => pick([]));
  find("#pick-compare").addEventListener("click", () =>
    document.dispatchEvent(new CustomEvent("compare", { detail: [...picked] })),
  );
  stage.addEventListener("keydown", key);
  stage.addEventListener("pointerdown", drag);
  stage.addEventListener("wheel", wheel, { passive: false });
  new ResizeObserver(place).observe(stage);
  document.addEventListener("spoken", describe);
}

/** Draws the map of the store as it is now. */
export function load() {
  const method = find("#map [name=method]:checked").value;
  return charting(async (signal) => {
    try {
      const map = await api.map(method, signal);
      total = map.total;
      show(map.points);
    } catch (error) {
      if (method === "pca" || signal.aborted) throw error;
      complain(error); // UMAP isn't installed everywhere
      find("#map [value=pca]").checked = true;
    }
  });
}

function show(several) {
  points = several.map((point, i) => {
    const it = make(
      "div",
      { class: "point", role: "option", id: `point-${i}`, "aria-label": point.caption || say("untitled") },
      portrait(point),
    );
    return { ...point, it };
  });
  stage.replaceChildren(...points.map((point) => point.it));
  view = { scale: 1, x: 0, y: 0 };
  active = null;
  pick([]);
  place();
}

// -- where things stand -----------------------------------------------------------------------------------------

/** Where a place of the map is on the stage, in pixels. */
function spot({ x, y }) {
  const { clientWidth: wide, clientHeight: high } = stage;
  const onto = (at, middle, side) => side / 2 + (at - middle) * view.scale * EDGE * (side / 2);
  return [onto(x, view.x, wide), onto(-y, view.y, high)];
}

function place() {
  const crowd = Math.sqrt((stage.clientWidth * stage.clientHeight) / Math.max(points.length, 1));
  const side = Math.min(84, Math.max(14, 0.6 * crowd * Math.sqrt(view.scale)));
  style(stage, { "--side": `${side}px` });
  for (const point of points) {
    const [left, top] = spot(point);
    style(point.it, { transform: `translate(${left}px, ${top}px) translate(-50%, -50%)` });
  }
}

/** Zooms by a factor, keeping the place at (left, top) of the stage where it is; 0 shows the whole map. */
function zoom(factor, left = stage.clientWidth / 2, top = stage.clientHeight / 2) {
  if (!factor) view = { scale: 1, x: 0, y: 0 };
  else {
    const scale = Math.min(40, Math.max(0.5, view.scale * factor));
    const shift = (at, side) => ((at - side / 2) / (EDGE * (side / 2))) * (1 / view.scale - 1 / scale);
    view = { scale, x: view.x + shift(left, stage.clientWidth), y: view.y + shift(top, stage.clientHeight) };
  }
  place();
}

function wheel(event) {
  if (!event.ctrlKey && !event.metaKey) return; // the page scrolls
  event.preventDefault();
  const { left, top } = stage.getBoundingClientRect();
  zoom(Math.exp(-event.deltaY / 200), event.clientX - left, event.clientY - top);
}

// -- pointing ---------------------------------------------------------------------------------------------------

function drag(event) {
  if (event.button) return;
  const { left, top } = stage.getBoundingClientRect();
  const at = ({ clientX, clientY }) => [clientX - left, clientY - top];
  const lasso = find("#map [name=tool]:checked").value === "lasso";
  const path = [at(event)];
  const from = { ...view };
  const line = lasso ? stage.appendChild(rope()) : null;
  const moved = () => path.some(([x, y]) => Math.hypot(x - path[0][0], y - path[0][1]) > 5);
  const moving = (further) => {
    path.push(at(further));
    if (line) line.firstChild.setAttribute("points", path.join(" "));
    else {
      const [[x, y], [toX, toY]] = [path[0], path.at(-1)];
      view.x = from.x - (toX - x) / (view.scale * EDGE * (stage.clientWidth / 2));
      view.y = from.y - (toY - y) / (view.scale * EDGE * (stage.clientHeight / 2));
      place();
    }
  };
  const done = ({ type }) => {
    stage.removeEventListener("pointermove", moving);
    for (const end of ["pointerup", "pointercancel"]) stage.removeEventListener(end, done);
    line?.remove();
    if (type === "pointercancel") return;
    if (!moved()) look(points.find((point) => point.it.contains(event.target)));
    else if (lasso) pick(points.filter((point) => inside(spot(point), path)));
  };
  stage.setPointerCapture(event.pointerId);
  stage.addEventListener("pointermove", moving);
  for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, done);
}

function rope() {
  const drawn = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  drawn.append(document.createElementNS("http://www.w3.org/2000/svg", "polygon"));
  drawn.setAttribute("aria-hidden", "true");
  return drawn;
}

/** Whether a place lies within a closed line: a ray from it crosses the line an odd number of times. */
export function inside([x, y], path) {
  let within = false;
  path.forEach(([ax, ay], i) => {
    const [bx, by] = path[(i + 1) % path.length];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) within = !within;
  });
  return within;
}

function look(point) {
  if (!point) return;
  activate(point);
  open(point, null);
}

// -- keys -------------------------------------------------------------------------------------------------------

function key(event) {
  const { key: name } = event;
  if (name in ARROWS) activate(towards(ARROWS[name]));
  else if (name === " " && active) pick(toggled(active));
  else if (name === "Enter") look(active);
  else if (name === "Escape") pick([]);
  else if (name === "+" || name === "=") zoom(1.5, ...(active ? spot(active) : []));
  else if (name === "-") zoom(1 / 1.5, ...(active ? spot(active) : []));
  else if (name === "0") zoom(0);
  else return;
  event.preventDefault();
}

/** The nearest thing in a direction, what lies to its sides counting twice; the middle one at first. */
function towards([dx, dy]) {
  const [x, y] = active ? spot(active) : [stage.clientWidth / 2, stage.clientHeight / 2];
  const costs = points.map((point) => {
    const [right, down] = spot(point).map((at, axis) => at - [x, y][axis]);
    const along = right * dx + down * dy;
    const aside = Math.abs(right * dy) + Math.abs(down * dx);
    if (!active) return Math.hypot(right, down);
    return point === active || along <= 0 ? Infinity : along + 2 * aside;
  });
  const best = Math.min(...costs);
  return Number.isFinite(best) ? points[costs.indexOf(best)] : active;
}

function activate(point) {
  active?.it.classList.remove("active");
  active = point;
  if (!point) return;
  point.it.classList.add("active");
  stage.setAttribute("aria-activedescendant", point.it.id);
  const [left, top] = spot(point);
  if (left < 0 || top < 0 || left > stage.clientWidth || top > stage.clientHeight) {
    Object.assign(view, { x: point.x, y: -point.y });
    place();
  }
}

// -- picking ----------------------------------------------------------------------------------------------------

const toggled = (point) => (picked.has(point) ? [...picked].filter((one) => one !== point) : [...picked, point]);

function pick(several) {
  picked = new Set(several);
  for (const point of points) point.it.setAttribute("aria-selected", picked.has(point));
  const entry = (point) =>
    make(
      "li",
      {},
      make(
        "button",
        { type: "button", on: { click: () => open(point, null) } },
        portrait(point),
        make("span", {}, point.caption || say("untitled")),
      ),
    );
  find("#picks").replaceChildren(...[...picked].map(entry));
  describe();
  announce(find("#picked").textContent);
}

function describe() {
  find("#picked").textContent = picked.size ? say("map.picked", { n: picked.size }) : say("map.none");
  find("#map .deeds").hidden = !picked.size;
  find("#charted").textContent =
    points.length < total ? say("map.some", { n: points.length, total }) : say("map.all", { n: total });
}
