// Texts in, and what every branch says of them: its label, how sure it is, or that it does not know.

import { field } from "../parts/forms.js";
import { meter } from "../parts/meters.js";

const FEW = 6; // answers to a text that are shown before somebody asks for all
const kept = { text: "" }; // survives a change of view and of language

export class Trial {
  constructor(app, signal) {
    Object.assign(this, { app, signal, systems: [], number: 0 });
    const { el, t } = app;
    this.input = el("textarea", { rows: "3", spellcheck: "true", value: kept.text, oninput: () => (kept.text = this.input.value), onkeydown: (event) => this.#typed(event) });
    this.system = el("select", null);
    this.systemField = field(app, { label: t("branches.system"), control: this.system });
    this.go = el("button", { type: "submit", class: "button primary" }, t("branches.ask"));
    this.answers = el("div", { class: "stack", "aria-live": "polite" });
    this.element = el("section", { class: "card stack trial", "aria-label": t("branches.trial") },
      el("h2", null, t("branches.trial")),
      el("form", { class: "stack", onsubmit: (event) => { event.preventDefault(); this.#ask(); } },
        field(app, { label: t("branches.texts"), hint: t("branches.texts.hint"), control: this.input }),
        this.systemField, el("div", { class: "row end" }, this.go)),
      this.answers);
  }

  /** What there is to be asked. */
  know(systems, cards) {
    const { el, replace } = this.app;
    if (systems.join() !== this.systems.join()) {
      this.systems = systems;
      replace(this.system, systems.map((name) => el("option", { value: name }, name)));
    }
    this.systemField.hidden = systems.length < 2;
    this.go.disabled = !cards.length;
  }

  #typed(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.#ask();
    }
  }

  async #ask() {
    const { app } = this;
    const texts = this.input.value.split("\n").map((line) => line.trim()).filter(Boolean);
    if (!texts.length || this.go.disabled) {
      this.input.focus();
      return;
    }
    const number = ++this.number;
    this.asking?.abort();
    this.asking = new AbortController();
    const signal = AbortSignal.any([this.signal, this.asking.signal]);
    if (!this.answers.childElementCount) app.replace(this.answers, app.skeleton(3));
    try {
      const found = await app.api("/v1/classify", { json: { input: texts, system: this.system.value, top: 3 }, signal });
      if (number === this.number) app.replace(this.answers, found.data.map((each) => this.#answered(texts[each.index], each.branches)));
    } catch (error) {
      if (number === this.number && error.name !== "AbortError") app.replace(this.answers, app.problem(error, () => this.#ask()));
    }
  }

  #answered(text, branches) {
    const { el, t } = this.app;
    const sorted = Object.entries(branches).sort(([, a], [, b]) => a.unknown - b.unknown || b.confidence * b.familiarity - a.confidence * a.familiarity);
    const list = el("ul", { class: "answers" }, sorted.slice(0, FEW).map(([name, answer]) => this.#answer(name, answer)));
    const more = sorted.length > FEW
      ? el("button", { type: "button", class: "button quiet", onclick: () => {
          list.append(...sorted.slice(FEW).map(([name, answer]) => this.#answer(name, answer)));
          more.remove();
        } }, t("branches.answers.all", { count: sorted.length }))
      : null;
    return el("article", { class: "answered" }, el("blockquote", { class: "long" }, text), list, more);
  }

  #answer(name, answer) {
    const { el, t, format } = this.app;
    const sure = format.percent(answer.confidence);
    const near = format.percent(answer.familiarity);
    return el("li", { class: answer.unknown ? "unknown" : null, dataset: { branch: name } },
      el("div", { class: "who long" }, name),
      el("div", { class: "what long" }, answer.unknown
        ? [el("span", { class: "chip warn" }, t("branches.unknown")), " ", el("span", { class: "muted" }, t("branches.guess", { label: answer.label }))]
        : el("strong", null, answer.label)),
      el("div", { class: "sure" },
        el("span", null, t("branches.confidence")), meter(this.app, { label: t("branches.confidence.of", { name }), share: answer.confidence, text: sure, tone: answer.unknown ? "warn" : "" }), el("span", { class: "number" }, sure)),
      el("div", { class: "sure" },
        el("span", null, t("branches.familiarity")), meter(this.app, { label: t("branches.familiarity.of", { name }), share: answer.familiarity, text: near, tone: "quiet" }), el("span", { class: "number" }, near)),
      answer.top.length > 1
        ? el("p", { class: "others muted long" }, t("branches.others", { labels: answer.top.slice(1).map((one) => `${one.label} ${format.percent(one.probability)}`).join(", ") }))
        : null);
  }
}
