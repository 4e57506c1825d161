// How the page asks the server: with the key, errors in words, streams as events, and what happens when nobody answers.

/** An error that a person can read. `detail` has the server's own words. */
export class ApiError extends Error {
  constructor(message, { status = 0, code = null, param = null, detail = "", retrySeconds = null } = {}) {
    super(message);
    this.name = "ApiError";
    Object.assign(this, { status, code, param, detail, retrySeconds });
  }
}

const STATUS_OF = { invalid_request_error: 400, rate_limit_error: 429, server_error: 500, service_unavailable_error: 503 };
const TOLD = new Set([401, 403, 404, 408, 409, 413, 429, 500, 503]); // statuses that have words of their own

/**
 * `api` and `events` over fetch. `keys` gives and asks for the key, `connection` is told when nobody answers, `coded` has words
 * for an error's code where the server's own, which are English, are not the reader's.
 */
export function requests({ t, keys, connection, coded }) {
  const worded = (status, told = {}, retrySeconds = null) => {
    const detail = told.message ?? "";
    const key = TOLD.has(status) ? `shell.error.${status}` : "shell.error.other";
    const wait = Math.max(1, Math.round(retrySeconds ?? 1));
    // where the server said nothing more, no colon before it
    return new ApiError(coded(told.code) ?? t(key, { detail, count: wait }).replace(/[\s:]+$/, ""), {
      status, code: told.code ?? null, param: told.param ?? null, detail, retrySeconds,
    });
  };

  const unreachable = (error) => {
    if (error.name === "AbortError" || !(error instanceof TypeError)) return error;
    connection.lose();
    return new ApiError(t("shell.error.unreachable"));
  };

  async function refusal(answer) {
    let told = {};
    try {
      told = (await answer.json()).error ?? {};
    } catch {
      told = {}; // not ours: a proxy's page, or cut short; the status has to do
    }
    const seconds = Number.parseFloat(answer.headers.get("retry-after") ?? "");
    return worded(answer.status, told, Number.isNaN(seconds) ? null : seconds);
  }

  async function ask(path, { method, json, form, signal, accept } = {}) {
    for (;;) {
      const key = await keys.current();
      const headers = new Headers({ accept: accept ?? "application/json" });
      if (key) headers.set("authorization", `Bearer ${key}`);
      if (json !== undefined) headers.set("content-type", "application/json");
      const body = json !== undefined ? JSON.stringify(json) : form;
      let answer;
      try {
        answer = await fetch(path, { method: method ?? (body === undefined ? "GET" : "POST"), headers, body, signal });
      } catch (error) {
        throw unreachable(error);
      }
      connection.hear();
      if (answer.ok) return answer;
      const error = await refusal(answer);
      if (error.status !== 401 || !(await keys.refused(key))) throw error;
    }
  }

  async function api(path, { as, ...asked } = {}) {
    const answer = await ask(path, asked);
    if (as === "response") return answer;
    try {
      if (as === "blob") return await answer.blob();
      const isJson = (answer.headers.get("content-type") ?? "").startsWith("application/json");
      return as === "text" || !isJson ? await answer.text() : await answer.json();
    } catch (error) {
      throw unreachable(error);
    }
  }

  async function* events(path, asked = {}) {
    const answer = await ask(path, { ...asked, accept: "text/event-stream" });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    try {
      for (;;) {
        let read;
        try {
          read = await reader.read();
        } catch (error) {
          throw unreachable(error);
        }
        if (read.done) return;
        const blocks = (rest + read.value).split("\n\n");
        rest = blocks.pop();
        for (const block of blocks) {
          const lines = block.split("\n").filter((line) => line.startsWith("data:"));
          if (!lines.length) continue; // a comment: the server says that it is still there
          const text = lines.map((line) => line.slice(5).trimStart()).join("\n");
          if (text === "[DONE]") return;
          const data = JSON.parse(text);
          if (data.error && data.object === undefined) throw worded(STATUS_OF[data.error.type] ?? 0, data.error);
          yield data;
        }
      }
    } finally {
      reader.cancel().catch(() => {}); // it is over already, one way or the other
    }
  }

  return { api, events };
}

/** The key of the API: kept as long as the tab, asked for where the server needs one, never part of an address. */
export class Keys {
  #needed;
  #asking = null;
  #ask;

  constructor(needed, ask) {
    this.#needed = needed;
    this.#ask = ask;
  }

  /** The key to send; asks the person where one is needed and none is known. */
  async current() {
    const known = sessionStorage.getItem("iai.key");
    if (known || !this.#needed) return known;
    await this.#asked(false);
    return sessionStorage.getItem("iai.key");
  }

  /** The server took this key for none: whether there is another to try. */
  async refused(key) {
    this.#needed = true;
    const known = sessionStorage.getItem("iai.key");
    if (known && known !== key) return true; // given meanwhile
    return this.#asked(Boolean(key));
  }

  /** Ask for another, because the person wants to. */
  change() {
    return this.#asked(false);
  }

  async #asked(wasWrong) {
    this.#asking ??= this.#ask(wasWrong).finally(() => (this.#asking = null));
    const given = await this.#asking;
    if (given) sessionStorage.setItem("iai.key", given);
    return Boolean(given);
  }
}

/** Whether the server is there. It looks by itself, more often while it is gone; "lost" and "back" say when that changes. */
export class Connection extends EventTarget {
  isLost = false;
  #timer = null;

  watch() {
    document.addEventListener("visibilitychange", () => document.hidden || this.#look());
    window.addEventListener("online", () => this.#look());
    window.addEventListener("offline", () => this.#look());
    this.#later();
  }

  lose() {
    if (this.isLost) return;
    this.isLost = true;
    this.dispatchEvent(new Event("lost"));
    this.#later();
  }

  hear() {
    if (!this.isLost) return;
    this.isLost = false;
    this.dispatchEvent(new Event("back"));
  }

  #later() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(), this.isLost ? 1500 : 10_000);
  }

  async #look() {
    if (!document.hidden) {
      try {
        const answer = await fetch("/healthz", { signal: AbortSignal.timeout(5000) });
        if (answer.ok) this.hear();
      } catch {
        this.lose(); // nobody answers; that is what was asked
      }
    }
    this.#later();
  }
}
