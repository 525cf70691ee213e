// The box in which a text, a picture or both are given.

import { find } from "./dom.js";
import { say, translate } from "./words.js";

/** Pictures among what was dropped or pasted. */
export const picturesIn = (transfer) => [...(transfer?.files ?? [])].filter((file) => file.type.startsWith("image/"));

/** A picture file as {image, name}, its image being a data URI. */
export function read(file) {
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done({ image: reader.result, name: file.name });
    reader.onerror = () => failed(new Error(say("picture.unread", { name: file.name })));
    reader.readAsDataURL(file);
  });
}

export class Composer {
  /** ``given`` gets {text, image, name} when the form is sent, ``taken`` several picture files at once. */
  constructor(form, { send, hint, given, taken }) {
    form.append(find("#composer").content.cloneNode(true));
    this.form = form;
    this.text = form.elements.text;
    this.picture = null;
    this.words = { send, hint };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      given(this.value());
    });
    find("[type=file]", form).addEventListener("change", ({ target }) => {
      taken([...target.files]);
      target.value = "";
    });
    find(".chosen button", form).addEventListener("click", () => {
      this.show(null);
      this.text.focus();
    });
    this.spoken();
    document.addEventListener("spoken", () => this.spoken());
  }

  spoken() {
    translate(this.form);
    find(".primary", this.form).textContent = say(this.words.send);
    this.text.placeholder = say(this.words.hint);
    this.text.setAttribute("aria-label", say(this.words.hint));
    if (this.picture) this.show(this.picture);
  }

  /** What is in the box; null where there is nothing. */
  value() {
    const text = this.text.value.trim();
    if (!text && !this.picture) return null;
    return { ...(text && { text }), ...this.picture };
  }

  /** Shows a picture {image, name} as chosen, or none. */
  show(picture) {
    this.picture = picture;
    const chosen = find(".chosen", this.form);
    chosen.hidden = !picture;
    find("img", chosen).src = picture?.image ?? "data:,";
    find("img", chosen).alt = picture ? say("picture.chosen", { name: picture.name }) : "";
  }

  fill({ text = "", image = null, name = "" }) {
    this.text.value = text;
    this.show(image && { image, name });
  }
}
