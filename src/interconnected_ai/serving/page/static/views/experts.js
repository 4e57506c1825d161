// Experts: pools in bytes, who is in memory, live; loaded, pinned and unloaded by hand.

import { command } from "../parts/forms.js";
import { meter } from "../parts/meters.js";

const LOOK_SECONDS = 2;
const WARMTH = { resident: "hot", mapped: "mapped", loading: "loading", reserved: "loading", unloading: "leaving" };
const KINDS = { hot: "good", mapped: "accent", loading: "warn", leaving: "warn", cold: "" };
const FIGURES = ["size", "requests", "loads", "evictions", "seconds"];

export async function mount(root, app) {
  const gone = new AbortController();
  const view = new Experts(root, app, gone.signal);
  view.show(await app.api("/v1/experts", { signal: gone.signal }));
  const stop = app.poll(() => view.look(), { seconds: LOOK_SECONDS });
  const whenSeen = () => view.showLive(!document.hidden);
  document.addEventListener("visibilitychange", whenSeen, { signal: gone.signal });
  return () => {
    stop();
    gone.abort();
  };
}

class Experts {
  #rows = new Map();
  #pools = new Map();
  #busy = new Set();
  #asideShown = "";

  constructor(root, app, signal) {
    Object.assign(this, { app, signal });
    const { el, t } = app;
    this.pools = el("div", { class: "grid" });
    this.aside = el("div", { class: "stack", role: "status" });
    this.body = el("tbody", null);
    this.live = el("p", { class: "live" }, t("experts.live"));
    const head = (key, kind) => el("th", { scope: "col", class: kind ?? null }, t(`experts.head.${key}`));
    this.listed = el("div", { class: "stack" }, this.pools, this.aside,
      el("div", { class: "table-wrap" },
        el("table", { class: "table folding" },
          el("caption", { class: "visually-hidden" }, t("experts.table")),
          el("thead", null, el("tr", null, head("name"), head("state"), FIGURES.map((key) => head(key, "number")), head("actions"))),
          this.body)));
    root.append(
      el("header", { class: "view-head" },
        el("div", null, el("h1", null, t("experts.title")), el("p", { class: "muted" }, t("experts.about"))), this.live),
      this.listed);
  }

  async look() {
    try {
      this.show(await this.app.api("/v1/experts", { signal: this.signal }));
      this.showLive(true);
    } catch (error) {
      if (error.name !== "AbortError") this.showLive(false);
    }
  }

  showLive(isLive) {
    put(this.live, this.app.t(isLive ? "experts.live" : "experts.paused"));
    this.live.classList.toggle("off", !isLive);
  }

  show(found) {
    const { app } = this;
    if (!found.data.length) {
      app.replace(this.listed, app.empty({
        icon: "experts", title: app.t("experts.empty.title"), text: app.t("experts.empty.text"),
        action: command(app, "iai", "serve", "council.yaml"),
      }));
      return;
    }
    for (const [name, pool] of Object.entries(found.pools)) this.#showPool(name, pool);
    this.#showAside(found.set_aside);
    for (const expert of found.data) this.#showExpert(expert);
  }

