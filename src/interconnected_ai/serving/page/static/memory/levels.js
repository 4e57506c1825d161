// How full the three levels are, and what would go to a model for a question: from which level, and why.

import { field } from "../parts/forms.js";
import { meter, partsMeter } from "../parts/meters.js";

const LEVELS = ["current", "stale", "long"];
const kept = { query: "", budget: "2000", session: "" }; // survives a change of view and of language

export class Levels {
  constructor(memory) {
    this.memory = memory;
    const { app } = memory;
    const { el, t } = app;
    this.levels = el("div", { class: "grid levels" }, app.skeleton(3));
    this.totals = el("p", { class: "muted" });
    this.session = memory.sessionChoice(t("memory.session.all"));
    this.session.value = kept.session;
    if (this.session.selectedIndex < 0) this.session.value = "";
    this.session.addEventListener("change", () => {
      kept.session = this.session.value;
      this.look();
    });
    this.query = el("input", { type: "text", value: kept.query, autocomplete: "off", oninput: () => (kept.query = this.query.value) });
    this.budget = el("select", { onchange: () => { kept.budget = this.budget.value; this.#preview(); } },
      ["500", "2000", "8000", "13000", "32000"].map((tokens) => el("option", { value: tokens }, t("memory.tokens", { count: Number(tokens) }))));
    this.budget.value = kept.budget;
    this.context = el("div", { class: "stack", "aria-live": "polite" });
    const form = el("form", { class: "context-form", onsubmit: (event) => { event.preventDefault(); this.#preview(); } },
      field(app, { label: t("memory.question"), control: this.query }), field(app, { label: t("memory.budget"), control: this.budget }),
      el("button", { type: "submit", class: "button primary" }, t("memory.preview")));
    this.element = el("div", { class: "stack wide-gap" },
      el("section", { class: "stack" },
        el("div", { class: "section-head" }, el("h2", null, t("memory.levels")), el("span", { class: "push" }), field(app, { label: t("memory.session"), control: this.session })),
        this.levels, this.totals),
      el("section", { class: "card stack" }, el("h2", null, t("memory.context")), el("p", { class: "muted" }, t("memory.context.about")), form, this.context));
  }

  async look() {
    const { app } = this.memory;
    const { el, t, format } = app;
    try {
      const session = this.session.value;
      const found = await this.memory.ask(`/stats${session ? `?session=${encodeURIComponent(session)}` : ""}`);
      app.replace(this.levels, LEVELS.map((name) => this.#level(name, found.levels[name])));
      this.totals.textContent = [
        t("memory.total.messages", { count: found.num_messages }), t("memory.total.facts", { count: found.num_facts - found.num_superseded }),
        t("memory.total.superseded", { count: found.num_superseded }), t("memory.total.pins", { count: found.num_pins }),
        t("memory.tokens", { count: found.num_tokens }),
      ].join(" · ");
    } catch (error) {
      if (error.name !== "AbortError") app.replace(this.levels, app.problem(error, () => this.look()));
    }
  }

  #level(name, level) {
    const { app } = this.memory;
    const { el, t, format } = app;
    const text = t("memory.level.used", { used: format.number(level.num_tokens), capacity: format.number(level.capacity_tokens) });
    return el("div", { class: "card stack level", dataset: { level: name } },
      el("div", { class: "card-head" }, el("h3", null, t(`memory.level.${name}`)), el("strong", { class: "number" }, format.percent(level.share))),
      meter(app, { label: t(`memory.level.${name}`), share: level.share, text, tone: level.share > 1 ? "warn" : name }),
      el("p", { class: "muted" }, text),
      el("p", { class: "muted" }, t(`memory.pieces.${name === "current" ? "messages" : "summaries"}`, { count: level.num_pieces }), name === "current" ? null : ` ${t("memory.pieces.of", { count: level.num_messages })}`),
      el("p", { class: "hint" }, t(`memory.about.${name}`)));
  }

  async #preview() {
    const { app } = this.memory;
    const query = this.query.value.trim();
    if (!query) {
      this.query.focus();
      return;
    }
    app.replace(this.context, app.skeleton(3));
    const asked = { query, budget_tokens: Number(this.budget.value), explain: true, ...(this.session.value ? { session: this.session.value } : {}) };
    try {
      app.replace(this.context, this.#contextOf(await this.memory.ask("/context", { json: asked }), asked.budget_tokens));
    } catch (error) {
      if (error.name !== "AbortError") app.replace(this.context, app.problem(error, () => this.#preview()));
    }
  }

  #contextOf(found, budget) {
    const { app } = this.memory;
    const { el, t, format } = app;
    if (!found.num_tokens) return el("p", { class: "muted" }, t("memory.context.empty"));
    const tokens = { current: 0, stale: 0, long: 0 };
    for (const said of found.sources) tokens[said.level] += said.num_tokens;
    const messages = LEVELS.reduce((sum, level) => sum + tokens[level], 0);
    const scale = messages > found.num_tokens ? found.num_tokens / messages : 1; // of messages that are only shown in part
    const parts = LEVELS.map((level) => ({ kind: level, count: Math.round(tokens[level] * scale) }));
    parts.push({ kind: "other", count: Math.max(0, found.num_tokens - parts.reduce((sum, part) => sum + part.count, 0)) });
    const there = parts.filter((part) => part.count);
    const words = there.map((part) => `${t(`memory.part.${part.kind}`)}: ${format.number(part.count)}`).join(", ");
    const said = new Map(found.sources.map((one) => [`${one.session}\n${one.id}`, one]));
    const reasons = found.reasons.map((reason) => [reason, said.get(`${reason.session}\n${reason.id}`)]).filter(([, message]) => message);
    return [
      el("div", { class: "context-sum" },
        el("strong", null, t("memory.context.size", { used: format.number(found.num_tokens), budget: format.number(budget) })),
        el("span", { class: "muted" }, t("memory.context.time", { time: format.seconds(found.seconds) }))),
      partsMeter(app, { label: t("memory.context.parts"), text: words, parts: parts.map((part) => ({ kind: part.kind, share: part.count / budget })) }),
      el("ul", { class: "legend" }, there.map((part) => el("li", { dataset: { kind: part.kind } }, t(`memory.part.${part.kind}`), " ", el("span", { class: "number muted" }, format.number(part.count))))),
      el("details", { class: "fold" }, el("summary", null, t("memory.context.text")), el("pre", { class: "context-text", tabindex: "0" }, found.text)),
      reasons.length ? el("h3", null, t("memory.context.messages", { count: reasons.length })) : null,
      reasons.map(([reason, message]) => this.memory.message(message, explained(app, reason))),
    ];
  }
}

/** Why a message is there, or not: a word for the cause, and how it was found. */
export function explained(app, reason) {
  const { el, t } = app;
  const how = reason.legs.filter((leg) => ["facts", "time", "vectors"].includes(leg)).map((leg) => t(`memory.leg.${leg}`));
  if (reason.words.length) how.unshift(t("memory.leg.words", { words: reason.words.join(", ") }));
  if (reason.rank !== null) how.push(t("memory.rank", { rank: reason.rank }));
  return el("p", { class: "row tight cause" },
    el("span", { class: `chip ${reason.part === "last" || reason.part === "evidence" ? "good" : reason.part ? "accent" : "warn"}` }, t(`memory.cause.${reason.cause.replace(" ", "_")}`)),
    how.length ? el("span", { class: "muted long" }, how.join("; ")) : null);
}
