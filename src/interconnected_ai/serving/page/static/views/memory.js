// Memory: how full its levels are, what would go to a model, facts and where they come from, search, forgetting.

import { Forgetting } from "../memory/forgetting.js";
import { Facts } from "../memory/facts.js";
import { Levels } from "../memory/levels.js";
import { Pins } from "../memory/pins.js";
import { Search } from "../memory/search.js";
import { Sessions } from "../memory/sessions.js";
import { command } from "../parts/forms.js";
import { tabs } from "../parts/tabs.js";

export async function mount(root, app) {
  const gone = new AbortController();
  const { el, t } = app;
  root.append(el("header", { class: "view-head" }, el("div", null, el("h1", null, t("memory.title")), el("p", { class: "muted" }, t("memory.about")))));
  let sessions;
  try {
    sessions = (await app.api("/v1/memory/sessions", { signal: gone.signal })).data.reverse();
  } catch (error) {
    if (error.status !== 404) throw error;
    root.append(app.empty({ icon: "memory", title: t("memory.none.title"), text: t("memory.none.text"), action: command(app, "memory:", "./memory.db") }));
    return () => gone.abort();
  }
  if (!sessions.length) {
    root.append(app.empty({ icon: "memory", title: t("memory.empty.title"), text: t("memory.empty.text"), action: el("a", { class: "button primary", href: "/chat" }, t("memory.empty.go")) }));
    return () => gone.abort();
  }
  const memory = new Memory(app, gone.signal, sessions);
  const panels = { context: new Levels(memory), facts: new Facts(memory), pins: new Pins(memory), search: new Search(memory), sessions: new Sessions(memory), forget: new Forgetting(memory) };
  const all = Object.entries(panels).map(([id, part]) => ({ id, label: t(`memory.tab.${id}`), panel: part.element }));
  const shown = tabs(app, {
    label: t("memory.title"), all, open: app.params().get("part"),
    whenOpened: (id) => {
      app.replaceParams({ part: id === "context" ? null : id });
      panels[id].look();
    },
  });
  root.append(shown.element);
  return () => gone.abort();
}

/** What the parts of the view share: the requests, and the words for a message. */
class Memory {
  constructor(app, signal, sessions) {
    Object.assign(this, { app, signal, sessions });
  }

  ask(path, asked = {}) {
    return this.app.api(`/v1/memory${path}`, { signal: this.signal, ...asked });
  }

  /** A choice among the sessions; `all` is what the choice of none says. */
  sessionChoice(all) {
    const { el } = this.app;
    const names = this.sessions.map((one) => one.session);
    return el("select", null, all ? el("option", { value: "" }, all) : null, names.map((name) => el("option", { value: name }, shortened(name))));
  }

  /** Ask again who is there. */
  async refresh() {
    this.sessions = (await this.ask("/sessions")).data.reverse();
  }

  /** A message with who said it, when and where; more: nodes below it. */
  message(said, ...more) {
    const { el, t, format } = this.app;
    const known = ["user", "assistant", "system", "tool"].includes(said.role);
    return el("article", { class: "quote", dataset: { message: said.id } },
      el("p", { class: "muted quote-by" },
        el("strong", null, known ? t(`memory.role.${said.role}`) : said.role), " · ", format.date(said.time), " · ",
        el("span", { class: "long" }, t("memory.where", { session: shortened(said.session), place: said.place }))),
      el("p", { class: "quote-words long" }, said.content), more);
  }
}

function shortened(name) {
  return name.length > 60 ? `${name.slice(0, 57)}…` : name;
}
