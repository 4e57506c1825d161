// The dialog that takes a table of texts and labels, and begins the job that makes a branch of it.

import { field } from "../parts/forms.js";
import { firstRows } from "./tables.js";

const NAME = /^[A-Za-z0-9](?:[A-Za-z0-9_-]{0,62}[A-Za-z0-9])?$/;
const LOOK_BYTES = 65_536;
const SHOWN_ROWS = 3;
const LONGEST_NAME = 64;

export class Adding {
  /** whenBegun: is told of the job. */
  constructor(app, signal, whenBegun) {
    Object.assign(this, { app, signal, whenBegun });
  }

  async open(systems) {
    const { app } = this;
    await app.dialog({ title: app.t("branches.add.title"), wide: true }, (close) => this.#form(systems, close));
  }

  #form(systems, close) {
    const { app } = this;
    const { el, t, replace } = app;
    let file = null;
    const chosen = el("p", { class: "long" }, t("branches.drop"));
    const input = el("input", { type: "file", class: "visually-hidden", accept: ".csv,.tsv,.txt,text/csv", onchange: () => take(input.files[0]) });
    const drop = el("label", { class: "drop" }, app.icon("upload"), chosen, el("span", { class: "hint" }, t("branches.drop.hint")), input);
    const preview = el("div", { class: "stack" });
    const name = el("input", { type: "text", name: "name", required: true, maxlength: String(LONGEST_NAME), autocomplete: "off", spellcheck: "false" });
    const system = el("select", { name: "system" }, systems.map((each) => el("option", { value: each }, each)));
    const column = (which) => el("select", { name: which, disabled: true }, el("option", { value: "" }, t("branches.column.found")));
    const [text, label] = [column("text"), column("label")];
    const epochs = el("input", { type: "number", name: "epochs", min: "1", max: "1000", value: "20", inputmode: "numeric" });
    const trouble = el("p", { class: "problem-line", role: "alert", hidden: true });
    const go = el("button", { type: "submit", class: "button primary" }, t("branches.add.go"));
    const complain = (words) => {
      trouble.textContent = words;
      trouble.hidden = !words;
    };

    const take = async (given) => {
      if (!given) return;
      file = given;
      complain("");
      chosen.textContent = t("branches.chosen", { name: given.name, size: app.format.bytes(given.size) });
      drop.classList.add("full");
      if (!name.value) name.value = nameOf(given.name);
      const { header, rows } = firstRows(await given.slice(0, LOOK_BYTES).text());
      for (const select of [text, label]) {
        replace(select, el("option", { value: "" }, t("branches.column.found")), header.map((title) => el("option", { value: title }, title)));
        select.disabled = !header.length;
      }
      replace(preview, rows.length ? table(header, rows) : null);
    };
    const table = (header, rows) => el("div", { class: "table-wrap preview", tabindex: "0", role: "region", "aria-label": t("branches.preview") },
      el("table", { class: "table" }, el("caption", { class: "visually-hidden" }, t("branches.preview")),
        el("thead", null, el("tr", null, header.map((title) => el("th", { scope: "col" }, title)))),
        el("tbody", null, rows.slice(0, SHOWN_ROWS).map((row) => el("tr", null, header.map((_, number) => el("td", null, row[number] ?? "")))))));

    for (const kind of ["dragenter", "dragover"]) drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
    for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
    drop.addEventListener("drop", (event) => { event.preventDefault(); take(event.dataTransfer.files[0]); });

    const send = async (event) => {
      event.preventDefault();
      if (!file) { complain(t("branches.need.file")); input.focus(); return; }
      if (!NAME.test(name.value.trim())) { complain(t("branches.need.name")); name.focus(); return; }
      const form = new FormData();
      for (const [key, value] of [["name", name.value.trim()], ["system", system.value], ["text", text.value], ["label", label.value], ["epochs", epochs.value]]) {
        if (value) form.append(key, value);
      }
      form.append("file", file);
      go.disabled = true;
      complain("");
      try {
        this.whenBegun(await app.api("/v1/branches", { form, signal: this.signal }));
        close(true);
      } catch (error) {
        complain(error.message);
        go.disabled = false;
      }
    };
    return el("form", { class: "stack", novalidate: true, onsubmit: send }, drop, preview,
      el("div", { class: "pair" },
        field(app, { label: t("branches.name"), hint: t("branches.name.hint"), control: name }),
        systems.length > 1 ? field(app, { label: t("branches.system"), control: system }) : null),
      el("div", { class: "pair" }, field(app, { label: t("branches.column.text"), control: text }), field(app, { label: t("branches.column.label"), control: label })),
      el("details", { class: "fold" }, el("summary", null, t("branches.add.more")), field(app, { label: t("branches.epochs"), hint: t("branches.epochs.hint"), control: epochs })),
      trouble,
      el("div", { class: "row end" }, el("button", { type: "button", class: "button", onclick: () => close() }, t("branches.cancel")), go));
  }
}

/** A name for a branch out of a file's. */
function nameOf(file) {
  const bare = file.replace(/\.[^.]*$/, "").normalize("NFKD").replace(/[^A-Za-z0-9_-]+/g, "-");
  return bare.replace(/^[-_]+/, "").slice(0, LONGEST_NAME).replace(/[-_]+$/, "");
}
