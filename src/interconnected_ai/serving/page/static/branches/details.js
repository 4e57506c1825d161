// One branch in a dialog: its figures, its classes, and which of them it takes for which.

const MOST_SHOWN = 12; // classes of a matrix that still fits a window
const MOST_PAIRS = 8;
const MOST_LABELS = 60;
const SHADES = 8;

/** Resolves when the dialog is closed. */
export async function details(app, card, signal) {
  const { el, t, format } = app;
  const more = el("div", { class: "stack" }, app.skeleton(4));
  const look = async () => {
    try {
      const path = `/v1/branches/${encodeURIComponent(card.id)}?system=${encodeURIComponent(card.system)}`;
      const found = await app.api(path, { signal });
      app.replace(more, found.confusion
        ? confusion(app, found.spec.labels, found.confusion)
        : el("p", { class: "muted" }, t("branches.confusion.none")));
    } catch (error) {
      if (error.name !== "AbortError") app.replace(more, app.problem(error, look));
    }
  };
  const fact = (key, value) => el("div", null, el("dt", null, t(`branches.fact.${key}`)), el("dd", null, value));
  const share = (value) => (value === undefined ? "–" : format.percent(value));
  const count = (value) => format.number(value);
  look();
  await app.dialog({ title: card.id, wide: true }, () => [
    el("dl", { class: "facts" },
      fact("accuracy", share(card.metrics.accuracy)), fact("macro_f1", share(card.metrics.macro_f1)),
      fact("calibration", share(card.metrics.calibration_error)), fact("answered", share(card.metrics.answered)),
      fact("rows", count(card.num_rows || null)), fact("calibration_rows", count(card.calibration_rows)),
      fact("temperature", format.number(card.temperature, { digits: 2 })), fact("threshold", format.number(card.threshold, { digits: 2 }))),
    el("details", { class: "fold" },
      el("summary", null, t("branches.classes", { count: card.spec.num_classes })),
      el("p", { class: "row tight" }, card.spec.labels.slice(0, MOST_LABELS).map((label) => el("span", { class: "chip long" }, label)),
        card.spec.labels.length > MOST_LABELS ? el("span", { class: "muted" }, t("branches.classes.more", { count: card.spec.labels.length - MOST_LABELS })) : null)),
    more,
  ]);
}

/** The matrix as a table, rows by true class; of many classes those that are confused most. */
function confusion(app, labels, { rows, num_rows: numRows, counts }) {
  const { el, t, format } = app;
  const wrong = counts.filter(([right, said]) => right !== said).sort((a, b) => b[2] - a[2]);
  const shown = chosen(labels.length, counts, wrong);
  const at = new Map(counts.map(([right, said, count]) => [`${right} ${said}`, count]));
  const totals = new Map();
  for (const [right, , count] of counts) totals.set(right, (totals.get(right) ?? 0) + count);
  const cell = (right, said) => {
    const count = at.get(`${right} ${said}`) ?? 0;
    const shade = count ? Math.max(1, Math.round((count / totals.get(right)) * SHADES)) : 0;
    const shown = count ? format.number(count) : [el("span", { "aria-hidden": "true" }, "·"), el("span", { class: "visually-hidden" }, "0")];
    return el("td", { class: "number", dataset: { right: right === said ? "yes" : "no" }, style: { "--level": shade } }, shown);
  };
  const short = shown.length < labels.length;
  return [
    el("h3", null, t("branches.confusion")),
    el("p", { class: "muted" }, t(`branches.confusion.rows.${rows}`, { count: numRows }), " ",
      short ? t("branches.confusion.some", { count: shown.length, all: labels.length }) : t("branches.confusion.read")),
    el("div", { class: "table-wrap matrix-wrap", tabindex: "0", role: "region", "aria-label": t("branches.confusion") },
      el("table", { class: "matrix" },
        el("caption", { class: "visually-hidden" }, t("branches.confusion.caption")),
        el("thead", null, el("tr", null, el("td", { class: "corner" }, t("branches.confusion.corner")),
          shown.map((said) => el("th", { scope: "col" }, el("span", { title: labels[said] }, labels[said]))))),
        el("tbody", null, shown.map((right) => el("tr", null, el("th", { scope: "row", title: labels[right] }, labels[right]), shown.map((said) => cell(right, said))))))),
    wrong.length ? [
      el("h3", null, t("branches.pairs")),
      el("ul", { class: "pairs" }, wrong.slice(0, MOST_PAIRS).map(([right, said, count]) =>
        el("li", { class: "long" }, t("branches.pair", { right: labels[right], said: labels[said], count })))),
    ] : el("p", { class: "verdict good" }, app.icon("check"), t("branches.confusion.perfect")),
  ];
}

/** The numbers of the classes to show, in their own order. */
function chosen(numClasses, counts, wrong) {
  const all = [...Array(numClasses).keys()];
  if (numClasses <= MOST_SHOWN) return all;
  const found = new Set();
  for (const [right, said] of [...wrong, ...counts]) {
    if (found.size + (found.has(right) ? 0 : 1) + (found.has(said) ? 0 : 1) > MOST_SHOWN) continue;
    found.add(right).add(said);
  }
  return all.filter((number) => found.has(number));
}
