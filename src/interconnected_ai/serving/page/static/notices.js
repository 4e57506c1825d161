// Short messages at the edge of the page, read aloud when they come; and what stands where something is empty or went wrong.

import { el } from "./dom.js";
import { icon } from "./icons.js";

const SECONDS = 6;
const MOST = 4;

/** `notice`, `failed`, `empty`, `problem` and `skeleton`, in the words of `t`. */
export function notices(t, place) {
  function notice(text, kind = "info") {
    const close = el("button", { type: "button", class: "button quiet icon-only", "aria-label": t("shell.close"), onclick: () => box.remove() }, icon("close"));
    const box = el("div", { class: `notice ${kind}`, role: kind === "bad" ? "alert" : null }, el("p", null, text), close);
    place.append(box);
    while (place.childElementCount > MOST) place.firstElementChild.remove();
    if (kind !== "bad") setTimeout(() => box.remove(), SECONDS * 1000);
    return () => box.remove();
  }

  function failed(error) {
    if (error?.name === "AbortError") return;
    if (error?.name !== "ApiError") console.error(error);
    notice(error?.name === "ApiError" ? error.message : t("shell.error.page"), "bad");
  }

  function empty({ icon: name, title, text, action }) {
    return el("div", { class: "empty" }, name ? icon(name) : null, el("h2", null, title), text ? el("p", null, text) : null, action ?? null);
  }

  function problem(error, retry) {
    if (error?.name !== "ApiError") console.error(error);
    const text = error?.name === "ApiError" ? error.message : t("shell.error.page");
    return el("div", { class: "card problem", role: "alert" }, icon("alert"), el("p", null, text),
      retry ? el("button", { type: "button", class: "button", onclick: retry }, t("shell.again")) : null);
  }

  function skeleton(lines = 3) {
    return el("div", { class: "skeleton", "aria-hidden": "true" }, Array.from({ length: lines }, () => el("span", null)));
  }

  return { notice, failed, empty, problem, skeleton };
}
