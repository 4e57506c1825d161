// Branches that are being made: their jobs, followed as events, found again after a reload.

const AGAIN_MILLISECONDS = 2000; // after a stream broke
const SHOWN_ENDED = 3;

export class Jobs {
  #cards = new Map();

  /** whenDone: is told when a branch stands. */
  constructor(app, signal, whenDone) {
    Object.assign(this, { app, signal, whenDone });
    const { el, t } = app;
    this.list = el("div", { class: "stack" });
    this.element = el("section", { class: "stack", "aria-label": t("branches.jobs"), hidden: true }, el("h2", null, t("branches.jobs")), this.list);
  }

  /** Show the jobs that run, and those that ended lately. */
  async begin() {
    const { data } = await this.app.api("/v1/jobs", { signal: this.signal });
    const mine = data.filter((job) => job.kind === "branch.add");
    const runs = (job) => job.status === "queued" || job.status === "running";
    const ended = mine.filter((job) => !runs(job)).slice(0, SHOWN_ENDED);
    for (const job of [...ended, ...mine.filter(runs)].reverse()) {
      if (runs(job)) this.follow(job);
      else this.#show(job);
    }
  }

  /** Show a job until it has ended, whatever happens to the stream of its events. */
  async follow(job) {
    this.#show(job);
    while (!this.signal.aborted) {
      try {
        for await (const now of this.app.events(`/v1/jobs/${job.id}/events`, { signal: this.signal })) {
          job = now;
          this.#show(now);
        }
        if (!["queued", "running"].includes(job.status)) break;
      } catch (error) {
        if (error.name === "AbortError") return;
        if (error.status === 404) {
          this.#drop(job.id);
          return;
        }
      }
      await new Promise((resume) => setTimeout(resume, AGAIN_MILLISECONDS));
    }
    if (job.status === "succeeded") {
      this.app.notice(this.app.t("branches.made", { name: job.asked.branch }), "good");
      this.whenDone();
    }
  }

  #show(job) {
    const { el, t, replace } = this.app;
    if (!this.#cards.has(job.id)) this.#cards.set(job.id, this.#newCard(job));
    const card = this.#cards.get(job.id);
    const runs = job.status === "queued" || job.status === "running";
    const kinds = { running: "accent", succeeded: "good", failed: "bad", interrupted: "warn" };
    card.status.className = `chip ${kinds[job.status] ?? ""}`.trim();
    put(card.status, t(`branches.status.${job.status}`));
    card.progress.hidden = card.doing.hidden = !runs;
    if (runs) this.#showProgress(card, job);
    card.outcome.hidden = runs;
    if (!runs && card.shown !== job.status) {
      replace(card.outcome, job.status === "succeeded" ? this.#result(job) : this.#failure(job));
    }
    if (card.shown !== job.status) replace(card.buttons, this.#buttons(job, runs));
    card.shown = job.status;
    this.element.hidden = !this.#cards.size;
  }

  #showProgress(card, { status, progress }) {
    const { t, format } = this.app;
    const known = ["starting", "reading", "encoding", "training", "checking", "saving", "loading"];
    const doing = status === "queued" ? "queued" : known.includes(progress.doing) ? progress.doing : "working";
    const isCounted = progress.total > 1;
    put(card.doing, isCounted
      ? t("branches.doing.counted", { doing: t(`branches.doing.${doing}`), done: format.number(progress.done), total: format.number(progress.total) })
      : t(`branches.doing.${doing}`));
    if (isCounted) {
      card.progress.max = progress.total;
      card.progress.value = progress.done;
    } else card.progress.removeAttribute("value");
  }

  #newCard(job) {
    const { el, t } = this.app;
    const card = {
      status: el("span", { class: "chip" }), doing: el("p", { class: "muted", "aria-live": "polite" }),
      progress: el("progress", { "aria-label": t("branches.progress", { name: job.asked.branch }) }),
      outcome: el("div", { class: "stack", "aria-live": "polite" }), buttons: el("div", { class: "row" }),
    };
    card.element = el("article", { class: "card stack job", dataset: { job: job.id } },
      el("div", { class: "card-head" }, el("h3", { class: "long" }, job.asked.branch), card.status),
      el("p", { class: "muted long" }, t("branches.job.from", { file: job.asked.file })),
      card.progress, card.doing, card.outcome, card.buttons);
    this.list.prepend(card.element);
    return card;
  }

  #result({ result }) {
    const { el, t, format } = this.app;
    const accuracy = result.validation_accuracy;
    return [
      el("p", null, t("branches.result", { count: result.num_rows, classes: result.num_classes, accuracy: format.percent(accuracy) }), " ",
        t(result.others_max_abs_diff === 0 ? "branches.result.same" : "branches.result.rounded")),
      result.remarks.length ? el("ul", { class: "muted", lang: "en" }, result.remarks.map((remark) => el("li", { class: "long" }, remark))) : null,
    ];
  }

  #failure(job) {
    const { el, t } = this.app;
    if (job.status === "failed") return el("p", { class: "problem-line long", lang: "en" }, job.error ?? "");
    return el("p", { class: "muted" }, t(`branches.ended.${job.status}`));
  }

  #buttons(job, runs) {
    const { el, t } = this.app;
    const button = (key, run) => el("button", { type: "button", class: "button", "aria-label": t(`branches.job.${key}.of`, { name: job.asked.branch }), onclick: run }, t(`branches.job.${key}`));
    return [
      runs ? button("cancel", () => this.#act(job, "cancel")) : null,
      job.may_restart ? button("restart", () => this.#act(job, "restart")) : null,
      runs ? null : button("dismiss", () => this.#dismiss(job)),
    ];
  }

  async #act(job, verb) {
    try {
      const now = await this.app.api(`/v1/jobs/${job.id}/${verb}`, { method: "POST", signal: this.signal });
      if (verb === "restart") this.follow(now);
    } catch (error) {
      this.app.failed(error);
    }
  }

  async #dismiss(job) {
    try {
      await this.app.api(`/v1/jobs/${job.id}`, { method: "DELETE", signal: this.signal });
      this.#drop(job.id);
    } catch (error) {
      this.app.failed(error);
    }
  }

  #drop(id) {
    this.#cards.get(id)?.element.remove();
    this.#cards.delete(id);
    this.element.hidden = !this.#cards.size;
  }
}

function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
