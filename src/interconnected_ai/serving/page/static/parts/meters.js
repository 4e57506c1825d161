// Bars that say how much of something is taken, to eyes and to screen readers.

/**
 * A bar of a share from 0 to 1. text: the same in words. tone: "", "good", "warn" or "bad".
 * `show({share, text, tone})` of the element changes it in place.
 */
export function meter(app, { label, ...first }) {
  const bar = app.el("div", { role: "meter", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "100" });
  bar.show = ({ share, text, tone = "" }) => {
    const part = Math.min(1, Math.max(0, share || 0));
    bar.className = `meter ${tone}`.trim();
    bar.style.setProperty("--part", part);
    bar.setAttribute("aria-valuenow", String(Math.round(part * 1000) / 10));
    bar.setAttribute("aria-valuetext", text);
  };
  bar.show(first);
  return bar;
}

/** A bar of several parts of one whole, each {share, kind}; what is left over stays empty. text: all of it in words. */
export function partsMeter(app, { label, parts, text }) {
  return app.el("div", { class: "parts-meter", role: "img", "aria-label": `${label}: ${text}` },
    parts.map(({ share, kind }) => app.el("span", { dataset: { kind }, style: { inlineSize: `${Math.max(0, share) * 100}%` } })));
}
