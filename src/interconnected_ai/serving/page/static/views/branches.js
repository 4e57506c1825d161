// Branches: ask them, see how good each is, add one from a table, verify, remove.

import { Adding } from "../branches/adding.js";
import { details } from "../branches/details.js";
import { Jobs } from "../branches/jobs.js";
import { Trial } from "../branches/trial.js";
import { command } from "../parts/forms.js";

const FEW = 24; // cards that are shown before somebody asks for all
const MANY = 8; // from here on there is a field to find one

export async function mount(root, app) {
  const gone = new AbortController();
  const view = new Branches(root, app, gone.signal);
  view.show(await app.api("/v1/branches", { signal: gone.signal }));
  await view.jobs.begin();
  const name = app.params().get("branch");
  const named = view.cards.find((card) => card.id === name);
  if (named) view.open(named);
  return () => gone.abort();
}

class Branches {
  constructor(root, app, signal) {
    Object.assign(this, { app, signal, cards: [], systems: [], wanted: "", all: false });
    const { el, t } = app;
    this.jobs = new Jobs(app, signal, () => this.look());
    this.adding = new Adding(app, signal, (job) => this.jobs.follow(job));
    this.trial = new Trial(app, signal);
    this.verifying = el("button", { type: "button", class: "button", onclick: () => this.#verify() }, t("branches.verify"));
    const add = el("button", { type: "button", class: "button primary", onclick: () => this.adding.open(this.systems) }, app.icon("plus"), t("branches.add"));
    this.finder = el("input", { type: "search", class: "finder", "aria-label": t("branches.find"), placeholder: t("branches.find"), oninput: () => this.#find() });
    this.count = el("span", { class: "muted" });
    this.list = el("div", { class: "grid cards" });
    this.listed = el("section", { class: "stack", "aria-label": t("branches.title") },
      el("div", { class: "section-head" }, el("h2", null, t("branches.known")), this.count, el("span", { class: "push" }), this.finder, this.verifying),
      this.list);
    this.host = el("div", { class: "stack wide-gap" });
    root.append(
      el("header", { class: "view-head" },
        el("div", null, el("h1", null, t("branches.title")), el("p", { class: "muted" }, t("branches.about"))), add),
      this.host);
    this.add = add;
  }

  async look() {
    try {
      this.show(await this.app.api("/v1/branches", { signal: this.signal }));
    } catch (error) {
      this.app.failed(error);
    }
  }

  show(found) {
    const { app } = this;
    Object.assign(this, { cards: found.data, systems: found.systems });
    if (!found.systems.length) {
      this.add.hidden = true;
      app.replace(this.host, app.empty({
        icon: "branches", title: app.t("branches.none.title"), text: app.t("branches.none.text"),
        action: command(app, "iai", "serve", "council.yaml", "runs/quickstart"),
      }));
      return;
    }
    if (!this.listed.isConnected) app.replace(this.host, this.jobs.element, this.trial.element, this.listed);
    this.trial.know(found.systems, found.data);
    this.#showCards();
  }

  #find() {
    this.wanted = this.finder.value.trim().toLowerCase();
    this.#showCards();
  }

  #showCards() {
    const { app } = this;
    const { el, t } = app;
    this.finder.hidden = this.cards.length < MANY;
    this.verifying.hidden = !this.cards.length;
    this.count.textContent = t("branches.count", { count: this.cards.length });
    if (!this.cards.length) {
      app.replace(this.list, app.empty({ icon: "branches", title: t("branches.empty.title"), text: t("branches.empty.text") }));
      return;
    }
    const found = this.cards.filter((card) => `${card.id} ${card.system}`.toLowerCase().includes(this.wanted));
    const shown = this.all ? found : found.slice(0, FEW);
    app.replace(this.list,
      shown.map((card) => this.#card(card)),
      found.length ? null : el("p", { class: "muted", role: "status" }, t("branches.find.none")),
      shown.length < found.length
        ? el("button", { type: "button", class: "button", onclick: () => { this.all = true; this.#showCards(); } }, t("branches.all", { count: found.length }))
        : null);
  }

  #card(card) {
    const { el, t, format, icon } = this.app;
    const fact = (key, value) => el("div", null, el("dt", null, t(`branches.fact.${key}`)), el("dd", null, value));
    const { accuracy, calibration_error: miscalibrated } = card.metrics;
    return el("article", { class: "card stack branch-card", dataset: { branch: card.id } },
      el("div", { class: "card-head" },
        el("h3", { class: "long" }, card.id),
        card.trained ? el("span", { class: "chip" }, t(`branches.trained.${card.trained}`)) : null),
      this.systems.length > 1 ? el("p", { class: "muted long" }, card.system) : null,
      el("p", { class: "figure" }, el("strong", null, accuracy === undefined ? "–" : format.percent(accuracy)), el("span", null, t("branches.accuracy"))),
      el("dl", { class: "facts" },
        fact("classes", format.number(card.spec.num_classes)), fact("rows", card.num_rows ? format.number(card.num_rows) : "–"),
        fact("calibration", miscalibrated === undefined ? "–" : format.percent(miscalibrated))),
      el("div", { class: "row" },
        el("button", { type: "button", class: "button", "aria-label": t("branches.details.of", { name: card.id }), onclick: () => this.open(card) }, t("branches.details")),
        el("button", { type: "button", class: "button quiet", "aria-label": t("branches.remove.of", { name: card.id }), onclick: () => this.#remove(card) }, icon("bin"), t("branches.remove"))));
  }

  async open(card) {
    this.app.replaceParams({ branch: card.id });
    await details(this.app, card, this.signal);
    this.app.replaceParams({ branch: null });
  }

  async #remove(card) {
    const { app } = this;
    const sure = await app.confirm({
      title: app.t("branches.remove.title", { name: card.id }), text: app.t("branches.remove.text"),
      action: app.t("branches.remove"), danger: true,
    });
    if (!sure) return;
    try {
      await app.api(`/v1/branches/${encodeURIComponent(card.id)}?system=${encodeURIComponent(card.system)}`, { method: "DELETE", signal: this.signal });
      app.notice(app.t("branches.removed", { name: card.id }), "good");
      await this.look();
      this.add.focus();
    } catch (error) {
      app.failed(error);
    }
  }

  async #verify() {
    const { app } = this;
    const { el, t } = app;
    this.verifying.disabled = true;
    this.verifying.setAttribute("aria-busy", "true");
    try {
      const asked = this.systems.map((system) => app.api(`/v1/branches/verify?system=${encodeURIComponent(system)}`, { method: "POST", signal: this.signal }));
      const checks = (await Promise.all(asked)).flatMap((found) => found.data);
      const changed = checks.filter((check) => !check.identical);
      const isSame = !changed.length;
      await app.dialog({ title: t("branches.verify.title") }, () => [
        el("p", { class: `verdict ${isSame ? "good" : "bad"}` }, app.icon(isSame ? "check" : "alert"),
          t(isSame ? "branches.verify.same" : "branches.verify.changed", { count: isSame ? checks.length : changed.length })),
        el("div", { class: "table-wrap" }, el("table", { class: "table" },
          el("thead", null, el("tr", null, ["branch", "outcome", "difference"].map((key) => el("th", { scope: "col" }, t(`branches.check.${key}`))))),
          el("tbody", null, checks.map((check) => el("tr", null,
            el("th", { scope: "row", class: "long" }, check.branch),
            el("td", null, el("span", { class: `chip ${check.identical ? "good" : "bad"}` }, t(check.identical ? "branches.check.same" : "branches.check.other"))),
            el("td", { class: "number" }, app.format.number(check.max_abs_diff, { digits: 6 }))))))),
      ]);
    } catch (error) {
      app.failed(error);
    }
    this.verifying.disabled = false;
    this.verifying.removeAttribute("aria-busy");
  }
}
