// The conversations that are remembered, word for word.

const AT_ONCE = 50; // messages
const FEW = 100; // conversations that are shown before somebody asks for all

export class Sessions {
  constructor(memory) {
    this.memory = memory;
    const { el, t } = memory.app;
    this.list = el("div", { class: "stack" });
    this.element = el("section", { class: "stack" }, el("h2", null, t("memory.sessions")), this.list);
  }

  async look() {
    const { app } = this.memory;
    try {
      await this.memory.refresh();
      this.#show();
    } catch (error) {
      if (error.name !== "AbortError") app.replace(this.list, app.problem(error, () => this.look()));
    }
  }

  #show() {
    const { app, sessions } = this.memory;
    const { el, t, format } = app;
    const few = this.all ? sessions : sessions.slice(0, FEW);
    const more = few.length < sessions.length
      ? el("button", { type: "button", class: "button", onclick: () => { this.all = true; this.#show(); } }, t("memory.sessions.all", { count: sessions.length }))
      : null;
    app.replace(this.list, sessions.length ? [few.map((one) => {
      const inside = el("div", { class: "stack" });
      let isRead = false;
      const box = el("details", { class: "card fold session", dataset: { session: one.session }, ontoggle: () => {
        if (box.open && !isRead) {
          isRead = true;
          this.#more(one.session, 0, inside);
        }
      } },
        el("summary", null, el("span", { class: "long session-name" }, one.session), " ",
          el("span", { class: "muted" }, t("memory.sessions.size", { count: one.num_messages, tokens: format.number(one.num_tokens), date: format.date(one.last_time) }))),
        inside);
      return box;
    }), more] : app.empty({ icon: "memory", title: t("memory.empty.title"), text: t("memory.empty.text") }));
  }

  async #more(session, after, place) {
    const { app } = this.memory;
    const { el, t } = app;
    try {
      const found = await this.memory.ask(`/messages?session=${encodeURIComponent(session)}&after=${after}&limit=${AT_ONCE}`);
      place.append(...found.data.map((said) => this.memory.message(said)));
      if (!found.has_more) return;
      const button = el("button", { type: "button", class: "button", onclick: () => {
        button.remove();
        this.#more(session, found.data.at(-1).place, place);
      } }, t("memory.sessions.more"));
      place.append(button);
    } catch (error) {
      app.failed(error);
    }
  }
}
