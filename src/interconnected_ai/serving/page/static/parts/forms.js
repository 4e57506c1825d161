// Fields with their labels and hints, and a dialog that asks for values and stays until what it is for was done.

let numbers = 0;

/** A control with its label, and a hint that belongs to it. */
export function field(app, { label, hint = null, control }) {
  const id = `field-${++numbers}`;
  control.id = id;
  if (hint) control.setAttribute("aria-describedby", `${id}-hint`);
  return app.el("div", { class: "field" },
    app.el("label", { for: id }, label), control, hint ? app.el("p", { class: "hint", id: `${id}-hint` }, hint) : null);
}

/**
 * A dialog with a form. Resolves to true once `run(values)` went well; what it throws is shown, and the dialog stays.
 * body: nodes with named controls. action, cancel: what the buttons say.
 */
export async function askedInDialog(app, { title, body, action, cancel, danger = false, run }) {
  const done = await app.dialog({ title }, (close) => {
    const trouble = app.el("p", { class: "problem-line", role: "alert", hidden: true });
    const go = app.el("button", { type: "submit", class: `button ${danger ? "danger" : "primary"}` }, action);
    const send = async (event) => {
      event.preventDefault();
      trouble.hidden = true;
      go.disabled = true;
      try {
        await run(Object.fromEntries(new FormData(event.target)));
        close(true);
      } catch (error) {
        trouble.textContent = error.message;
        trouble.hidden = false;
        go.disabled = false;
      }
    };
    return app.el("form", { class: "stack", onsubmit: send }, body, trouble,
      app.el("div", { class: "row end" },
        app.el("button", { type: "button", class: "button", onclick: () => close(false) }, cancel), go));
  });
  return done === true;
}

/** A command to be typed where the server runs. */
export function command(app, ...words) {
  return app.el("pre", { class: "command", tabindex: "0" }, app.el("code", null, words.join(" ")));
}
