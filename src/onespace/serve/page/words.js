// What the page says, in the language that was chosen. Elements name their words: data-say for the text, data-say-label
// for a screen reader's name, data-say-title for a tooltip.

export const LANGUAGES = { en: "English", zh: "中文" };
const CHOSEN = "onespace.language";
let words = {};

export const language = () => document.documentElement.lang;

/** The words of a name, with {gaps} filled in. */
export function say(name, gaps = {}) {
  return (words[name] ?? name).replace(/\{(\w+)\}/g, (_, gap) => gaps[gap] ?? "");
}

/** The language that was chosen here before, or the browser's own. */
export function preferred() {
  const kept = localStorage.getItem(CHOSEN);
  return kept in LANGUAGES ? kept : navigator.languages.some((one) => one.startsWith("zh")) ? "zh" : "en";
}

/** Says everything on the page in this language, and tells the views by a "spoken" event. */
export async function speak(chosen) {
  words = await (await fetch(new URL(`words.${chosen}.json`, import.meta.url))).json();
  document.documentElement.lang = chosen === "zh" ? "zh-Hans" : chosen;
  translate(document);
  document.dispatchEvent(new Event("spoken"));
}

export function choose(chosen) {
  localStorage.setItem(CHOSEN, chosen);
  return speak(chosen);
}

export function translate(root) {
  for (const it of root.querySelectorAll("[data-say]")) it.textContent = say(it.dataset.say);
  for (const it of root.querySelectorAll("[data-say-label]")) it.setAttribute("aria-label", say(it.dataset.sayLabel));
  for (const it of root.querySelectorAll("[data-say-title]")) it.title = say(it.dataset.sayTitle);
}
