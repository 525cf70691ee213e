// The page: its views, its language, and what is dropped or pasted anywhere.

import * as api from "./api.js";
import * as compare from "./compare.js";
import { picturesIn } from "./composer.js";
import { complain, find } from "./dom.js";
import * as map from "./map.js";
import * as search from "./search.js";
import { choose, language, LANGUAGES, preferred, say, speak } from "./words.js";

const VIEWS = ["search", "compare", "map"];
const shown = () => VIEWS.find((view) => `#${view}` === location.hash) ?? "search";

async function begin() {
  await speak(preferred());
  languages();
  const told = await introduced();
  search.start(told.store);
  compare.start(told.heads);
  map.start();
  drops();
  if (!told.store && !location.hash) location.replace("#compare");
  addEventListener("hashchange", route);
  document.addEventListener("like", ({ detail }) => visit("search", () => search.lookFor(query(detail))));
  document.addEventListener("compare", ({ detail }) => visit("compare", () => compare.add(detail.map(query))));
  route();
}

/** What the server is; where it asks for a key, so do we, until it takes one. */
async function introduced() {
  for (;;) {
    try {
      const told = await api.info();
      find("#model").textContent = told.model;
      return told;
    } catch (error) {
      if (error.status !== 401) throw error;
      api.keep(await key(error));
    }
  }
}

/** Asks for a key, saying why; refuses to go on where none is given. */
function key(reason) {
  const dialog = find("#key");
  find("#why").textContent = reason.message;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((done, failed) => {
    const close = () => (dialog.returnValue ? done(find("input", dialog).value) : failed(reason));
    dialog.addEventListener("close", close, { once: true });
  });
}

function route() {
  const view = shown();
  for (const one of VIEWS) find(`#${one}`).hidden = one !== view;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${say(view)} · onespace`;
  scrollTo(0, 0);
  if (view === "map") map.load();
}

function visit(view, then) {
  location.hash = view;
  then();
}

const query = ({ kind, caption, thumbnail }) => ({
  ...(kind !== "image" && { text: caption }),
  ...(thumbnail && { image: thumbnail, name: caption }),
});

function languages() {
  const button = find("#language");
  const other = () => (language().startsWith("zh") ? "en" : "zh");
  const label = () => {
    button.textContent = LANGUAGES[other()];
    button.lang = other();
    document.title = `${say(shown())} · onespace`;
  };
  button.addEventListener("click", () => choose(other()).catch(complain));
  document.addEventListener("spoken", label);
  label();
}

/** Pictures that are dropped or pasted go to the view that is shown. */
function drops() {
  const over = (yes) => document.body.classList.toggle("dropping", yes);
  const take = (files) => {
    if (!files.length) return;
    if (shown() === "map") location.hash = "search";
    (shown() === "compare" ? compare : search).take(files).catch(complain);
  };
  addEventListener("dragover", (event) => {
    event.preventDefault();
    over(event.dataTransfer.types.includes("Files"));
  });
  addEventListener("dragleave", (event) => event.relatedTarget === null && over(false));
  addEventListener("drop", (event) => {
    event.preventDefault();
    over(false);
    take(picturesIn(event.dataTransfer));
  });
  addEventListener("paste", (event) => take(picturesIn(event.clipboardData)));
}

begin().catch(complain);
