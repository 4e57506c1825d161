// The strip above every view: latency, throughput, faults and how busy the server is. It looks while somebody can see it.

const SECONDS = 5;

/** Show the strip in `place`; where this key may not see the figures, nothing. */
export function monitor(place, app) {
  const { t, el, replace, format } = app;
  let shown = null;

  const figure = (name, value, more, part = null) => el("div", { class: "strip-figure" },
    el("dt", null, name),
    el("dd", null,
      el("strong", null, value),
      more ? el("span", { class: "muted" }, more) : null,
      part === null ? null : el("div", { class: `meter ${part >= 1 ? "warn" : ""}`, style: { "--part": part } })));

  function show() {
    if (!shown) return;
    const { answers } = shown;
    replace(place, el("dl", { "aria-label": t("monitor.label") },
      figure(t("monitor.latency"), format.seconds(shown.p50_seconds), shown.p95_seconds === null ? null : t("monitor.p95", { time: format.seconds(shown.p95_seconds) })),
      figure(t("monitor.throughput"), t("monitor.per_second", { count: Math.round(shown.tokens_per_second * 10) / 10 })),
      figure(t("monitor.errors"), format.number(shown.faults), t("monitor.of_requests", { count: shown.requests })),
      figure(t("monitor.utilisation"), format.percent(shown.utilisation, { digits: 0 }),
        answers.waiting ? t("monitor.waiting", { count: answers.waiting }) : t("monitor.busy", { running: answers.running, most: answers.max_at_once }), shown.utilisation)));
  }

  let stop = app.poll(async () => {
    try {
      shown = await app.api("/v1/monitor");
      show();
    } catch (error) {
      if (error.status === 403) end(); // this key may not see it, and that does not change
      else if (error.status) replace(place);
    }
  }, { seconds: SECONDS });

  function end() {
    stop();
    replace(place);
  }

  return { show, end };
}
