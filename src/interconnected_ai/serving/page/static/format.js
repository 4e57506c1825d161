// Numbers, sizes, spans and dates as the reader's language writes them.

const BYTES = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte", "petabyte"];

/** Formats for a language; `language()` is asked each time, since it may change. */
export function formats(language) {
  const number = (value, options) => new Intl.NumberFormat(language(), options).format(value);
  const absent = (value) => value === null || value === undefined || Number.isNaN(value);
  const guarded = (shown) => (value, options) => (absent(value) ? "–" : shown(value, options ?? {}));

  return {
    number: guarded((value, { digits, compact }) => {
      const most = digits ?? (Math.abs(value) < 10 && !Number.isInteger(value) ? 2 : 0);
      return number(value, { maximumFractionDigits: most, ...(compact ? { notation: "compact", maximumFractionDigits: 1 } : {}) });
    }),
    percent: guarded((value, { digits = 1 }) => number(value, { style: "percent", maximumFractionDigits: digits })),
    bytes: guarded((value) => {
      const step = value < 1000 ? 0 : Math.min(BYTES.length - 1, Math.floor(Math.log10(value) / 3));
      const scaled = value / 1000 ** step;
      return number(scaled, {
        style: "unit", unit: BYTES[step], unitDisplay: "short", maximumFractionDigits: scaled < 10 && step ? 1 : 0,
      });
    }),
    seconds: guarded((value) => {
      const [unit, scaled] =
        value < 1 ? ["millisecond", value * 1000]
        : value < 120 ? ["second", value]
        : value < 7200 ? ["minute", value / 60]
        : value < 172800 ? ["hour", value / 3600]
        : ["day", value / 86400];
      return number(scaled, { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: scaled < 10 ? 1 : 0 });
    }),
    date: guarded((value, { short = false }) => {
      const date = typeof value === "number" ? new Date(value * 1000) : new Date(value);
      if (Number.isNaN(date.getTime())) return String(value);
      return new Intl.DateTimeFormat(language(), short ? { dateStyle: "short" } : { dateStyle: "medium", timeStyle: "short" }).format(date);
    }),
  };
}
