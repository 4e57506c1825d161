// One message of a conversation as it is shown: what was said, who said it and why, and what can be done with it.

import { rendered } from "./markdown.js";
import { clauses } from "./parts/clauses.js";

/** What a person said. */
export function userView(app, conversation, message, actions) {
  const { t, el } = app;
  const box = el("article", { class: "said", "aria-label": t("chat.you") });
  const edit = () => {
    const area = el("textarea", { rows: 3, "aria-label": t("chat.edit"), value: message.content });
    const send = (event) => {
      event.preventDefault();
      if (area.value.trim() && !actions.isBusy) actions.edit(message, area.value.trim());
    };
    app.replace(box, el("form", { class: "stack tight", onsubmit: send }, area,
      el("div", { class: "row end" },
        el("button", { type: "button", class: "button", onclick: show }, t("shell.cancel")),
        el("button", { type: "submit", class: "button primary" }, t("chat.edit.send")))));
    area.focus();
  };
  const show = () => app.replace(box, el("div", { class: "bubble" }, message.content),
    el("div", { class: "message-tools" },
      turns(app, conversation, message, actions),
      tool(app, "edit", t("chat.edit"), edit, { disabled: actions.isBusy }),
      tool(app, "copy", t("chat.copy"), () => actions.copy(message.content))));
  show();
  return box;
}

/** What was answered. */
export function answerView(app, conversation, message, actions) {
  const { t, el, icon } = app;
  const codeTools = (code) => tool(app, "copy", t("chat.copy.code"), () => actions.copy(code));
  const who = message.told?.experts?.join(", ") ?? (message.model === "council" ? t("chat.council") : (message.model ?? ""));
  const isCut = !message.isLive && !message.content && !message.error && message.finish !== "stopped" && !message.finish;
  const error = message.error ?? (isCut ? t("chat.error.cut") : null);
  return el("article", { class: "answer", "aria-label": t("chat.answer.of", { who }), "aria-busy": message.isLive ? "true" : null },
    message.told ? reasons(app, message) : el("p", { class: "answer-head" }, el("span", { class: "chip" }, who)),
    el("div", { class: "prose" }, rendered(message.content, { codeTools })),
    message.isLive ? el("p", { class: "working" }, el("span", { class: "dots", "aria-hidden": "true" }), t(message.content ? "chat.writing" : "chat.thinking")) : null,
    message.finish === "length" ? el("p", { class: "muted small" }, t("chat.length")) : null,
    message.finish === "stopped" ? el("p", { class: "muted small" }, t("chat.stopped")) : null,
    error ? el("div", { class: "problem card", role: "alert" }, icon("alert"), el("p", null, error),
      el("button", { type: "button", class: "button", disabled: actions.isBusy, onclick: () => actions.regenerate(message) }, t("shell.again"))) : null,
    message.isLive ? null : el("div", { class: "message-tools" },
      turns(app, conversation, message, actions),
      message.content ? tool(app, "copy", t("chat.copy"), () => actions.copy(message.content)) : null,
      tool(app, "again", t("chat.regenerate"), () => actions.regenerate(message), { disabled: actions.isBusy }),
      message.content ? [
        tool(app, "branches", t("chat.fork"), () => actions.fork(message)),
        tool(app, "up", t("chat.good"), () => actions.rate(message, "up"), { "aria-pressed": String(message.rating === "up") }),
        tool(app, "down", t("chat.bad"), () => actions.rate(message, "down"), { "aria-pressed": String(message.rating === "down") }),
      ] : null));
}

function tool(app, name, words, act, more = {}) {
  return app.el("button", { type: "button", class: "button quiet icon-only", title: words, "aria-label": words, onclick: act, ...more }, app.icon(name));
}

/** "‹ 2 / 3 ›" where there are several in one place. */
function turns(app, conversation, message, actions) {
  const all = conversation.siblings(message);
  if (all.length < 2) return null;
  const at = all.indexOf(message);
  const { t, el, format } = app;
  return el("span", { class: "turns" },
    tool(app, "previous", t("chat.previous"), () => actions.turn(all[at - 1]), { disabled: at === 0 || actions.isBusy }),
    el("span", { class: "small number" }, `${format.number(at + 1)} / ${format.number(all.length)}`),
    tool(app, "next", t("chat.next"), () => actions.turn(all[at + 1]), { disabled: at === all.length - 1 || actions.isBusy }));
}

