// Conversations as trees, kept on the server: told, answered, edited, put together where two tabs wrote. No elements here.

const DEFAULT_TITLE_LETTERS = 80;
const TRIES = 5;
const KEPT = ["id", "parent", "role", "content", "at", "model", "answer", "finish", "told", "error", "rating"];

const newId = () => crypto.getRandomValues(new Uint32Array(4)).reduce((text, number) => text + number.toString(36).padStart(7, "0"), "m");

/** A tree of messages. `leaf` is the one shown last; the way to it is the conversation that is read. */
export class Conversation {
  #leaf = null;
  #shown = new Map(); // of each message, which of those after it was shown last

  constructor({ id = newId(), version = 0, title = "", model = null, width = null, leaf = null, messages = [] } = {}) {
    this.messages = new Map(messages.map((message) => [message.id, message]));
    Object.assign(this, { id, version, title, model, width, leaf });
  }

  get leaf() {
    return this.#leaf;
  }

  set leaf(id) {
    this.#leaf = id;
    for (const message of this.path) this.#shown.set(message.parent ?? null, message.id);
  }

  get path() {
    const found = [];
    for (let message = this.messages.get(this.leaf); message; message = this.messages.get(message.parent)) found.push(message);
    return found.reverse();
  }

  siblings(message) {
    return [...this.messages.values()].filter((each) => (each.parent ?? null) === (message.parent ?? null) && each.role === message.role);
  }

  /** Show this message, and what was shown after it before, or was said last. */
  show(id) {
    const after = (parent) => this.#shown.get(parent) ?? [...this.messages.values()].filter((each) => each.parent === parent).at(-1)?.id;
    let leaf = id;
    for (let next = after(leaf); next; next = after(leaf)) leaf = next;
    this.leaf = leaf;
  }

  add(message) {
    const added = { id: newId(), at: Date.now() / 1000, ...message };
    this.messages.set(added.id, added);
    this.leaf = added.id;
    return added;
  }

  /** What the memory calls it: every branch of the tree is a conversation of its own. */
  get session() {
    const forks = this.path.filter((message) => this.siblings(message).indexOf(message) > 0);
    return ["page", this.id, ...(forks.length ? [forks.at(-1).id] : [])].join("-");
  }

  /** The way to a message as a request wants it: users' words that nobody answered belong to the next ones. */
  asked(until) {
    const found = [];
    for (const message of this.path) {
      if (message.content) {
        const last = found.at(-1);
        if (last && last.role === message.role) last.content += `\n\n${message.content}`;
        else found.push({ role: message.role, content: message.content });
      }
      if (message === until) break;
    }
    return found;
  }

  /** Take up what stands on the server, without losing what stands here alone. */
  merge(other) {
    const ours = this.messages;
    this.messages = new Map(other.messages.map((message) => [message.id, message]));
    for (const [id, message] of ours) {
      const theirs = this.messages.get(id);
      const isFuller = !theirs || message.isLive || (message.content.length >= theirs.content.length && !(message.error && !theirs.error));
      this.messages.set(id, isFuller ? Object.assign(message, { rating: message.rating ?? theirs?.rating }) : theirs);
    }
    this.version = other.version;
    if (!this.messages.has(this.leaf)) this.leaf = other.leaf ?? null;
  }

  toJSON() {
    const messages = [...this.messages.values()].map((message) =>
      Object.fromEntries(KEPT.filter((name) => message[name] !== undefined && message[name] !== null).map((name) => [name, message[name]])));
    return { version: this.version, title: this.title, model: this.model, width: this.width, leaf: this.leaf, messages };
  }
}

/** All conversations of this tab. "change" says that something is to be shown anew, "kept" that the
 * server has a newer version, "answered" that an answer came to its end. It lives as long as the page does. */
export class Conversations extends EventTarget {
  #app;
  #open = new Map();
  #saving = new Map();
  #unsaved = new Set();
  #answering = new Map();

