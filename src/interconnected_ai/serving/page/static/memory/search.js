// Messages that answer a question, and why each is in that question's context, or is not.

import { field } from "../parts/forms.js";
import { explained } from "./levels.js";

const kept = { query: "" };

export class Search {
  constructor(memory) {
    this.memory = memory;
    const { app } = memory;
    const { el, t } = app;
    this.query = el("input", { type: "search", value: kept.query, autocomplete: "off", oninput: () => (kept.query = this.query.value) });
    this.session = memory.sessionChoice(t("memory.session.all"));
    this.found = el("div", { class: "stack", "aria-live": "polite" });
    this.element = el("section", { class: "stack" },
      el("h2", null, t("memory.search")),
      el("form", { class: "context-form", role: "search", onsubmit: (event) => { event.preventDefault(); this.#search(); } },
        field(app, { label: t("memory.question"), control: this.query }), field(app, { label: t("memory.session"), control: this.session }),
        el("button", { type: "submit", class: "button primary" }, app.icon("search"), t("memory.search.go"))),
      this.found);
  }

  look() {}

  async #search() {
    const { app } = this.memory;
    const { el, t } = app;
    const query = this.query.value.trim();
    if (!query) {
      this.query.focus();
      return;
    }
    app.replace(this.found, app.skeleton(3));
    try {
      const session = this.session.value;
      const { data } = await this.memory.ask("/search", { json: { query, limit: 20, ...(session ? { session, scope: "session" } : {}) } });
      app.replace(this.found, data.length
        ? [el("p", { class: "muted" }, t("memory.search.found", { count: data.length })), data.map((one) => this.#one(query, one))]
        : app.empty({ icon: "search", title: t("memory.search.none"), text: t("memory.search.none.text") }));
    } catch (error) {
      if (error.name !== "AbortError") app.replace(this.found, app.problem(error, () => this.#search()));
    }
  }

  #one(query, said) {
    const { app } = this.memory;
    const { el, t } = app;
    const place = el("div", { class: "stack", "aria-live": "polite" });
    const why = async () => {
      try {
        const reason = await this.memory.ask("/why", { json: { query, id: said.id, session: said.session } });
        app.replace(place, explained(app, reason), app.language === "en" ? el("p", { class: "muted long" }, reason.text) : null);
      } catch (error) {
        if (error.name !== "AbortError") app.replace(place, app.problem(error));
      }
    };
    const card = this.memory.message(said,
      el("div", { class: "row tight" },
        el("span", { class: "chip" }, t(`memory.level.${said.level}`)),
        el("button", { type: "button", class: "button quiet", "aria-label": t("memory.why.of", { place: said.place }), onclick: why }, t("memory.why"))),
      place);
    card.classList.add("card");
    return card;
  }
}
