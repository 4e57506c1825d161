// A plan as bars: parameters, memory, hours and money of each way, drawn to the width that there is.

const ROW = 46; // of a way: its words above its bar
const BAR = 14;
const TOP = 18; // where the bar begins below its words

/** A panel of bars. `show(rows, mark)` draws: rows of {name, kind, text, solid, low, high, bad}, mark {at, text} or null. */
export function panel(app, { title, note = "" }) {
  const host = app.el("div", { class: "plan-bars" });
  const notes = app.el("p", { class: "muted hint" }, note);
  const element = app.el("section", { class: "card plan-panel" }, app.el("h3", null, title), host, notes);
  let last = null;
  const draw = () => {
    if (last && host.clientWidth) app.replace(host, last[0].length ? drawn(app, host.clientWidth, ...last) : null);
  };
  const watching = new ResizeObserver(draw);
  watching.observe(host);
  return {
    element,
    show(rows, mark, said = note) {
      last = [rows, mark];
      notes.textContent = said;
      draw();
    },
    close: () => watching.disconnect(),
  };
}

function drawn(app, width, rows, mark) {
  const { svg } = app;
  const top = Math.max(...rows.flatMap((row) => [row.solid, row.high ?? 0]), 1e-12);
  const scale = mark && mark.at < top * 3 ? Math.max(top, mark.at) * 1.02 : top;
  const x = (value) => Math.max(0, Math.min(1, value / scale)) * width;
  const isMarked = mark && mark.at <= scale;
  const height = rows.length * ROW + (isMarked ? 16 : 0);
  const shapes = rows.map((row, number) => {
    const y = number * ROW;
    const wide = (value) => Math.max(2, x(value));
    return svg("g", { class: `way ${row.kind} ${row.bad ? "bad" : ""}` },
      svg("text", { class: "way-name", x: 0, y: y + 12 }, row.name),
      svg("text", { class: "way-value", x: width, y: y + 12, "text-anchor": "end" }, row.text),
      svg("rect", { class: "way-track", x: 0, y: y + TOP, width, height: BAR, rx: 4 }),
      row.high === undefined ? null : svg("rect", { class: "way-range", x: 0, y: y + TOP, width: wide(row.high), height: BAR, rx: 4 }),
      svg("rect", { class: "way-bar", x: 0, y: y + TOP, width: wide(row.solid), height: BAR, rx: 4 }),
      row.low === undefined ? null : svg("rect", { class: "way-low", x: 0, y: y + TOP, width: wide(row.low), height: BAR, rx: 4 }));
  });
  const line = isMarked ? svg("g", { class: "plan-mark" },
    svg("line", { x1: x(mark.at), x2: x(mark.at), y1: TOP - 6, y2: rows.length * ROW - 8 }),
    svg("text", { x: Math.min(x(mark.at), width), y: height - 3, "text-anchor": x(mark.at) > width / 2 ? "end" : "start" }, mark.text)) : null;
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" }, shapes, line);
}
