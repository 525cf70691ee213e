// The search: what is asked, and what is found.

import * as api from "./api.js";
import { Composer, read } from "./composer.js";
import { announce, complain, find, latest, make } from "./dom.js";
import { parse } from "./filter.js";
import { open } from "./ledger.js";
import { MODES, heat, portrait, shares } from "./things.js";
import { say } from "./words.js";

const PAGE = 24;
const hits = find("#hits");
const searching = latest(hits);
const warming = latest();

let composer;
let query = null; // what was asked last; null while the store's own things are shown
let found = [];
let title = () => "";
let next = null; // where a further page begins

/** Starts with what the server says of its store, null where it has none. */
export function start(store) {
  composer = new Composer(find("#search .composer"), {
    send: "search",
    hint: "search.placeholder",
    given: lookFor,
    taken: ([file]) => take([file]),
  });
  modes(store?.heads ?? []);
  find("#search .options").addEventListener("submit", (event) => event.preventDefault());
  find("#search .choice").addEventListener("change", again);
  find("#filter").addEventListener("change", again);
  find("#heat").addEventListener("change", () => (find("#heat").checked ? warm() : again()));
  find("#more").addEventListener("click", () => load(next));
  document.addEventListener("spoken", describe);
  title = () => say(store ? "store.empty" : "store.none");
  if (store?.items) load(0);
  else describe();
}

/** A picture file becomes the picture that is searched for. */
export async function take([file]) {
  composer.show(await read(file));
  lookFor(composer.value());
}

/** Searches for {text, image, name}; for null, shows what the store holds. */
export function lookFor(thing) {
  composer.fill(thing ?? {});
  query = thing;
  return load(0);
}

const again = () => load(0);
const mode = () => find("#search .choice :checked")?.value;

function modes(heads) {
  const offered = Object.keys(MODES).filter((one) => MODES[one].every((head) => heads.includes(head)));
  const radio = (one, i) => make("input", { type: "radio", name: "mode", value: one, checked: i === 0 });
  find("#search .choice").append(
    ...offered.map((one, i) =>
      make("label", {}, radio(one, i), make("span", { "data-say": `mode.${one}` }, say(`mode.${one}`))),
    ),
  );
}

function load(offset) {
  const filter = parse(find("#filter").value);
  find("#filter").setAttribute("aria-invalid", filter === undefined);
  if (filter === undefined) return complain(new Error(say("filter.unread")));
  warming(async () => {}); // what was found before needs no more heat maps
  return searching(async (signal) => {
    await (query ? ask(offset, filter, signal) : browse(offset, filter, signal));
    describe();
    announce(title());
    if (find("#heat").checked) warm();
  });
}

async function ask(offset, filter, signal) {
  const { text, image } = query;
  const body = { text, image, k: PAGE, offset, filter, mode: mode(), explain: true };
  const answer = await api.search(body, signal);
  show(answer.hits, offset);
  next = answer.hits.length === PAGE ? found.length : null;
  const took = Math.round(answer.took_ms);
  title = () => say(found.length ? "found" : "found.none", { n: found.length, what: asked(), took });
}

async function browse(after, filter, signal) {
  const page = await api.items(PAGE, after, filter, signal);
  show(page.items, after);
  next = page.next;
  title = () => say("store", { n: page.total });
}

const asked = () => [query.text && `“${query.text}”`, query.image && query.name].filter(Boolean).join(" + ");

function show(more, offset) {
  if (!offset) hits.replaceChildren();
  found = offset ? [...found, ...more] : more;
  const most = Math.max(0.001, ...found.map((hit) => sum(hit.parts)));
  hits.append(...more.map((hit) => make("li", {}, card(hit, most))));
}

const sum = (parts) => Object.values(parts ?? {}).reduce((total, share) => total + Math.max(0, share), 0);

function card(hit, most) {
  const scored = hit.score !== undefined;
  const caption = hit.caption || say("untitled");
  const score = scored ? make("span", { class: "score" }, hit.score.toFixed(3)) : null;
  const kind = hit.thumbnail ? null : `kind.${hit.kind}`; // a text stands on its sheet
  const words = make("span", { class: "caption", "data-say": kind }, kind ? say(kind) : caption);
  const look = () => open(hit, query && { query: { text: query.text, image: query.image }, mode: mode() });
  return make(
    "button",
    {
      class: "card",
      type: "button",
      "aria-label": scored ? `${caption}, ${say("score")} ${hit.score.toFixed(3)}` : caption,
      on: { click: look },
    },
    portrait(hit),
    make("span", { class: "line" }, words, score),
    scored ? shares(hit.parts, most) : null,
  );
}

function describe() {
  find("#found").textContent = title();
  find("#more").hidden = next === null;
}

/** Heat maps over the pictures that were found, one after the other. */
function warm() {
  if (!query) return;
  const { text, image } = query;
  const asked = mode() === "blend" ? "blend" : "maxsim";
  return warming(async (signal) => {
    for (const [i, hit] of found.entries()) {
      if (!hit.thumbnail) continue;
      const why = await api.explain({ query: { text, image }, id: hit.id, mode: asked }, signal);
      if (signal.aborted) return;
      heat(hits.children[i], why);
    }
  });
}
