// Planner: sliders, and what the system that they describe takes, drawn while one drags; the same as a table and as a file.

import { clauses } from "../parts/clauses.js";
import { field } from "../parts/forms.js";
import { panel } from "../planner/drawing.js";
import { FIRST, HERE, STEPS, fitting, requestOf } from "../planner/settings.js";

const WAIT_MILLISECONDS = 90; // after the last move
const SLIDERS = ["num_moe_layers", "num_experts", "top_k", "d_ff", "branches", "num_rows", "tokens_per_text", "epochs", "num_devices"];
const kept = { settings: null }; // survives a change of view and of language

export async function mount(root, app) {
  const gone = new AbortController();
  const [devices, encoders] = await Promise.all(["devices", "encoders"].map((what) => app.api(`/v1/plan/${what}`, { signal: gone.signal })));
  const view = new Planner(root, app, gone.signal, devices.data, encoders.data);
  await view.plan();
  return () => {
    view.close();
    gone.abort();
  };
}

class Planner {
  #turn = 0;
  #asking = new AbortController();
  #timer = null;

  constructor(root, app, signal, devices, encoders) {
    Object.assign(this, { app, signal, devices, encoders });
    this.settings = kept.settings ?? { ...FIRST };
    const { el, t } = app;
    this.sliders = {};
    this.trouble = el("p", { class: "problem-line", role: "alert", hidden: true });
    this.headline = el("div", { class: "stack", "aria-live": "polite" });
    this.panels = {
      params: panel(app, { title: t("planner.params"), note: t("planner.params.note") }),
      memory: panel(app, { title: t("planner.memory"), note: t("planner.memory.note") }),
      hours: panel(app, { title: t("planner.hours"), note: t("planner.hours.note") }),
      money: panel(app, { title: t("planner.money") }),
    };
    this.brief = el("dl", { class: "plan-brief", "aria-label": t("planner.brief") });
    this.table = el("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": t("planner.table") });
    this.reasons = el("div", { class: "card stack" });
    root.append(
      el("header", { class: "view-head" },
        el("div", null, el("h1", null, t("planner.title")), el("p", { class: "muted" }, t("planner.about"))),
        el("button", { type: "button", class: "button", onclick: () => this.#file() }, app.icon("save"), t("planner.file"))),
      el("div", { class: "planner" },
        el("form", { class: "card stack controls", "aria-label": t("planner.controls"), onsubmit: (event) => event.preventDefault() }, this.brief,
          this.#encoderControls(), SLIDERS.map((key) => this.#slider(key)), this.#deviceControls(),
          el("button", { type: "button", class: "button quiet", onclick: () => this.#reset() }, app.icon("again"), t("planner.reset"))),
        this.outcome = el("div", { class: "stack outcome" }, this.trouble, this.headline,
          el("div", { class: "grid plan-panels" }, Object.values(this.panels).map((each) => each.element)), this.table, this.reasons)));
    this.#showSettings();
  }

  close() {
    clearTimeout(this.#timer);
    for (const each of Object.values(this.panels)) each.close();
  }

  get encoder() {
    return this.encoders.find((each) => each.id === this.settings.encoder) ?? this.encoders[0];
  }

  // The controls

  #encoderControls() {
    const { el, t } = this.app;
    this.widths = [...new Set(this.encoders.map((each) => each.d_model))];
    this.encoderChoice = el("select", { onchange: () => this.#set({ encoder: this.encoderChoice.value }) });
    return [
      this.#range("d_model", this.widths, (width) => {
        const same = this.encoders.filter((each) => each.d_model === width);
        this.#set({ encoder: same[0].id });
      }),
      field(this.app, { label: t("planner.encoder"), control: this.encoderChoice }),
    ];
  }

  #deviceControls() {
    const { el, t } = this.app;
    this.device = el("select", { onchange: () => this.#set({ device: this.device.value, precision: "auto" }) },
      el("option", { value: HERE }, t("planner.device.here")), this.devices.map((each) => el("option", { value: each.name }, each.name)));
    this.precision = el("select", { onchange: () => this.#set({ precision: this.precision.value }) });
    return [field(this.app, { label: t("planner.device"), control: this.device }), field(this.app, { label: t("planner.precision"), control: this.precision })];
  }

  #slider(key) {
    return this.#range(key, STEPS[key], (value) => this.#set({ [key]: value }));
  }

  #range(key, steps, change) {
    const { el, t } = this.app;
    const input = el("input", { type: "range", id: `plan-${key}`, min: "0", max: String(steps.length - 1), step: "1", oninput: () => change(steps[Number(input.value)]) });
    const shown = el("output", { for: `plan-${key}`, class: "number" });
    this.sliders[key] = { input, shown, steps };
    return el("div", { class: "slider" }, el("label", { for: `plan-${key}` }, t(`planner.set.${key}`)), shown, input);
  }

  #set(changes) {
    const next = { ...this.settings, ...changes };
    const encoder = this.encoders.find((each) => each.id === next.encoder);
    this.settings = kept.settings = fitting(next, encoder);
    this.#showSettings();
    this.#wait(true);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.plan(), WAIT_MILLISECONDS);
  }

  #reset() {
    this.#set({ ...FIRST });
  }

  #showSettings() {
    const { el, format, replace, t } = this.app;
    const values = { ...this.settings, d_model: this.encoder.d_model };
    for (const [key, { input, shown, steps }] of Object.entries(this.sliders)) {
      const nearest = steps.findLastIndex((step) => step <= values[key]);
      input.value = String(Math.max(0, nearest));
      shown.textContent = format.number(values[key]);
      input.setAttribute("aria-valuetext", format.number(values[key]));
    }
    const same = this.encoders.filter((each) => each.d_model === this.encoder.d_model);
    replace(this.encoderChoice, same.map((each) => el("option", { value: each.id }, t("planner.encoder.of", { name: each.id, layers: each.num_layers, params: format.number(each.num_params, { compact: true }) }))));
    this.encoderChoice.value = this.encoder.id;
    this.device.value = this.settings.device;
    this.#showPrecisions(this.devices.find((each) => each.name === this.settings.device));
  }

  #showPrecisions(device) {
    const { el, replace, t } = this.app;
    const known = ["float32", "bfloat16", "float16"].filter((name) => name === "float32" || !device || name in device.peak_flops);
    replace(this.precision, el("option", { value: "auto" }, t("planner.precision.auto")), known.map((name) => el("option", { value: name }, name)));
    this.precision.value = this.settings.precision;
  }

  // The plan

  /** Ask for the plan of the settings as they are. The latest wins: what was asked before is given up. */
  async plan() {
    const { app } = this;
    const turn = ++this.#turn;
    this.#asking.abort();
    this.#asking = new AbortController();
    const signal = AbortSignal.any([this.signal, this.#asking.signal]);
    try {
      const found = await app.api("/v1/plan", { json: requestOf(this.settings, this.encoder), signal });
      if (turn !== this.#turn) return;
      this.trouble.hidden = true;
      this.#show(found);
      this.#wait(false);
    } catch (error) {
      if (turn !== this.#turn || error.name === "AbortError") return;
      this.trouble.textContent = error.message;
      this.trouble.hidden = false;
    }
  }

  /** What is drawn is of settings that have changed since. */
  #wait(isWaiting) {
    this.outcome.classList.toggle("waits", isWaiting);
    this.outcome.setAttribute("aria-busy", String(isWaiting));
  }

  #show(found) {
    const { t, format } = this.app;
    if (this.settings.device === HERE) this.#showPrecisions(found.device);
    const ways = Object.values(found.ways);
    const row = (way, more) => ({ name: t(`planner.way.${kindOf(way)}`), kind: kindOf(way), ...more });
    const joint = ways.filter((way) => kindOf(way) !== "added");
    const memory = found.device.memory_bytes;
    this.panels.params.show(joint.map((way) => row(way, {
      solid: way.num_active_params, high: way.num_params, text: `${format.number(way.num_params, { compact: true })} (${format.number(way.num_active_params, { compact: true })})`,
    })), null);
    this.panels.memory.show(ways.map((way) => row(way, {
      solid: way.training.peak_bytes, low: way.inference.peak_bytes ?? way.inference.weights_bytes + way.inference.transient_bytes,
      bad: !way.fits_training, text: way.fits_training ? format.bytes(way.training.peak_bytes) : t("planner.too_much", { size: format.bytes(way.training.peak_bytes) }),
    })), { at: memory, text: t("planner.memory.has", { size: format.bytes(memory) }) }, t("planner.memory.note"));
    this.panels.hours.show(ways.map((way) => row(way, {
      solid: way.run_seconds.expected, low: way.run_seconds.low, high: way.run_seconds.high, text: this.#between(way.run_seconds, format.seconds),
    })), null);
    const isPriced = ways.some((way) => way.usd);
    this.panels.money.show(isPriced ? ways.map((way) => row(way, {
      solid: way.usd.expected, low: way.usd.low, high: way.usd.high, text: this.#between(way.usd, (value) => this.#usd(value)),
    })) : [], null, isPriced
      ? t("planner.money.note", { price: this.#usd(found.device.usd_per_hour), date: found.device.price_date || "–" })
      : t("planner.money.none"));
    this.#showBrief(found.ways[joint.at(-1).name]);
    this.#showHeadline(found);
    this.#showTable(ways);
    this.#showReasons(found);
  }

  #usd(value) {
    return new Intl.NumberFormat(this.app.language, { style: "currency", currency: "USD", maximumFractionDigits: value < 10 ? 2 : 0 }).format(value);
  }

  #between({ low, expected, high }, shown) {
    return `${shown(expected)} (${shown(low)} – ${shown(high)})`;
  }

  /** What stays in sight on a phone while one drags. */
  #showBrief(way) {
    const { el, t, format, replace } = this.app;
    const fact = (name, value) => el("div", null, el("dt", null, name), el("dd", null, value));
    replace(this.brief,
      fact(t(`planner.way.${kindOf(way)}`), format.number(way.num_params, { compact: true })),
      fact(t("planner.row.training_memory"), format.bytes(way.training.peak_bytes)), fact(t("planner.row.time"), format.seconds(way.run_seconds.expected)));
  }

  #showHeadline(found) {
    const { el, t, format, icon, replace } = this.app;
    const { choice } = found.recommendation;
    const way = found.ways[choice];
    replace(this.headline, el("div", { class: "card headline" },
      el("p", { class: `verdict ${way.fits_training ? "good" : "warn"}` }, icon(way.fits_training ? "check" : "alert"),
        el("strong", null, t(`planner.choose.${choice}`))),
      el("p", { class: "muted" }, t("planner.grow", { share: format.percent(found.added_over_retraining) })),
      way.remedy ? el("p", { class: "muted" }, t("planner.remedy"), " ", el("code", { class: "long" }, way.remedy)) : null));
  }

  #showTable(ways) {
    const { el, t, format, replace } = this.app;
    const number = (value) => format.number(value);
    const rows = {
      params: (way) => number(way.num_params), active: (way) => number(way.num_active_params), trainable: (way) => number(way.num_trainable_params),
      training_memory: (way) => format.bytes(way.training.peak_bytes), weights: (way) => format.bytes(way.weights_bytes.float32),
      steps: (way) => number(way.num_steps), time: (way) => this.#between(way.run_seconds, format.seconds),
      latency: (way) => format.seconds(way.latency_seconds.expected), usd: (way) => (way.usd ? this.#between(way.usd, (value) => this.#usd(value)) : "–"),
      fits: (way) => t(way.fits_training ? "planner.yes" : "planner.no"),
    };
    replace(this.table, el("table", { class: "table" },
      el("caption", { class: "visually-hidden" }, t("planner.table")),
      el("thead", null, el("tr", null, el("th", { scope: "col" }, t("planner.row.what")), ways.map((way) => el("th", { scope: "col", class: "number" }, t(`planner.way.${kindOf(way)}`))))),
      el("tbody", null, Object.entries(rows).map(([key, cell]) => el("tr", null, el("th", { scope: "row" }, t(`planner.row.${key}`)), ways.map((way) => el("td", { class: "number" }, cell(way))))))));
  }

  #showReasons(found) {
    const { el, t, replace } = this.app;
    const { reasons, disagreements } = found.recommendation;
    const list = (texts, told) => el("ul", null, texts.map((text, place) => el("li", { class: "long" }, clauses(this.app, "plan", told[place], text))));
    replace(this.reasons,
      el("h3", null, t("planner.why")),
      reasons.length ? list(reasons.map((reason) => reason.text), reasons.map((reason) => reason.clauses)) : el("p", { class: "muted" }, t("planner.why.none")),
      disagreements.length ? [el("h3", null, t("planner.disagreements")), list(disagreements, found.recommendation.disagreement_clauses)] : null,
      el("details", { class: "fold" }, el("summary", null, t("planner.rests")),
        list([found.assumption.text, ...found.notes], [found.assumption.clauses, ...found.note_clauses])));
  }

  async #file() {
    const { app } = this;
    try {
      app.save("plan.yaml", await app.api("/v1/plan/file", { json: requestOf(this.settings, this.encoder), as: "blob", signal: this.signal }));
      app.notice(app.t("planner.file.saved"), "good");
    } catch (error) {
      app.failed(error);
    }
  }
}

/** "dense", "moe" or "added", of a way's name. */
function kindOf(way) {
  return way.name.split(" ")[0];
}