  constructor(app) {
    super();
    this.#app = app;
    app.on("back", () => [...this.#unsaved].forEach((id) => this.save(this.#open.get(id)).catch(app.failed)));
    window.addEventListener("beforeunload", (event) => {
      if (this.#unsaved.size || this.#answering.size) event.preventDefault();
    });
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }

  listed(after) {
    return this.#app.api(`/v1/conversations?limit=50${after ? `&after=${after}` : ""}`);
  }

  async search(query, signal) {
    return (await this.#app.api("/v1/conversations/search", { json: { query }, signal })).data;
  }

  begin(values) {
    const made = new Conversation(values);
    this.#open.set(made.id, made);
    return made;
  }

  async opened(id) {
    if (!this.#open.has(id)) {
      const found = await this.#app.api(`/v1/conversations/${encodeURIComponent(id)}`);
      if (!this.#open.has(id)) this.#open.set(id, new Conversation(found));
    }
    return this.#open.get(id);
  }

  isUnsaved(conversation) {
    return this.#unsaved.has(conversation.id);
  }

  isAnswering(conversation) {
    return this.#answering.has(conversation.id);
  }

  /** Keep it on the server. One request at a time; what changes meanwhile is sent after it. */
  async save(conversation) {
    const { id } = conversation;
    this.#unsaved.add(id);
    if (this.#saving.has(id)) {
      this.#saving.set(id, true);
      return;
    }
    this.#saving.set(id, false);
    try {
      do {
        this.#saving.set(id, false);
        await this.#put(conversation);
      } while (this.#saving.get(id));
      this.#unsaved.delete(id);
      this.dispatchEvent(new Event("kept"));
    } finally {
      this.#saving.delete(id);
      this.#changed();
    }
  }

  async #put(conversation) {
    const path = `/v1/conversations/${conversation.id}`;
    for (let left = TRIES; ; left -= 1) {
      try {
        const kept = await this.#app.api(path, { method: "PUT", json: conversation.toJSON() });
        conversation.version = kept.version;
        return;
      } catch (error) {
        if (error.status !== 409 || left <= 0) throw error;
      }
      await this.#takeUp(conversation, path);
    }
  }

  async #takeUp(conversation, path) {
    try {
      conversation.merge(await this.#app.api(path));
    } catch (error) {
      if (error.status !== 404) throw error;
      conversation.version = 0; // removed elsewhere, but somebody still writes in it here
    }
  }

  #keep(conversation) {
    this.save(conversation).catch((error) => this.#app.failed(error));
  }

  async remove(id) {
    this.stop(id);
    await this.#app.api(`/v1/conversations/${encodeURIComponent(id)}`, { method: "DELETE" }).catch((error) => {
      if (error.status !== 404) throw error;
    });
    this.#open.delete(id);
    this.#unsaved.delete(id);
    this.#changed();
  }

  rename(conversation, title) {
    conversation.title = title;
    this.#keep(conversation);
    this.#changed();
  }

  /** A new conversation with everything up to this message. */
  fork(conversation, message, title) {
    const path = conversation.path;
    const messages = path.slice(0, path.indexOf(message) + 1).map((each) => ({ ...each }));
    const made = this.begin({ title, model: conversation.model, width: conversation.width, leaf: message.id, messages });
    this.#keep(made);
    return made;
  }

  rate(conversation, message, rating) {
    message.rating = rating;
    this.#changed();
    this.#keep(conversation);
    return this.#app.api("/v1/feedback", {
      json: { rating, answer: message.answer ?? null, session: conversation.session, model: message.model ?? null },
    });
  }

  /** Say something after `parent`, and have it answered. */
  say(conversation, text, parent) {
    if (!conversation.title) conversation.title = text.trim().replace(/\s+/g, " ").slice(0, DEFAULT_TITLE_LETTERS);
    const said = conversation.add({ role: "user", content: text, parent: parent ?? null });
    return this.answer(conversation, said);
  }

  /** An answer to what a user said, beside those that there are. One that failed before it said anything is made again. */
  async answer(conversation, said) {
    const failed = [...conversation.messages.values()].find((each) => each.parent === said.id && each.error && !each.content);
    const fresh = { role: "assistant", content: "", parent: said.id, model: conversation.model, isLive: true, error: null };
    if (failed) Object.assign(failed, fresh, { at: Date.now() / 1000 });
    const message = failed ?? conversation.add(fresh);
    conversation.leaf = message.id;
    const controller = new AbortController();
    this.#answering.set(conversation.id, controller);
    this.#changed();
    this.#keep(conversation);
    try {
      await this.#read(conversation, said, message, controller.signal);
    } catch (error) {
      if (error.name === "AbortError") message.finish = "stopped";
      else message.error = error.name === "ApiError" ? error.message : this.#app.t("shell.error.page");
      if (error.name !== "AbortError" && error.name !== "ApiError") console.error(error);
    } finally {
      delete message.isLive;
      if (this.#answering.get(conversation.id) === controller) this.#answering.delete(conversation.id);
      this.dispatchEvent(new CustomEvent("answered", { detail: message }));
      this.#changed();
      this.#keep(conversation);
    }
  }

  async #read(conversation, said, message, signal) {
    const isCouncil = conversation.model === "council";
    const json = {
      model: conversation.model, messages: conversation.asked(said), stream: true, session: conversation.session,
      width: isCouncil && conversation.width > 1 ? conversation.width : null,
    };
    for await (const chunk of this.#app.events("/v1/chat/completions", { json, signal })) {
      message.answer = chunk.id;
      const [choice] = chunk.choices;
      if (choice?.delta.content) message.content += choice.delta.content;
      if (choice?.finish_reason) message.finish = choice.finish_reason;
      if (chunk.interconnected_ai) message.told = chunk.interconnected_ai;
      this.#changed();
    }
    if (!message.finish) message.error = this.#app.t("chat.error.cut");
  }

  stop(id) {
    this.#answering.get(id)?.abort();
  }
}

/** A conversation for people, as Markdown. */
export function asMarkdown(conversation, { you, title }) {
  const said = conversation.path.map((message) => `## ${message.role === "user" ? you : (message.told?.experts?.join(", ") ?? message.model ?? "")}\n\n${message.content}\n`);
  return [`# ${conversation.title || title}\n`, ...said].join("\n");
}
