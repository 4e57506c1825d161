// What is to be forgotten: first how much would go, then for good. And all of the memory as a file.

import { field } from "../parts/forms.js";

const WAYS = ["containing", "session", "before", "everything"];
const ENDINGS = { jsonl: "jsonl", markdown: "md" };

export class Forgetting {
  constructor(memory) {
    this.memory = memory;
    const { app } = memory;
    const { el, t } = app;
    this.way = "containing";
    this.words = el("input", { type: "text", autocomplete: "off" });
    this.session = memory.sessionChoice(null);
    this.before = el("input", { type: "date" });
    this.inputs = {
      containing: field(app, { label: t("memory.forget.words"), hint: t("memory.forget.words.hint"), control: this.words }),
      session: field(app, { label: t("memory.session"), control: this.session }),
      before: field(app, { label: t("memory.forget.date"), hint: t("memory.forget.date.hint"), control: this.before }),
      everything: el("p", { class: "muted" }, t("memory.forget.everything.hint")),
    };
    const choice = (way) => el("label", { class: "check" },
      el("input", { type: "radio", name: "forget-way", value: way, checked: way === this.way, onchange: () => { this.way = way; this.#showWay(); } }),
      t(`memory.forget.by.${way}`));
    this.counting = el("button", { type: "submit", class: "button" }, t("memory.forget.look"));
    this.outcome = el("div", { class: "stack", "aria-live": "polite" });
    this.element = el("div", { class: "stack wide-gap" },
      el("section", { class: "card stack" }, el("h2", null, t("memory.forget")), el("p", { class: "muted" }, t("memory.forget.about")),
        el("form", { class: "stack", onsubmit: (event) => { event.preventDefault(); this.#count(); } },
          el("fieldset", { class: "choices" }, el("legend", null, t("memory.forget.what")), WAYS.map(choice)),
          Object.values(this.inputs), el("div", { class: "row" }, this.counting)),
        this.outcome),
      el("section", { class: "card stack" }, el("h2", null, t("memory.export")), el("p", { class: "muted" }, t("memory.export.about")),
        el("div", { class: "row" }, Object.keys(ENDINGS).map((format) =>
          el("button", { type: "button", class: "button", onclick: () => this.#export(format) }, app.icon("save"), t(`memory.export.${format}`))))));
    this.#showWay();
  }

  look() {}

  #showWay() {
    for (const [way, node] of Object.entries(this.inputs)) node.hidden = way !== this.way;
    this.memory.app.replace(this.outcome);
  }

  #asked() {
    if (this.way === "containing") return { containing: this.words.value.trim() };
    if (this.way === "session") return { session: this.session.value, everything: true };
    if (this.way === "before") return { before: this.before.value };
    return { everything: true };
  }

  async #count() {
    const { app } = this.memory;
    const { el, t } = app;
    const asked = this.#asked();
    const input = { containing: this.words, session: this.session, before: this.before }[this.way];
    if (input && !input.value.trim()) {
      input.focus();
      return;
    }
    try {
      const { would_go: found } = await this.memory.ask("/forget", { json: asked });
      const isAny = Object.values(found).some(Boolean);
      app.replace(this.outcome, isAny ? el("div", { class: "would-go stack" },
        el("h3", null, t("memory.forget.would_go")), this.#counts(found),
        el("div", { class: "row" }, el("button", { type: "button", class: "button danger", onclick: () => this.#go(asked, found) }, app.icon("bin"), t("memory.forget.go"))))
        : el("p", { class: "muted" }, t("memory.forget.nothing")));
    } catch (error) {
      if (error.name !== "AbortError") app.replace(this.outcome, app.problem(error));
    }
  }

  #counts(found) {
    const { el, t } = this.memory.app;
    const counted = ["num_messages", "num_facts", "num_pins", "num_summaries"].filter((key) => found[key]);
    return el("ul", null, counted.map((key) => el("li", null, t(`memory.forget.${key}`, { count: found[key] }))),
      counted.length ? null : el("li", null, t("memory.forget.num_sessions", { count: found.num_sessions ?? 0 })));
  }

  async #go(asked, found) {
    const { app } = this.memory;
    const { el, t } = app;
    const sure = await app.confirm({ title: t("memory.forget.title"), text: t("memory.forget.sure", { count: found.num_messages }), action: t("memory.forget.go"), danger: true });
    if (!sure) return;
    try {
      const { gone } = await this.memory.ask("/forget", { json: { ...asked, confirm: true } });
      app.replace(this.outcome, el("p", { class: "verdict good" }, app.icon("check"), t(gone.bytes_erased ? "memory.forget.gone" : "memory.forget.gone_soon")), this.#counts(gone));
      app.notice(t("memory.forget.done"), "good");
      this.counting.focus();
      await this.memory.refresh();
      app.replace(this.session, this.memory.sessions.map((one) => el("option", { value: one.session }, one.session)));
    } catch (error) {
      app.failed(error);
    }
  }

  async #export(format) {
    const { app } = this.memory;
    try {
      app.save(`conversations.${ENDINGS[format]}`, await this.memory.ask(`/export?format=${format}`, { as: "blob" }));
    } catch (error) {
      app.failed(error);
    }
  }
}
