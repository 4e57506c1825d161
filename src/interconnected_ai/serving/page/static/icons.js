// Icons as strokes on a 24 × 24 field.

import { svg } from "./dom.js";

const STROKES = {
  chat: ["M4 5h16v11H9l-5 4z"],
  branches: ["M6 4v16", "M6 9c0 4 12 2 12 7v4", "M18 4v3"],
  experts: ["M4 7h16v10H4z", "M8 7v10", "M12 7v10", "M16 7v10"],
  memory: ["M12 4 3.5 8.5 12 13l8.5-4.5z", "M3.5 12.5 12 17l8.5-4.5", "M3.5 16.5 12 21l8.5-4.5"],
  planner: ["M5 7h9", "M18 7h1", "M5 12h2", "M11 12h8", "M5 17h7", "M16 17h3", "M16 5v4", "M9 10v4", "M14 15v4"],
  key: ["M14.5 9.5a4.5 4.5 0 1 0-3.6 4.4L13 16h2v2h2v2h3v-3l-5.9-5.9c.3-.5.4-1 .4-1.6z", "M8.5 8.5h.01"],
  sun: ["M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z", "M12 2v2", "M12 20v2", "M2 12h2", "M20 12h2", "m5 5 1.4 1.4", "m17.6 17.6 1.4 1.4", "m5 19 1.4-1.4", "m17.6 6.4 1.4-1.4"],
  moon: ["M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z"],
  auto: ["M12 3.5a8.5 8.5 0 1 0 0 17z", "M12 3.5a8.5 8.5 0 0 1 0 17"],
  close: ["m6 6 12 12", "m18 6-12 12"],
  search: ["M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13z", "m15.5 15.5 5 5"],
  plus: ["M12 5v14", "M5 12h14"],
  send: ["M12 20V5", "m5.5 11.5 6.5-6.5 6.5 6.5"],
  stop: ["M7 7h10v10H7z"],
  copy: ["M8 8h12v12H8z", "M16 8V4H4v12h4"],
  edit: ["M4 20h4L20 8l-4-4L4 16z"],
  again: ["M20 5v5h-5", "M19.5 10A8 8 0 1 0 20 14"],
  up: ["M7 11v9H4v-9z", "M7 11l4-7c2 0 2.5 1.5 2 3.5L12.5 10H19l-1.5 8.5c-.2 1-1 1.5-2 1.5H7"],
  down: ["M7 13V4H4v9z", "M7 13l4 7c2 0 2.5-1.5 2-3.5L12.5 14H19l-1.5-8.5c-.2-1-1-1.5-2-1.5H7"],
  previous: ["m14.5 5-7 7 7 7"],
  next: ["m9.5 5 7 7-7 7"],
  upload: ["M12 16V5", "m7 10 5-5 5 5", "M4 20h16"],
  save: ["M12 4v11", "m7 11 5 5 5-5", "M4 20h16"],
  bin: ["M4 7h16", "M9 7V4h6v3", "M6 7l1 13h10l1-13", "M10 11v5", "M14 11v5"],
  list: ["M4 6h16", "M4 12h16", "M4 18h10"],
  alert: ["M12 4 2.5 20h19z", "M12 10v4", "M12 17h.01"],
  check: ["m5 12.5 5 5 9-11"],
  pin: ["M9 4h6l-1 7 3 3H7l3-3z", "M12 14v6"],
};

/** An icon that says nothing to a screen reader: what it stands for is said in words beside it. */
export function icon(name) {
  const strokes = (STROKES[name] ?? STROKES.alert).map((d) => svg("path", { d }));
  return svg("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" }, strokes);
}
