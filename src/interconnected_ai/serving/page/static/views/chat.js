// Chat: the conversations of this key, one of them open, and who answers what is written into it.

import { asMarkdown, Conversations } from "../conversations.js";
import { answerView, userView } from "../messages.js";

const NEAR_END_PIXELS = 120;
const SEARCH_PAUSE_MS = 150;

let store = null; // as long as the page lives, so that answers go on while another view is shown
let openId = null;
const drafts = new Map();
const last = { model: null, width: 1 };

/** Show the view in `root`; gives what ends it. */
export async function mount(root, app) {
  const { t, el, icon, replace } = app;
  store ??= new Conversations(app);
  const ended = new AbortController();
  const listen = (target, name, listener) => target.addEventListener(name, listener, { signal: ended.signal });

  let conversation = null;
  let who = { models: [], isWide: false, most: 1 };
  let pending = 0;
  let isShown = false;
  let sendsOnceShown = false;
  let turns = 0;
  let written = app.params().get("c") ?? openId; // the conversation that what stands in the composer is written for

  const list = el("ul", { class: "conversation-list" });
  const aside = el("aside", { class: "conversations", "aria-label": t("chat.conversations") }, sideTools(), list);
  const title = el("h1", null, t("shell.view.chat"));
  const tools = el("div", { class: "row" });
  const thread = el("div", { class: "thread" });
  const told = el("p", { class: "visually-hidden", role: "status" });
  const composer = makeComposer();
  composer.text = drafts.get(written) ?? "";
  replace(root, aside, el("div", { class: "conversation" }, el("div", { class: "view-head" }, title, tools), thread, composer.node, told));

  listen(store, "change", soon);
  listen(store, "answered", ({ detail }) => {
    if (conversation?.messages.has(detail.id)) told.textContent = detail.error ? detail.error : t("chat.answered", { who: nameOf(detail) });
  });
  listen(store, "kept", showList);
  listen(document, "keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && event.code === "KeyK") {
      event.preventDefault();
      if (!document.querySelector("dialog[open]")) search();
    }
  });

  try {
    who = await whoAnswers(app);
  } catch (error) {
    replace(thread, app.problem(error, () => app.navigate(location.href)));
    ended.abort();
    return keepDraft;
  }
  showList();
  await open(written);

  return () => {
    keepDraft();
    ended.abort();
    cancelAnimationFrame(pending);
  };

  // Which conversation

  function keepDraft() {
    drafts.set(written, composer.text);
  }

  // one may write, and press Enter, before the conversation is there: what is written stays, and is sent when it can be
  function writeFor(id) {
    if (id === written) return;
    keepDraft();
    written = id;
    composer.text = drafts.get(id) ?? "";
    sendsOnceShown = false;
  }

  async function open(id) {
    const turn = ++turns;
    writeFor(id ?? null);
    conversation = null;
    isShown = false;
    let found = null;
    if (id) {
      replace(thread, app.skeleton(6));
      try {
        found = await store.opened(id);
      } catch (error) {
        if (turn !== turns || ended.signal.aborted) return;
        sendsOnceShown = false;
        if (error.status !== 404) {
          replace(thread, app.problem(error, () => open(id)));
          return;
        }
        app.notice(t("chat.gone"), "warn");
        written = null;
        composer.text ||= drafts.get(null) ?? "";
      }
      if (turn !== turns || ended.signal.aborted) return; // somebody went on meanwhile
    }
    conversation = found;
    openId = conversation?.id ?? null;
    app.replaceParams({ c: openId });
    composer.choose(conversation?.model ?? last.model, conversation?.width ?? last.width);
    isShown = true;
    show();
    toEnd();
    markOpen();
    if (sendsOnceShown) composer.send();
  }

  function begin() {
    document.querySelector("dialog[open]")?.close();
    open(null);
    composer.focus();
  }

  // The list at the side

  function sideTools() {
    return el("div", { class: "row side-tools" },
      el("button", { type: "button", class: "button primary grow", onclick: begin }, icon("plus"), t("chat.new")),
      el("button", { type: "button", class: "button icon-only", title: `${t("chat.search")} (Ctrl+K)`, "aria-label": t("chat.search"), onclick: search }, icon("search")));
  }

  async function showList() {
    try {
      replace(list, rows(await store.listed()));
      markOpen();
    } catch (error) {
      if (!list.childElementCount) replace(list, el("li", null, el("p", { class: "muted small" }, error.message)));
    }
  }

  function rows({ data, has_more: hasMore }) {
    if (!data.length) return el("li", null, el("p", { class: "muted small none" }, t("chat.none")));
    const more = el("li", null, el("button", {
      type: "button", class: "button quiet grow", onclick: async () => {
        try {
          more.replaceWith(...[rows(await store.listed(data.at(-1).id))].flat());
        } catch (error) {
          app.failed(error);
        }
      },
    }, t("chat.more")));
    return [...data.map(row), ...(hasMore ? [more] : [])];
  }

  function row(summary) {
    const pick = () => {
      document.querySelector("dialog[open]")?.close();
      open(summary.id);
    };
    return el("li", null, el("button", { type: "button", class: "conversation-row", dataset: { id: summary.id }, onclick: pick },
      el("span", { class: "conversation-title" }, summary.title || t("chat.untitled")),
      el("span", { class: "muted conversation-date" }, app.format.date(summary.updated_at, { short: true }))));
  }

  function markOpen() {
    for (const button of document.querySelectorAll(".conversation-row")) {
      if (button.dataset.id === openId) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
  }

  function showConversations() {
    const inside = el("ul", { class: "conversation-list" }, app.skeleton(4));
    store.listed().then((found) => {
      replace(inside, rows(found));
      markOpen();
    }, (error) => replace(inside, el("li", null, app.problem(error))));
    app.dialog({ title: t("chat.conversations") }, () => [sideTools(), inside]);
  }

  function search() {
    document.querySelector("dialog[open]")?.close();
    let asking = new AbortController();
    let timer = null;
    const found = el("ul", { class: "conversation-list", id: "found" });
    const status = el("p", { class: "muted small", role: "status" }, t("chat.search.hint"));
    const input = el("input", { type: "search", id: "search", autofocus: true, autocomplete: "off", "aria-controls": "found", oninput: later });
    app.dialog({ title: t("chat.search") }, (close) => {
      const pick = (id) => {
        close();
        open(id);
      };
      listenKeys(pick);
      return el("div", { class: "stack tight search", onkeydown: move },
        el("label", { for: "search", class: "visually-hidden" }, t("chat.search")), input, status, found);
    }).then(() => {
      clearTimeout(timer);
      asking.abort();
    });

    function listenKeys(pick) {
      found.addEventListener("click", (event) => {
        const id = event.target.closest("button")?.dataset.id;
        if (id) pick(id);
      });
    }

    function later() {
      clearTimeout(timer);
      timer = setTimeout(ask, SEARCH_PAUSE_MS);
    }

    async function ask() {
      asking.abort();
      asking = new AbortController();
      const query = input.value.trim();
      if (!query) {
        replace(found);
        status.textContent = t("chat.search.hint");
        return;
      }
      try {
        const data = await store.search(query, asking.signal);
        status.textContent = t("chat.search.found", { count: data.length });
        replace(found, data.map((one) => el("li", null, el("button", { type: "button", class: "conversation-row found", dataset: { id: one.id } },
          el("span", { class: "conversation-title" }, one.title || t("chat.untitled")),
          el("span", { class: "muted small" }, one.excerpt ?? "")))));
      } catch (error) {
        if (error.name !== "AbortError") status.textContent = error.message;
      }
    }

    function move(event) {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      const places = [input, ...found.querySelectorAll("button")];
      const at = places.indexOf(document.activeElement);
      if (step && at >= 0) {
        event.preventDefault();
        places[Math.max(0, Math.min(places.length - 1, at + step))].focus();
      } else if (event.key === "Enter" && at === 0 && places[1]) {
        event.preventDefault();
        places[1].click();
      }
    }
  }

  // The conversation

  function soon() {
    if (!pending) pending = requestAnimationFrame(() => {
      pending = 0;
      if (!isShown) return;
      const follows = document.documentElement.scrollHeight - window.scrollY - window.innerHeight < NEAR_END_PIXELS;
      show();
      if (follows) toEnd();
    });
  }

  function toEnd() {
    window.scrollTo(0, document.documentElement.scrollHeight);
  }

  function show() {
    title.textContent = conversation?.title || t("shell.view.chat");
    title.classList.toggle("long", title.textContent.length > 40);
    showTools();
    composer.update();
    const path = conversation?.path ?? [];
    if (!path.length) {
      replace(thread, welcome());
      return;
    }
    const actions = actionsOf();
    const known = new Map([...thread.children].filter((node) => node.dataset.id).map((node) => [node.dataset.id, node]));
    // a message is made anew only where it has changed, so that focus, selections and what is unfolded stay
    putInOrder(thread, path.map((message) => {
      const state = JSON.stringify([message, conversation.siblings(message).map(({ id }) => id), store.isAnswering(conversation)]);
      const before = known.get(message.id);
      if (before?.state === state) return before;
      const view = message.role === "user" ? userView : answerView;
      const made = view(app, conversation, message, actions);
      if (before?.querySelector("details[open]")) made.querySelector("details")?.setAttribute("open", "");
      made.state = state;
      made.dataset.id = message.id;
      return made;
    }));
  }

  function showTools() {
    const state = JSON.stringify(conversation && [conversation.id, conversation.messages.size > 0, store.isUnsaved(conversation), store.isAnswering(conversation)]);
    if (tools.state !== state) replace(tools, headTools());
    tools.state = state;
  }

  function welcome() {
    if (!who.models.length) return app.empty({ icon: "experts", title: t("chat.nobody"), text: t("chat.nobody.text") });
    const examples = ["chat.example.1", "chat.example.2", "chat.example.3"].map((key) => t(key));
    return el("div", { class: "welcome" },
      icon("chat"),
      el("h2", null, who.models[0] === "council" ? t("chat.welcome.council") : t("chat.welcome")),
      el("p", null, who.models[0] === "council" ? t("chat.welcome.council.text") : t("chat.welcome.text")),
      el("ul", null, examples.map((text) => el("li", null, el("button", { type: "button", class: "button", onclick: () => composer.put(text) }, text)))));
  }

  function headTools() {
    const button = (name, words, act) => el("button", { type: "button", class: "button quiet icon-only", title: words, "aria-label": words, onclick: act }, icon(name));
    const always = button("list", t("chat.conversations"), showConversations);
    always.classList.add("phone-only");
    if (!conversation?.messages.size) return always;
    return [
      always,
      store.isUnsaved(conversation) && !store.isAnswering(conversation) ? el("span", { class: "chip warn" }, t("chat.unsaved")) : null,
      button("edit", t("chat.rename"), rename),
      button("save", t("chat.export"), download),
      button("bin", t("chat.remove"), remove),
    ];
  }

  function actionsOf() {
    return {
      isBusy: store.isAnswering(conversation),
      edit(message, text) {
        store.say(conversation, text, message.parent);
        toEnd();
      },
      regenerate(message) {
        conversation.model = composer.model;
        conversation.width = composer.width;
        store.answer(conversation, conversation.messages.get(message.parent));
      },
      fork(message) {
        const made = store.fork(conversation, message, t("chat.fork.title", { title: conversation.title }).slice(0, 200));
        app.notice(t("chat.forked"), "good");
        open(made.id);
      },
      turn(message) {
        conversation.show(message.id);
        store.save(conversation).catch(app.failed);
        soon();
      },
      async rate(message, rating) {
        try {
          await store.rate(conversation, message, rating);
          app.notice(t("chat.rated"), "good");
        } catch (error) {
          app.failed(error);
        }
      },
      async copy(text) {
        try {
          await navigator.clipboard.writeText(text);
          app.notice(t("chat.copied"), "good");
        } catch {
          app.notice(t("chat.copy.refused"), "warn"); // a browser that gives pages no clipboard
        }
      },
    };
  }

  async function rename() {
    const named = await app.dialog({ title: t("chat.rename") }, (close) => {
      const input = el("input", { id: "new-title", value: conversation.title, maxlength: 200, autofocus: true, required: true });
      const send = (event) => {
        event.preventDefault();
        close(input.value.trim());
      };
      return el("form", { class: "stack", onsubmit: send },
        el("div", { class: "field" }, el("label", { for: "new-title" }, t("chat.title")), input),
        el("div", { class: "row end" }, el("button", { type: "submit", class: "button primary" }, t("chat.keep"))));
    });
    if (!named) return;
    store.rename(conversation, named);
  }

  async function download() {
    const format = await app.dialog({ title: t("chat.export") }, (close) => [
      el("p", { class: "muted" }, t("chat.export.text")),
      el("div", { class: "row end" },
        el("button", { type: "button", class: "button", onclick: () => close("json") }, t("chat.export.json")),
        el("button", { type: "button", class: "button primary", autofocus: true, onclick: () => close("md") }, t("chat.export.markdown"))),
    ]);
    if (!format) return;
    const name = conversation.title.replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60) || "conversation";
    if (format === "json") app.save(`${name}.json`, JSON.stringify({ id: conversation.id, ...conversation.toJSON() }, null, 2));
    else app.save(`${name}.md`, asMarkdown(conversation, { you: t("chat.you"), title: t("chat.untitled") }));
  }

  async function remove() {
    const gone = conversation;
    const sure = await app.confirm({
      title: t("chat.remove"), text: t("chat.remove.text", { title: gone.title }), action: t("chat.remove.action"), danger: true,
    });
    if (!sure) return;
    try {
      await store.remove(gone.id);
      await open(null);
      showList();
    } catch (error) {
      app.failed(error);
    }
  }

  // Where one writes

  function makeComposer() {
    const area = el("textarea", { id: "say", rows: 1, placeholder: t("chat.say"), "aria-label": t("chat.say"), "aria-describedby": "say-hint", oninput: grow, onkeydown: enter });
    const model = el("select", { "aria-label": t("chat.model"), title: t("chat.model"), onchange: chosen });
    const width = el("select", { "aria-label": t("chat.width"), title: t("chat.width"), onchange: chosen });
    const button = el("button", { type: "submit", class: "button primary icon-only" });
    const node = el("form", { class: "composer", onsubmit: send }, area,
      el("div", { class: "row apart" },
        el("div", { class: "row choices" }, model, width),
        el("span", { class: "muted hint", id: "say-hint" }, t("chat.say.hint")),
        button));

    function grow() {
      area.style.height = "auto";
      area.style.height = `${Math.min(area.scrollHeight + 2, 240)}px`;
    }

    function enter(event) {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      send(event);
    }

    function send(event) {
      event?.preventDefault();
      sendsOnceShown = !isShown;
      if (!isShown) return;
      if (conversation && store.isAnswering(conversation)) {
        store.stop(conversation.id);
        return;
      }
      const text = area.value.trim();
      if (!text || !who.models.length) return;
      area.value = "";
      grow();
      conversation ??= store.begin();
      openId = written = conversation.id;
      conversation.model = model.value;
      conversation.width = wide();
      app.replaceParams({ c: openId });
      store.say(conversation, text, conversation.leaf);
      drafts.delete(null);
      show();
      toEnd();
    }

    function wide() {
      return who.isWide && model.value === "council" ? Number(width.value) : null;
    }

    function chosen() {
      Object.assign(last, { model: model.value, width: Number(width.value) });
      if (conversation) Object.assign(conversation, { model: model.value, width: wide() });
      update();
    }

    function choose(name, number) {
      replace(model, who.models.map((each) => el("option", { value: each }, each === "council" ? t("chat.council") : each)));
      replace(width, Array.from({ length: who.most }, (_, place) => el("option", { value: place + 1 }, t("chat.width.experts", { count: place + 1 }))));
      model.value = who.models.includes(name) ? name : (who.models[0] ?? "");
      width.value = String(Math.min(number ?? 1, who.most));
      update();
    }

    function update() {
      const isBusy = conversation !== null && store.isAnswering(conversation);
      width.hidden = !who.isWide || model.value !== "council";
      replace(button, icon(isBusy ? "stop" : "send"));
      button.setAttribute("aria-label", isBusy ? t("chat.stop") : t("chat.send"));
      button.title = isBusy ? t("chat.stop") : t("chat.send");
    }

    return {
      node,
      choose,
      update,
      send,
      focus: () => area.focus(),
      get model() {
        return model.value;
      },
      get width() {
        return wide();
      },
      get text() {
        return area.value;
      },
      set text(value) {
        area.value = value;
        requestAnimationFrame(grow);
      },
      put(text) {
        area.value = text;
        grow();
        area.focus();
      },
    };
  }
}

