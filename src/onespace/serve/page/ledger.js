// The ledger: one thing, and the parts that its score is the sum of.

import * as api from "./api.js";
import { find, latest, make, style } from "./dom.js";
import { HEADS, heat, mark, portrait, shares } from "./things.js";
import { say } from "./words.js";

const LISTED = 6; // parts of one head that are shown at first
const EXACT = 5e-4; // how far a sum of rounded numbers may lie from a rounded score
const opening = latest();
const dialog = find("#ledger");

dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());

/** Opens a thing; with ``asked`` {query, mode} its ledger too. */
export function open(thing, asked) {
  const figure = portrait(thing);
  const right = make("div", { class: "account" });
  const title = thing.caption || say("untitled");
  dialog.replaceChildren(
    make(
      "div",
      { class: "head" },
      make("h2", { id: "ledger-title" }, thing.kind === "text" ? say("kind.text") : title),
      make("button", { class: "quiet", type: "button", on: { click: () => dialog.close() } }, say("close")),
    ),
    make("div", { class: "body" }, make("div", { class: "seen" }, figure, ...facts(thing), like(thing)), right),
  );
  dialog.classList.toggle("plain", !asked);
  dialog.showModal();
  if (!asked) return;
  opening(async (signal) => {
    right.setAttribute("aria-busy", "true");
    const why = await api.explain({ ...asked, id: thing.id }, signal).finally(() => right.removeAttribute("aria-busy"));
    right.append(...account(why, figure));
    if (!why.heat_map || !thing.thumbnail) return;
    heat(figure, why);
    figure.after(bareness(figure));
  });
}

/** A switch that takes the heat map off the picture. */
function bareness(figure) {
  const flip = ({ target }) => figure.classList.toggle("bare", !target.checked);
  const box = make("input", { type: "checkbox", checked: true, on: { change: flip } });
  return make("label", { class: "switch soft" }, box, say("heat.one"));
}

function facts({ metadata }) {
  const lines = Object.entries(metadata ?? {}).map(([name, value]) => [
    make("dt", {}, name),
    make("dd", {}, Array.isArray(value) ? value.join(", ") : String(value)),
  ]);
  return lines.length ? [make("dl", { class: "soft" }, lines.flat())] : [];
}

function like(thing) {
  const click = () => {
    dialog.close();
    document.dispatchEvent(new CustomEvent("like", { detail: thing }));
  };
  return make("button", { class: "quiet", type: "button", on: { click } }, say("like"));
}

// -- the account ------------------------------------------------------------------------------------------------

function account(why, figure) {
  const show = pointer(figure, why.size);
  const table = make("table", {}, make("caption", { class: "unseen" }, say("ledger")));
  for (const head of [...HEADS, "blend"].filter((one) => one in why.shares)) {
    const parts = why.parts.filter((part) => part.head === head).sort((a, b) => b.score - a.score);
    table.append(group(head, parts, { total: why.shares[head], show }));
  }
  table.append(balance(why));
  return [
    make(
      "div",
      { class: "total" },
      make("b", {}, why.score.toFixed(4)),
      make("span", { class: "soft" }, say(`metric.${why.metric}`)),
      shares(why.shares, Math.max(why.score, 1e-6)),
    ),
    table,
  ];
}

function group(head, parts, { total: whole, show }) {
  const dot = make("i", { class: `dot ${head}` });
  const body = make("tbody", {}, row(say(`head.${head}`), whole, { class: "heading" }, dot));
  if (parts.length === 1 && parts[0].kind === "vector") return body;
  const most = Math.max(...parts.map((part) => Math.abs(part.score)));
  const lines = parts.map((part) => line(part, most, show));
  const rest = parts.slice(LISTED);
  body.append(...lines.slice(0, rest.length > 1 ? LISTED : parts.length));
  if (rest.length > 1) {
    const all = () => {
      folded.replaceWith(...lines.slice(LISTED));
      find("button", lines[LISTED])?.focus();
    };
    const button = make(
      "button",
      { class: "link", type: "button", on: { click: all } },
      say("part.further", { n: rest.length }),
    );
    const folded = row(button, total(rest), {});
    body.append(folded);
  }
  return body;
}

const total = (parts) => parts.reduce((sum, part) => sum + part.score, 0);

/** The last lines: what the parts come to, and that it is the score. */
function balance({ parts, score }) {
  const sum = total(parts);
  const exact = Math.abs(sum - score) < EXACT;
  const verdict = say(exact ? "ledger.right" : "ledger.wrong", { n: parts.length });
  return make(
    "tfoot",
    {},
    row(say("ledger.sum"), sum, {}),
    make("tr", { class: exact ? "right" : "wrong" }, make("td", { colspan: 3 }, `${exact ? "✓" : "✗"} ${verdict}`)),
  );
}

function row(label, score, attributes, sign = null, meter = null) {
  const figure = `${score < 0 ? "−" : "+"}${Math.abs(score).toFixed(4)}`;
  return make(
    "tr",
    attributes,
    make("th", { scope: "row" }, sign, label),
    make("td", {}, meter),
    make("td", {}, figure),
  );
}

/** One part; where it has a place in the picture, pointing at it shows the place. */
function line(part, most, show) {
  const sign = `meter ${part.head}${part.score < 0 ? " less" : ""}`;
  const meter = style(make("i", { class: sign }), { width: `${(100 * Math.abs(part.score)) / most}%` });
  const words = name(part);
  if (!part.box || part.picture || !show) return row(words, part.score, {}, null, meter);
  const on = { focus: () => show(part.box), blur: () => show(null) };
  const it = row(make("button", { class: "link", type: "button", on }, words), part.score, {}, null, meter);
  it.addEventListener("pointerenter", on.focus);
  it.addEventListener("pointerleave", on.blur);
  return it;
}

/** What shows a box in the picture (null takes it away); null where there is no picture. */
function pointer(figure, size) {
  const frame = find(".frame", figure);
  if (!frame || !size) return null;
  return (box) => {
    find(".spot", frame)?.remove();
    if (box) frame.append(mark(box, size, "spot"));
  };
}

function name(part) {
  const asked = part.text?.replaceAll("▁", "␣") || (part.query_box ? say("part.place") : say(`part.${part.kind}`));
  if (part.kind !== "match") return asked;
  const met = part.found || (part.box ? say("part.here") : "");
  return met ? `${asked} → ${met}` : asked;
}
