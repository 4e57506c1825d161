// What the server says clause by clause, in the reader's language; what has no words here is shown as the server wrote it.

/** The nodes of a sentence. kind: where its words stand in the catalogue, one of `KEYS`; text: the server's own, in English. */
export function clauses(app, kind, found, text) {
  if (!found?.length) return [foreign(app, text)];
  const nodes = [];
  let ending = "";
  for (const clause of found) {
    const [said, after] = worded(app, kind, clause);
    if (nodes.length) nodes.push(ending);
    nodes.push(said);
    ending = after;
  }
  return nodes;
}

const KEYS = {
  reason: (code) => `chat.reason.${code}`,
  notice: (code) => `chat.notice.${code}`,
  plan: (code) => `planner.told.${code}`,
};

/** A clause, and what stands between it and the next one. */
function worded(app, kind, { code, values }) {
  const { t } = app;
  const shown = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, rounded(value)]));
  if (code === "router") return [`${app.has(`chat.router.${values.router}`) ? t(`chat.router.${values.router}`) : values.router}:`, " "];
  const key = KEYS[kind](code);
  if (!app.has(key)) return [foreign(app, values.text ?? values.why ?? code), "; "];
  const words = t(key, shown);
  if (values.why) return [app.el("span", null, words, " ", foreign(app, values.why)), "; "];
  return [words, words.endsWith(":") ? " " : "; "];
}

function rounded(value) {
  return typeof value === "number" ? Math.round(value * 100) / 100 : value;
}

function foreign(app, text) {
  return app.el("span", { lang: "en" }, text);
}
