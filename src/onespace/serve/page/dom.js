// Elements, made and found.

export const find = (selector, root = document) => root.querySelector(selector);

/** An element with attributes, listeners (on: {click}) and children; null children and attributes are left out. */
export function make(tag, { on = {}, ...attributes } = {}, ...children) {
  const it = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) it.setAttribute(name, "");
    else if (value !== false && value != null) it.setAttribute(name, value);
  }
  for (const [event, heard] of Object.entries(on)) it.addEventListener(event, heard);
  it.append(...children.flat().filter((child) => child != null));
  return it;
}

/** Writes style properties; a style attribute would be refused by the page's own security policy. */
export function style(it, properties) {
  for (const [name, value] of Object.entries(properties)) it.style.setProperty(name, value);
  return it;
}

/** Tells a screen reader. */
export function announce(text) {
  find("#status").textContent = text;
}

let hiding;

/** Says what went wrong, for as long as it takes to read it. */
export function complain(error) {
  if (error.name === "AbortError") return;
  const trouble = find("#trouble");
  trouble.textContent = error.message;
  trouble.showPopover();
  clearTimeout(hiding);
  hiding = setTimeout(() => trouble.hidePopover(), 4000 + 60 * error.message.length);
}

/** Runs one task at a time: a new one takes the place of one that is still under way; `place` is busy meanwhile. */
export function latest(place = null) {
  let running = new AbortController();
  return async (task) => {
    running.abort();
    running = new AbortController();
    const { signal } = running;
    place?.setAttribute("aria-busy", "true");
    try {
      await task(signal);
    } catch (error) {
      if (!signal.aborted) complain(error);
    } finally {
      if (!signal.aborted) place?.removeAttribute("aria-busy");
    }
  };
}
