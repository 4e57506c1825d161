// The shell at work: which view is shown, in what language and theme, and what every view is given as `app`.

import { dialogs } from "./dialogs.js";
import { el, replace, svg } from "./dom.js";
import { formats } from "./format.js";
import { icon } from "./icons.js";
import { monitor } from "./monitor.js";
import { notices } from "./notices.js";
import { Connection, Keys, requests } from "./requests.js";
import { Words } from "./words.js";

const THEMES = ["auto", "light", "dark"];
const THEME_ICONS = { auto: "auto", light: "sun", dark: "moon" };
const YEAR_SECONDS = 31_536_000;

const root = document.documentElement;
const main = document.getElementById("main");
const links = [...document.querySelectorAll("a[data-view]")];
const views = links.map((link) => link.dataset.view);

const words = await Words.fetched(root.lang);
const t = (key, values) => words.text(key, values);
const connection = new Connection();
const asking = dialogs(t);
const keys = new Keys(document.body.dataset.needsKey === "yes", asking.askForKey);
const coded = (code) => (words.language !== "en" && words.has(`shell.code.${code}`) ? t(`shell.code.${code}`) : null);
const telling = notices(t, document.getElementById("notices"));

const app = {
  t,
  has: (key) => words.has(key),
  el,
  svg,
  icon,
  replace,
  format: formats(() => words.language),
  dialog: asking.dialog,
  confirm: asking.confirm,
  ...telling,
  ...requests({ t, keys, connection, coded }),
  get language() {
    return words.language;
  },
  navigate: (path) => go(path, true),
  params: () => new URLSearchParams(location.search),
  replaceParams,
  poll,
  on,
  save,
};

// Which view is shown

let shown = { view: null, unmount: null };
let turns = 0;

function viewOf(path) {
  const name = path.split("/")[1];
  return views.includes(name) ? name : views[0];
}

async function go(path, push) {
  const address = new URL(path, location.href);
  if (push && address.href !== location.href) history.pushState(null, "", address);
  await show(viewOf(address.pathname), push);
}

async function show(view, moveFocus) {
  const turn = ++turns;
  leave();
  for (const link of links) link.toggleAttribute("aria-current", link.dataset.view === view);
  document.querySelector("a[data-view][aria-current]")?.setAttribute("aria-current", "page");
  document.title = `${t(`shell.view.${view}`)} · ${t("shell.title")}`;
  const section = el("section", { class: `view view-${view}` });
  replace(main, section);
  main.setAttribute("aria-busy", "true");
  if (moveFocus) main.focus();
  try {
    const module = await import(`./views/${view}.js`);
    const unmount = await module.mount(section, app);
    if (turn === turns) shown = { view, unmount };
    else unmount?.(); // somebody went on meanwhile
  } catch (error) {
    if (turn === turns && error.name !== "AbortError") replace(section, telling.problem(error, () => show(view, true)));
  }
  if (turn === turns) main.removeAttribute("aria-busy");
}

function leave() {
  const { unmount } = shown;
  shown = { view: null, unmount: null };
  try {
    unmount?.();
  } catch (error) {
    console.error(error); // a view that cannot end must not keep the next from coming
  }
}

function replaceParams(values) {
  const address = new URL(location.href);
  for (const [name, value] of Object.entries(values)) {
    if (value === null || value === undefined || value === "") address.searchParams.delete(name);
    else address.searchParams.set(name, value);
  }
  history.replaceState(null, "", address);
}

// What views may use

function poll(work, { seconds }) {
  let timer = null;
  let stopped = false;
  let waits = false;
  const turn = async () => {
    if (stopped) return;
    if (document.hidden) {
      waits = true;
      return;
    }
    await work();
    if (!stopped) timer = setTimeout(turn, seconds * 1000);
  };
  const seen = () => {
    if (!document.hidden && waits) {
      waits = false;
      turn();
    }
  };
  document.addEventListener("visibilitychange", seen);
  turn();
  return () => {
    stopped = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", seen);
  };
}

function on(name, listener) {
  connection.addEventListener(name, listener);
  return () => connection.removeEventListener(name, listener);
}

function save(name, content) {
  const blob = content instanceof Blob ? content : new Blob([content], { type: "text/plain;charset=utf-8" });
  const address = URL.createObjectURL(blob);
  el("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

// Language, theme and key

function remember(name, value) {
  document.cookie = `${name}=${value}; path=/; max-age=${YEAR_SECONDS}; SameSite=Strict`;
}

function reword() {
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll("[data-t-label]")) {
    node.setAttribute("aria-label", t(node.dataset.tLabel));
    if (node.matches("button.icon-only")) node.title = t(node.dataset.tLabel);
  }
}

function setTheme(theme) {
  root.dataset.theme = theme;
  const button = document.getElementById("theme");
  button.dataset.tLabel = `shell.theme.${theme}`;
  replace(button, icon(THEME_ICONS[theme]));
  reword();
}

let strip = null;

function begin() {
  for (const node of document.querySelectorAll("[data-icon]")) node.prepend(icon(node.dataset.icon));
  setTheme(root.dataset.theme);
  document.getElementById("theme").addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(root.dataset.theme) + 1) % THEMES.length];
    remember("iai_theme", next);
    setTheme(next);
  });
  document.getElementById("language").addEventListener("click", () => {
    words.language = words.language === "en" ? "ru" : "en";
    root.lang = words.language;
    remember("iai_language", words.language);
    reword();
    strip.show();
    show(viewOf(location.pathname), false);
  });
  document.getElementById("key").addEventListener("click", async () => {
    if (!(await keys.change())) return;
    strip.end();
    strip = monitor(document.getElementById("strip"), app);
    show(viewOf(location.pathname), true);
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href]");
    const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    if (!link || !isPlain || link.target || link.hasAttribute("download")) return;
    const address = new URL(link.href);
    const isView = address.pathname === "/" || views.includes(address.pathname.split("/")[1]);
    if (address.origin !== location.origin || !isView || link.getAttribute("href").startsWith("#")) return;
    event.preventDefault();
    go(link.href, true);
  });
  window.addEventListener("popstate", () => show(viewOf(location.pathname), false));
  const lost = document.getElementById("lost");
  connection.addEventListener("lost", () => replace(lost, icon("alert"), el("p", { dataset: { t: "shell.lost" } }, t("shell.lost"))));
  connection.addEventListener("back", () => {
    replace(lost);
    telling.notice(t("shell.back"), "good");
  });
  connection.watch();
  go(location.href, false);
  strip = monitor(document.getElementById("strip"), app);
}

begin();
