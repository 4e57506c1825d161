// What is pinned: texts that come along with every context, of one conversation or of all; pinned and taken off by hand.

import { askedInDialog, field } from "../parts/forms.js";

export class Pins {
  constructor(memory) {
    this.memory = memory;
    const { app } = memory;
    const { el, t } = app;
    this.add = el("button", { type: "button", class: "button primary", onclick: () => this.#add() }, app.icon("plus"), t("memory.pins.add"));
    this.list = el("div", { class: "stack", "aria-live": "polite" }, app.skeleton(2));
    this.element = el("section", { class: "stack" },
      el("div", { class: "section-head" }, el("h2", null, t("memory.pins")), el("span", { class: "push" }), this.add),
      el("p", { class: "muted" }, t("memory.pins.about")), this.list);
  }

  async look() {
    const { app } = this.memory;
    const { t } = app;
    try {
      const { data } = await this.memory.ask("/pins");
      app.replace(this.list, data.length
        ? data.map((pin) => this.#pin(pin))
        : app.empty({ icon: "pin", title: t("memory.pins.none"), text: t("memory.pins.none.text") }));
    } catch (error) {
      if (error.name !== "AbortError") app.replace(this.list, app.problem(error, () => this.look()));
    }
  }

  #pin(pin) {
    const { app } = this.memory;
    const { el, t, format } = app;
    return el("article", { class: "card stack tight pin", dataset: { pin: String(pin.number) } },
      el("p", { class: "long" }, pin.text),
      el("div", { class: "row" },
        el("span", { class: `chip ${pin.session === null ? "accent" : ""}`.trim() }, pin.session === null ? t("memory.pins.everywhere") : t("memory.pins.in", { session: pin.session })),
        el("span", { class: "muted small" }, format.date(pin.time)),
        el("span", { class: "push" }),
        el("button", { type: "button", class: "button quiet", "aria-label": t("memory.pins.remove.of", { text: shortened(pin.text) }), onclick: () => this.#remove(pin) }, app.icon("bin"), t("memory.pins.remove"))));
  }

  async #remove(pin) {
    const { app } = this.memory;
    const { t } = app;
    const sure = await app.confirm({ title: t("memory.pins.remove.title"), text: shortened(pin.text), action: t("memory.pins.remove"), danger: true });
    if (!sure) return;
    try {
      await this.memory.ask(`/pins/${pin.number}`, { method: "DELETE" });
      await this.#changed("memory.pins.removed");
    } catch (error) {
      app.failed(error);
    }
  }

  async #add() {
    const { app } = this.memory;
    const { el, t } = app;
    const where = this.memory.sessionChoice(t("memory.pins.everywhere"));
    where.name = "session";
    const done = await askedInDialog(app, {
      title: t("memory.pins.add.title"), action: t("memory.pins.add"), cancel: t("memory.cancel"),
      body: [
        field(app, { label: t("memory.pins.text"), hint: t("memory.pins.text.hint"), control: el("textarea", { name: "text", rows: 3, required: true, autofocus: true }) }),
        field(app, { label: t("memory.pins.where"), control: where }),
      ],
      run: ({ text, session }) => this.memory.ask("/pins", { json: { text: text.trim(), ...(session ? { session } : {}) } }),
    });
    if (done) await this.#changed("memory.pins.added");
  }

  async #changed(words) {
    const { app } = this.memory;
    await this.look();
    app.notice(app.t(words), "good");
    this.add.focus();
  }
}

function shortened(text) {
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}
