"""Texts that a reader of tables must keep as they are: quotes, line breaks of all kinds, spaces, other alphabets."""

TEXTS = [
    "plain words",
    'commas, "quotes" and a \\ backslash',
    "два слова, и ещё: ёжик",
    "two\nlines",
    "a\ttab",
    "emoji 🙂 and 银行",
    "line separators\u2028of\u0085other\x0bkinds",
    "  spaces around  ",
]
