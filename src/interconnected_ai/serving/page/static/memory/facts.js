// Facts as a timeline: what holds, what it superseded, and the message that each stands in; set, corrected, retracted.

import { askedInDialog, field } from "../parts/forms.js";

const FEW = 50; // subjects that are shown before somebody asks for all
const AT_ONCE_SECONDS = 1; // a correction ends a fact and sets the next

export class Facts {
  constructor(memory) {
    this.memory = memory;
    const { app } = memory;
    const { el, t } = app;
    this.finder = el("input", { type: "search", class: "finder", "aria-label": t("memory.facts.find"), placeholder: t("memory.facts.find"), oninput: () => this.#show() });
    this.old = el("input", { type: "checkbox", checked: true, onchange: () => this.#show() });
    this.list = el("div", { class: "stack", "aria-live": "polite" }, app.skeleton(4));
    this.add = el("button", { type: "button", class: "button primary", onclick: () => this.#add() }, app.icon("plus"), t("memory.facts.set"));
    this.element = el("section", { class: "stack" },
      el("div", { class: "section-head" }, el("h2", null, t("memory.facts")), el("span", { class: "push" }), this.finder,
        el("label", { class: "check" }, this.old, t("memory.facts.old")), this.add),
      this.list);
    this.facts = null;
  }

  async look() {
    const { app } = this.memory;
    try {
      this.facts = (await this.memory.ask("/facts?superseded=true")).data;
      this.#show();
    } catch (error) {
      if (error.name !== "AbortError") app.replace(this.list, app.problem(error, () => this.look()));
    }
  }

  #show() {
    const { app } = this.memory;
    const { t } = app;
    if (!this.facts) return;
    const groups = new Map();
    for (const fact of this.facts) {
      const key = `${fact.subject}\n${fact.relation}`;
      groups.set(key, [...(groups.get(key) ?? []), fact]);
    }
    const wanted = this.finder.value.trim().toLowerCase();
    const shown = [...groups.values()]
      .filter((facts) => this.old.checked || facts.some(holds))
      .filter((facts) => facts.some((fact) => `${fact.subject} ${fact.relation} ${fact.value}`.toLowerCase().includes(wanted)))
      .sort((a, b) => Math.max(...b.map((fact) => fact.time)) - Math.max(...a.map((fact) => fact.time)));
    const few = this.all ? shown : shown.slice(0, FEW);
    const more = few.length < shown.length
      ? app.el("button", { type: "button", class: "button", onclick: () => { this.all = true; this.#show(); } }, t("memory.facts.all", { count: shown.length }))
      : null;
    app.replace(this.list, shown.length
      ? [few.map((facts) => this.#group(facts.toSorted((a, b) => b.time - a.time || b.number - a.number))), more]
      : app.empty({ icon: "memory", title: t(wanted ? "memory.facts.not_found" : "memory.facts.none"), text: t(wanted ? "memory.facts.not_found.text" : "memory.facts.none.text") }));
  }

  #group(facts) {
    const { el } = this.memory.app;
    const ended = new Set(facts.map((fact) => (isEnd(fact) ? null : fact.superseded_by)));
    const shown = facts.filter((fact) => (this.old.checked || holds(fact)) && !(isEnd(fact) && ended.has(fact.number)));
    return el("article", { class: "card stack fact-group" },
      el("h3", { class: "long" }, this.#who(facts[0].subject), " · ", facts[0].relation),
      el("ol", { class: "timeline" }, shown.map((fact) => this.#fact(fact, facts))));
  }

  #who(subject) {
    return subject === "user" ? this.memory.app.t("memory.facts.user") : subject;
  }

  #fact(fact, group) {
    const { app } = this.memory;
    const { el, t, format } = app;
    const after = this.#after(fact, group);
    const contradicted = fact.contradicts.map((number) => this.facts.find((one) => one.number === number)).filter((one) => one && one.superseded_by !== fact.number);
    const source = el("div", null);
    const current = holds(fact);
    const state = isEnd(fact) || (after && isEnd(after)) ? "ended" : current ? "holds" : after ? "superseded" : "expired";
    return el("li", { class: current ? "holds" : "past", dataset: { fact: String(fact.number) } },
      el("div", { class: "fact-line" },
        el("strong", { class: "long" }, fact.value || t("memory.facts.all_values")),
        el("span", { class: "row tight" },
          el("span", { class: `chip ${current ? "good" : ""}`.trim() }, t(`memory.facts.is.${state}`)),
          fact.by_hand ? el("span", { class: "chip accent" }, t("memory.facts.by_hand")) : null)),
      el("p", { class: "muted" }, format.date(fact.time),
        after ? [" · ", t(isEnd(after) ? "memory.facts.ended" : "memory.facts.superseded_by", { value: after.value, date: format.date(after.time) })] : null,
        fact.valid_until ? [" · ", t("memory.facts.until", { date: format.date(fact.valid_until) })] : null),
      contradicted.length ? el("p", { class: "muted long" }, t("memory.facts.contradicts", { values: contradicted.map((one) => one.value).join(", ") })) : null,
      el("div", { class: "row tight" },
        fact.by_hand ? null : el("button", { type: "button", class: "button quiet", "aria-expanded": "false", "aria-label": t("memory.facts.source.of", { value: fact.value }), onclick: (event) => this.#source(event.currentTarget, fact, source) }, t("memory.facts.source")),
        current ? [
          el("button", { type: "button", class: "button quiet", "aria-label": t("memory.facts.correct.of", { value: fact.value }), onclick: () => this.#correct(fact) }, app.icon("edit"), t("memory.facts.correct")),
          el("button", { type: "button", class: "button quiet", "aria-label": t("memory.facts.retract.of", { value: fact.value }), onclick: () => this.#retract(fact) }, app.icon("bin"), t("memory.facts.retract")),
        ] : null),
      source);
  }

  /** What took a fact's place: a newer fact, or its end where nothing came at once in its stead; null where it stands. */
  #after(fact, group) {
    const newer = this.facts.find((one) => one.number === fact.superseded_by);
    if (!newer || newer === fact) return null;
    const instead = group.filter((one) => !isEnd(one) && one.number > newer.number && one.time - newer.time < AT_ONCE_SECONDS);
    return isEnd(newer) ? (instead.at(-1) ?? newer) : newer;
  }

  async #source(button, fact, place) {
    const { app } = this.memory;
    const isOpen = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!isOpen));
    if (isOpen) {
      app.replace(place);
      return;
    }
    try {
      const { data } = await this.memory.ask("/messages", { json: { ids: [fact.source_id] } });
      const said = data.find((one) => one.session === fact.session) ?? data[0];
      app.replace(place, said ? this.memory.message(said) : app.el("p", { class: "muted" }, app.t("memory.facts.source.gone")));
    } catch (error) {
      if (error.name !== "AbortError") app.replace(place, app.problem(error));
    }
  }

  async #correct(fact) {
    const { app } = this.memory;
    const { el, t } = app;
    const value = el("input", { type: "text", name: "value", value: fact.value, required: true, autocomplete: "off", autofocus: true });
    const done = await askedInDialog(app, {
      title: t("memory.facts.correct.title", { relation: fact.relation }), action: t("memory.facts.correct"), cancel: t("memory.cancel"),
      body: [field(app, { label: t("memory.facts.value"), hint: t("memory.facts.correct.hint"), control: value })],
      run: (given) => this.memory.ask(`/facts/${fact.number}/correct`, { json: { value: given.value.trim() } }),
    });
    if (done) await this.#changed("memory.facts.corrected");
  }

  async #retract(fact) {
    const { app } = this.memory;
    const { t } = app;
    const sure = await app.confirm({ title: t("memory.facts.retract.title", { value: fact.value }), text: t("memory.facts.retract.text"), action: t("memory.facts.retract"), danger: true });
    if (!sure) return;
    try {
      await this.memory.ask(`/facts/${fact.number}`, { method: "DELETE" });
      await this.#changed("memory.facts.retracted");
    } catch (error) {
      app.failed(error);
    }
  }

  async #add() {
    const { app } = this.memory;
    const { el, t } = app;
    const input = (name, more) => el("input", { type: "text", name, autocomplete: "off", ...more });
    const done = await askedInDialog(app, {
      title: t("memory.facts.set.title"), action: t("memory.facts.set"), cancel: t("memory.cancel"),
      body: [
        field(app, { label: t("memory.facts.subject"), hint: t("memory.facts.subject.hint"), control: input("subject", { placeholder: t("memory.facts.user"), autofocus: true }) }),
        field(app, { label: t("memory.facts.relation"), hint: t("memory.facts.relation.hint"), control: input("relation", { required: true }) }),
        field(app, { label: t("memory.facts.value"), control: input("value", { required: true }) }),
      ],
      run: ({ subject, relation, value }) => this.memory.ask("/facts", {
        json: { relation: relation.trim(), value: value.trim(), ...(subject.trim() ? { subject: subject.trim() } : {}) },
      }),
    });
    if (done) await this.#changed("memory.facts.was_set");
  }

  async #changed(words) {
    const { app } = this.memory;
    await this.look();
    app.notice(app.t(words), "good");
    this.add.focus();
  }
}

function isEnd(fact) {
  return fact.kind.startsWith("end");
}

function holds(fact) {
  return fact.superseded_by === null && !isEnd(fact) && !(fact.valid_until && fact.valid_until * 1000 < Date.now());
}
