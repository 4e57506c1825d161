// Dialogs on the browser's own `<dialog>`: focus stays inside, Escape closes, and what was focused before is again.

import { el } from "./dom.js";
import { icon } from "./icons.js";

/** `dialog`, `confirm` and `askForKey`, in the words of `t`. */
export function dialogs(t) {
  function dialog({ title, wide = false, kind = "" }, build) {
    return new Promise((resolve) => {
      let value;
      const close = (given) => {
        value = given;
        box.close();
      };
      const heading = el("h2", { id: "dialog-title" }, title);
      const shut = el("button", { type: "button", class: "button quiet icon-only", "aria-label": t("shell.close"), onclick: () => close() }, icon("close"));
      const box = el("dialog", { class: `dialog ${wide ? "wide" : ""} ${kind}`, "aria-labelledby": "dialog-title" }, el("header", null, heading, shut), build(close));
      box.addEventListener("click", (event) => event.target === box && close()); // beside it
      box.addEventListener("close", () => {
        box.remove();
        resolve(value);
      });
      document.body.append(box);
      box.showModal();
      (box.querySelector("[autofocus]") ?? shut).focus();
    });
  }

  async function confirm({ title, text, action, danger = false }) {
    const build = (close) => [
      el("p", null, text),
      el("div", { class: "row end" },
        el("button", { type: "button", class: "button", autofocus: true, onclick: () => close(false) }, t("shell.cancel")),
        el("button", { type: "button", class: `button ${danger ? "danger" : "primary"}`, onclick: () => close(true) }, action)),
    ];
    return (await dialog({ title }, build)) === true;
  }

  function askForKey(wasWrong) {
    return dialog({ title: t("shell.key.title") }, (close) => {
      const input = el("input", {
        id: "key-input", type: "password", autocomplete: "off", spellcheck: "false", required: true, autofocus: true,
        "aria-describedby": "key-hint", "aria-invalid": wasWrong ? "true" : null,
      });
      const send = (event) => {
        event.preventDefault();
        if (input.value.trim()) close(input.value.trim());
      };
      return el("form", { class: "stack", onsubmit: send },
        wasWrong ? el("p", { class: "problem-line", role: "alert" }, t("shell.key.wrong")) : null,
        el("div", { class: "field" },
          el("label", { for: "key-input" }, t("shell.key.label")), input,
          el("p", { class: "hint", id: "key-hint" }, t("shell.key.hint"))),
        el("div", { class: "row end" }, el("button", { type: "submit", class: "button primary" }, t("shell.key.use"))));
    });
  }

  return { dialog, confirm, askForKey };
}