/** Make these the children, without touching those that stay: an element that is taken out loses focus and scrolling. */
function putInOrder(parent, nodes) {
  const focused = document.activeElement;
  const [id, label] = [focused?.closest("[data-id]")?.dataset.id, focused?.getAttribute("aria-label")];
  const staying = new Set(nodes);
  for (const child of [...parent.childNodes]) if (!staying.has(child)) child.remove();
  nodes.forEach((node, place) => {
    if (parent.childNodes[place] !== node) parent.insertBefore(node, parent.childNodes[place] ?? null);
  });
  if (!focused?.isConnected && id && label) {
    const again = [...parent.querySelectorAll(`[data-id="${CSS.escape(id)}"] [aria-label]`)];
    again.find((node) => node.getAttribute("aria-label") === label)?.focus();
  }
}

function nameOf(message) {
  return message.told?.experts?.join(", ") ?? message.model ?? "";
}

/** Who can be asked: encoders stand in the list of models too, and say nothing. */
async function whoAnswers(app) {
  const [models, experts] = await Promise.all([app.api("/v1/models"), app.api("/v1/experts")]);
  const speaking = new Set(["council", ...experts.data.map(({ id }) => id)]);
  const inCouncil = experts.data.filter(({ pool }) => pool === "council").length;
  return { models: models.data.map(({ id }) => id).filter((id) => speaking.has(id)), isWide: inCouncil > 1, most: Math.max(1, Math.min(inCouncil, 8)) };
}