  #showPool(name, pool) {
    const { el, t, format, replace } = this.app;
    if (!this.#pools.has(name)) {
      const label = t(`experts.pool.${name}`);
      const made = {
        bar: meter(this.app, { label, share: 0, text: "" }), words: el("p", { class: "used" }), facts: el("dl", { class: "facts" }),
      };
      this.pools.append(el("section", { class: "card stack" }, el("h2", null, label), made.words, made.bar, made.facts));
      this.#pools.set(name, made);
    }
    const { bar, words, facts } = this.#pools.get(name);
    const share = pool.budget_bytes ? pool.used_bytes / pool.budget_bytes : 0;
    const text = t("experts.used", { used: format.bytes(pool.used_bytes), budget: format.bytes(pool.budget_bytes) });
    bar.show({ share, text, tone: share > 0.95 ? "warn" : "" });
    put(words, text);
    const fact = (key, value) => el("div", null, el("dt", null, t(`experts.fact.${key}`)), el("dd", null, value));
    replace(facts,
      fact("hit_rate", pool.num_requests ? format.percent(pool.hit_rate) : "–"), fact("requests", format.number(pool.num_requests)),
      fact("evictions", format.number(pool.num_evictions)), fact("peak", format.bytes(pool.peak_bytes)),
      fact("waiting", format.number(pool.num_waiting)));
  }

  #showAside(reasons) {
    const { el, t, icon, replace } = this.app;
    const now = JSON.stringify(reasons);
    if (this.#asideShown === now) return;
    this.#asideShown = now;
    this.aside.hidden = !Object.keys(reasons).length;
    replace(this.aside, Object.entries(reasons).map(([name, reason]) => el("div", { class: "card aside" }, icon("alert"),
      el("p", null, el("strong", null, t("experts.aside", { name })), " ", el("span", { lang: "en" }, reason)))));
  }

  #showExpert(expert) {
    const { format, t } = this.app;
    if (!this.#rows.has(expert.id)) this.#rows.set(expert.id, this.#newRow(expert.id));
    const row = this.#rows.get(expert.id);
    const warmth = this.#busy.has(expert.id) && row.isLoading ? "loading" : (WARMTH[expert.state] ?? "cold");
    put(row.state, t(`experts.state.${warmth}`));
    row.state.className = `chip ${KINDS[warmth]}`.trim();
    row.pinned.hidden = !expert.pinned;
    row.borrowed.hidden = !expert.num_borrowers;
    put(row.borrowed, t("experts.borrowers", { count: expert.num_borrowers }));
    put(row.size, expert.num_bytes ? format.bytes(expert.num_bytes) : "–");
    put(row.requests, format.number(expert.num_hits));
    put(row.loads, format.number(expert.num_loads));
    put(row.evictions, format.number(expert.num_evictions));
    put(row.seconds, expert.num_loads ? format.seconds(expert.load_seconds) : "–");
    const isBusy = this.#busy.has(expert.id);
    row.load.disabled = isBusy || warmth === "hot" || warmth === "loading";
    row.unload.disabled = isBusy || warmth === "cold" || expert.pinned || expert.num_borrowers > 0;
    row.pin.disabled = isBusy;
    row.isPinned = expert.pinned;
    const verb = expert.pinned ? "unpin" : "pin";
    put(row.pin, t(`experts.do.${verb}`));
    row.pin.setAttribute("aria-label", t(`experts.of.${verb}`, { name: expert.id }));
  }

  #newRow(name) {
    const { el, t } = this.app;
    const cell = (key, kind, ...inside) => el("td", { class: kind, dataset: { head: t(`experts.head.${key}`) } }, inside);
    const button = (verb, run) => el("button", { type: "button", class: "button", "aria-label": t(`experts.of.${verb}`, { name }), onclick: run }, t(`experts.do.${verb}`));
    const row = {
      state: el("span", { class: "chip" }), pinned: el("span", { class: "chip accent" }, t("experts.pinned")), borrowed: el("span", { class: "chip accent" }),
      load: button("load", () => this.#act(name, "load")),
      pin: button("pin", () => this.#act(name, "pin", { pinned: !row.isPinned })),
      unload: button("unload", () => this.#act(name, "unload")),
    };
    for (const key of FIGURES) row[key] = cell(key, "number");
    this.body.append(el("tr", { dataset: { expert: name } },
      el("th", { scope: "row", class: "long" }, name),
      cell("state", null, el("span", { class: "row tight" }, row.state, row.pinned, row.borrowed)),
      FIGURES.map((key) => row[key]),
      cell("actions", "actions", el("span", { class: "row tight" }, row.load, row.pin, row.unload))));
    return row;
  }

  async #act(name, verb, json) {
    const { app } = this;
    const row = this.#rows.get(name);
    const buttons = [row.load, row.pin, row.unload];
    this.#busy.add(name);
    row.isLoading = verb === "load";
    for (const button of buttons) button.disabled = true;
    if (row.isLoading) {
      put(row.state, app.t("experts.state.loading"));
      row.state.className = "chip warn";
    }
    try {
      await app.api(`/v1/experts/${encodeURIComponent(name)}/${verb}`, { method: "POST", json, signal: this.signal });
      const done = json ? (json.pinned ? "pin" : "unpin") : verb;
      app.notice(app.t(`experts.done.${done}`, { name }), "good");
    } catch (error) {
      app.failed(error);
    }
    this.#busy.delete(name);
    await this.look();
    if (!this.signal.aborted && document.activeElement === document.body) buttons.find((each) => !each.disabled)?.focus(); // disabled ones lose it
  }
}

/** Change a text only where it is another, so that screen readers and selections stay undisturbed. */
function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
