// The words of the page: one catalogue for all languages, plural forms by the language's own rules.

export class Words {
  #catalogue;
  #language;
  #plurals;

  constructor(catalogue, language) {
    this.#catalogue = catalogue;
    this.language = language;
  }

  static async fetched(language) {
    const answer = await fetch("/page/static/catalogue.json");
    if (!answer.ok) throw new Error(`catalogue.json: ${answer.status}`);
    return new Words(await answer.json(), language);
  }

  get language() {
    return this.#language;
  }

  set language(language) {
    this.#language = language;
    this.#plurals = new Intl.PluralRules(language);
  }

  /** The text of a key. `values` fill its `{names}`; `values.count` chooses among plural forms. */
  text(key, values = {}) {
    const entry = this.#catalogue[key]?.[this.#language];
    if (entry === undefined) {
      console.error(`no words for ${key} in ${this.#language}`);
      return key;
    }
    const form = typeof entry === "string" ? entry : (entry[this.#plurals.select(values.count)] ?? entry.other);
    return form.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? this.#shown(values[name]) : whole));
  }

  /** Whether the catalogue has this key. */
  has(key) {
    return key in this.#catalogue;
  }

  #shown(value) {
    return typeof value === "number" ? new Intl.NumberFormat(this.#language).format(value) : String(value);
  }
}