/** Who answered and why, in one line; unfolded the scores, what was recalled, and how long it took. */
function reasons(app, message) {
  const { t, el, format } = app;
  const { told } = message;
  const runnerUp = told.runner_up;
  const memory = el("div", { class: "stack tight" });
  const details = el("details", { class: "reasons" },
    el("summary", null,
      el("span", { class: "chip accent" }, told.experts.map((name) => weighed(app, told, name)).join(", ")),
      told.reason ? el("span", { class: "muted small reason" }, clauses(app, "reason", told.reason_clauses, told.reason)) : null,
      told.recalled?.length ? el("span", { class: "chip" }, app.icon("memory"), t("chat.recalled", { count: told.recalled.length })) : null),
    el("div", { class: "stack tight reasons-body" },
      told.scores && Object.keys(told.scores).length ? scores(app, told) : null,
      runnerUp ? el("p", { class: "small" }, t("chat.runner_up", { expert: runnerUp.expert, score: format.number(runnerUp.score, { digits: 2 }) })) : null,
      Object.keys(told.weights ?? {}).length ? el("p", { class: "small" }, t("chat.weights")) : null,
      told.is_fallback ? el("p", { class: "small" }, t("chat.fallback")) : null,
      (told.notices ?? []).map((notice, place) => el("p", { class: "small problem-line" },
        clauses(app, "notice", told.notice_clauses?.slice(place, place + 1), notice))),
      memory,
      times(app, told)));
  details.addEventListener("toggle", () => details.open && told.recalled?.length && sources(app, told, memory), { once: true });
  return details;
}

/** An expert, and of several that deliberated how much its word weighed. */
function weighed({ format }, { weights }, name) {
  return weights?.[name] === undefined ? name : `${name} ${format.percent(weights[name], { digits: 0 })}`;
}

function scores(app, { scores: found, experts }) {
  const { t, el, format } = app;
  const highest = Math.max(...Object.values(found), 1e-9);
  return el("table", { class: "table scores" },
    el("caption", { class: "visually-hidden" }, t("chat.scores")),
    el("tbody", null, Object.entries(found).sort(([, a], [, b]) => b - a).map(([name, score]) =>
      el("tr", null,
        el("th", { scope: "row" }, name, experts.includes(name) ? el("span", { class: "visually-hidden" }, t("chat.chosen")) : null),
        el("td", { class: "grow" }, el("div", { class: `meter ${experts.includes(name) ? "" : "dim"}`, style: { "--part": Math.max(0, score) / highest } })),
        el("td", { class: "number" }, format.number(score, { digits: 2 }))))));
}

function times(app, told) {
  const { t, el, format } = app;
  const parts = Object.entries(told.timings ?? {}).filter(([, seconds]) => seconds !== null && seconds > 0);
  if (!parts.length) return null;
  return el("dl", { class: "times small" }, parts.map(([name, seconds]) => el("div", null,
    el("dt", { class: "muted" }, TIMINGS.has(name) ? t(`chat.time.${name}`) : name), el("dd", { class: "number" }, format.seconds(seconds)))));
}

const TIMINGS = new Set(["recall", "route", "borrow", "first_piece", "generate", "remember"]);

/** What was recalled for the answer, word for word, with when and where it was said. */
async function sources(app, told, place) {
  const { t, el, format } = app;
  app.replace(place, app.skeleton(2));
  try {
    const { data } = await app.api("/v1/memory/messages", { json: { ids: told.recalled.slice(0, 200) } });
    app.replace(place,
      el("h3", { class: "small" }, t("chat.sources")),
      el("ul", { class: "sources" }, data.map((one) => el("li", null,
        el("blockquote", null, one.content),
        el("p", { class: "muted small" }, t("chat.source", {
          who: one.role === "user" ? t("chat.you") : one.role, session: one.session, when: format.date(one.time),
        }))))),
      data.length < told.recalled.length ? el("p", { class: "muted small" }, t("chat.sources.gone", { count: told.recalled.length - data.length })) : null);
  } catch (error) {
    app.replace(place, app.problem(error, () => sources(app, told, place)));
  }
}
