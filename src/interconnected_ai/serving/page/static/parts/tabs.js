// Tabs as the ARIA practices have them: arrows move, Home and End jump, the panel follows.

/** all: [{id, label, panel}]; the one that `open` names is open, else the first. whenOpened(id) is told of every change. */
export function tabs(app, { label, all, open: first = null, whenOpened = () => {} }) {
  const list = app.el("div", { class: "tabs", role: "tablist", "aria-label": label });
  const buttons = all.map((each) => app.el("button", {
    type: "button", role: "tab", class: "tab", id: `tab-${each.id}`, "aria-controls": `panel-${each.id}`,
    onclick: () => open(each.id),
  }, each.label));
  const open = (id, moveFocus = false) => {
    all.forEach((each, number) => {
      const isOpen = each.id === id;
      buttons[number].setAttribute("aria-selected", String(isOpen));
      buttons[number].tabIndex = isOpen ? 0 : -1;
      each.panel.hidden = !isOpen;
      if (isOpen && moveFocus) buttons[number].focus();
    });
    whenOpened(id);
  };
  for (const { id, panel } of all) {
    panel.id = `panel-${id}`;
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", `tab-${id}`);
  }
  list.append(...buttons);
  list.addEventListener("keydown", (event) => {
    const now = buttons.indexOf(document.activeElement);
    const to = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: all.length - 1 }[event.key];
    if (now < 0 || to === undefined) return;
    event.preventDefault();
    open(all[(to + all.length) % all.length].id, true);
  });
  open(all.some((each) => each.id === first) ? first : all[0].id);
  return { element: app.el("div", { class: "stack" }, list, all.map((each) => each.panel)), open };
}
