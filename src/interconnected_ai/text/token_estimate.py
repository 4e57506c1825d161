"""How many tokens a text takes, without a tokenizer: counts of what tokens are made of, weighed as o200k has them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase, digits

_VOWELS, _RARE = "aeiouy", "jkqvwxz"


def _class_of(byte: int) -> str:
    """A vowel is a, a consonant b (a rare one k), a capital U, a digit 0, a mark a point; N is a part of a wider character."""
    char = chr(byte)
    if byte >= 0x80:
        return "N"
    if char in ascii_lowercase:
        return "a" if char in _VOWELS else "k" if char in _RARE else "b"
    if char in ascii_uppercase:
        return "U"
    return "0" if char in digits else " " if char in " \t" else "\n" if char in "\n\r" else "."


_CLASSES = "".join(_class_of(byte) for byte in range(256)).encode()
_LATER_BYTES = bytes(range(0x80, 0xC0))  # of a character: its first one says that there is one
_CONSONANTS_ALIKE, _LETTERS_ALIKE = bytes.maketrans(b"k", b"b"), bytes.maketrans(b"bk", b"aa")

# Tokens for each. Fitted by non-negative least squares of relative errors to o200k's counts of 900 texts: documentation, code,
# JSON, logs, chats, base64, hex, numbers, thirty scripts; on those that were held out the mean of each kind is within a tenth.
_WEIGHTS = {
    "word after a space": 0.479, "after a line break": 1.99, "after a digit": 1.063,
    "capital after a small letter": 1.178, "small letter after a capital": 0.34, "capital after a capital": 0.281,
    "small letter after one": 0.092, "rare consonant": 0.652, "four consonants": 1.899, "three vowels": 0.07,
    "mark": 0.014, "first mark of two": 1.021, "first line break of two": 0.457, "indentation": 0.7,
    "space before a digit": 0.966,
}  # fmt: skip

# Tokens for each character of a script, by the first bytes that its characters have in UTF-8.
_TWO_BYTES = (
    (range(0xC2, 0xCD), 1.237), (range(0xCD, 0xD0), 0.405), (range(0xD0, 0xD2), 0.315),  # Latin with accents, Greek, Cyrillic
    (range(0xD4, 0xD7), 0.343), (range(0xD7, 0xD8), 0.441), (range(0xD8, 0xDC), 0.356),  # Armenian, Hebrew, Arabic
    (range(0xD2, 0xD3), 0.5), (range(0xD3, 0xD4), 1.0), (range(0xDC, 0xE0), 2.134),  # rare Cyrillic; Syriac, Thaana, N'Ko
)  # fmt: skip
_MORE_BYTES = (
    (range(0xE3, 0xE4), 0.846), (range(0xE4, 0xEA), 0.907),  # Kana, Han
    (range(0xEA, 0xEE), 0.729), (range(0xEE, 0xF0), 3.866), (range(0xF0, 0xF8), 2.026),  # Hangul, full width, emoji
)  # fmt: skip
_AFTER_E0 = (
    (range(0xA0, 0xA4), 2.0), (range(0xA4, 0xA6), 0.335), (range(0xA6, 0xA8), 0.376), (range(0xA8, 0xAA), 0.555),
    (range(0xAA, 0xAC), 0.407), (range(0xAC, 0xAE), 1.0), (range(0xAE, 0xB0), 0.327), (range(0xB0, 0xB2), 0.534),
    (range(0xB2, 0xB4), 0.378), (range(0xB4, 0xB6), 0.384), (range(0xB6, 0xB8), 0.611), (range(0xB8, 0xBA), 0.497),
    (range(0xBA, 0xBC), 1.964), (range(0xBC, 0xC0), 1.529),
)  # fmt: skip
_AFTER_E1 = (
    (range(0x80, 0x82), 0.567), (range(0x82, 0x84), 0.321), (range(0x84, 0x88), 2.0), (range(0x88, 0x8E), 2.049),
    (range(0x8E, 0x90), 3.276), (range(0x90, 0x9A), 3.17), (range(0x9A, 0x9E), 3.0), (range(0x9E, 0xA0), 0.643),
    (range(0xA0, 0xB8), 2.5), (range(0xB8, 0xC0), 0.1),
)  # fmt: skip
_AFTER_E2 = (
    (range(0x80, 0x81), 0.765),
    (range(0x81, 0x94), 1.6),
    (range(0x94, 0x96), 0.765),
    (range(0x96, 0xC0), 1.6),
)  # signs


def _pattern_weights(of: Mapping[str, float]) -> dict[bytes, float]:
    """Bytes of classes → tokens for each time they stand there. What follows one of its own kind is every one but the first."""
    small, capital = of["small letter after one"], of["capital after a capital"]
    weights: dict[bytes, float] = {b"a": small, b"U": capital}
    begins = {b" ": "word after a space", b"\n": "after a line break", b"0": "after a digit"}
    for before, name in begins.items():
        weights[before + b"a"] = of[name] - small
        weights[before + b"U"] = of[name] - capital
    weights[b"aU"] = of["capital after a small letter"] - capital
    weights[b"Ua"] = of["small letter after a capital"] - small
    weights[b"."], weights[b".."] = of["mark"] + of["first mark of two"], -of["first mark of two"]
    weights[b"\n"], weights[b"\n\n"] = of["first line break of two"], -of["first line break of two"]
    weights[b"\n  "], weights[b" 0"] = of["indentation"], of["space before a digit"]
    return weights


def _leads(ranges: Iterable[tuple[range, float]], first: bytes = b"") -> Iterator[tuple[bytes, float]]:
    for bytes_, weight in ranges:
        for byte in bytes_:
            yield first + bytes([byte]), weight


_PATTERNS = _pattern_weights(_WEIGHTS)
# The same where only the beginnings of runs are left: a small letter there is A.
_AT_EDGES = tuple((what, what.replace(b"a", b"A")) for what in _PATTERNS if what not in (b"aU", b"Ua"))
_LEADS = dict(_leads((*_TWO_BYTES, *_MORE_BYTES)))
_PAIRS = {**dict(_leads(_AFTER_E0, b"\xe0")), **dict(_leads(_AFTER_E1, b"\xe1")), **dict(_leads(_AFTER_E2, b"\xe2"))}


@dataclass(frozen=True, slots=True)
class _Scale:
    """What each part counts for, in tokens or in thousandths of them."""

    patterns: Mapping[bytes, float]
    leads: Mapping[bytes, float]
    pairs: Mapping[bytes, float]
    rare_consonant: float
    four_consonants: float
    three_vowels: float
    three_digits: float


_TOKENS = _Scale(
    _PATTERNS, _LEADS, _PAIRS,
    _WEIGHTS["rare consonant"], _WEIGHTS["four consonants"], _WEIGHTS["three vowels"], 1,
)  # fmt: skip


def _thousandths(weight: float) -> int:
    """No weight has more than three decimals: whole numbers, whose sums are exact in any order."""
    return round(1_000 * weight)


def _all_thousandths(weights: Mapping[bytes, float]) -> dict[bytes, float]:
    return {what: _thousandths(weight) for what, weight in weights.items()}


_THOUSANDTHS = _Scale(
    _all_thousandths(_PATTERNS), _all_thousandths(_LEADS), _all_thousandths(_PAIRS),
    _thousandths(_WEIGHTS["rare consonant"]), _thousandths(_WEIGHTS["four consonants"]),
    _thousandths(_WEIGHTS["three vowels"]), _thousandths(1),
)  # fmt: skip
_NO_LEADS = bytes(byte for byte in range(256) if bytes([byte]) not in _LEADS)
_CYRILLIC = tuple(bytes([byte]) for byte in range(0xD0, 0xD2))
_NO_OTHER_LEADS = _NO_LEADS + b"".join(_CYRILLIC)
_PAIRED = (b"\xe0", b"\xe1", b"\xe2")  # in UTF-8 these begin a character, wherever they stand


def _as_byte(value: int) -> bytes:
    return bytes([value])


def estimate_tokens(text: str) -> int:
    """About how many tokens o200k, and tokenizers like it, make of a text; a longer text never has fewer.

    Every three digits of a number are one token, as o200k has them; for words, marks, line breaks and the letters of each
    script see the weights. Of a few hundred characters and more it is within about a tenth, in the mean a few hundredths
    above. Give the model's own counter where the count must be exact.
    """
    return max(1, round(_sum_of(text, _TOKENS))) if text else 0


def token_thousandths(text: str) -> int:
    """What `estimate_tokens` rounds, in thousandths of a token, exactly.

    It adds up where a text is cut before a line break that follows none, and between a mark and a space: the sum of the parts
    is that of the whole.
    """
    return int(_sum_of(text, _THOUSANDTHS))


def rounded_thousandths(thousandths: int) -> int | None:
    """The estimate of a text, which is not empty, of so many thousandths.

    None where they say one half, which is rounded by what the sum of fractions is short of it or over it: the text itself is to
    be estimated.
    """
    whole, part = divmod(thousandths, 1_000)
    return None if part == 500 else max(1, whole + (part > 500))


def _sum_of(text: str, scale: _Scale) -> float:
    data = text.encode("utf-8", "surrogatepass")
    tokens = _tokens_of_classes(data.translate(_CLASSES, _LATER_BYTES), scale)
    if len(data) != len(text):
        tokens += _tokens_of_scripts(data, scale)
    return tokens


def _tokens_of_classes(classes: bytes, scale: _Scale) -> float:
    letters = classes.translate(_LETTERS_ALIKE)
    # in a title the first small letter of a run is A, and a capital or a wider character inside of one is u or n: without the
    # others, runs keep their beginning and what stands before it, and most of the text is gone
    title = letters.title()
    edges = title.translate(None, b"an")
    numbers = {what: edges.count(begun) for what, begun in _AT_EDGES}
    capitals_inside = edges.count(b"u")
    numbers[b"a"] += title.count(b"a")
    numbers[b"U"] += capitals_inside
    numbers[b"aU"] = letters.count(b"aU") if capitals_inside else 0
    numbers[b"Ua"] = letters.count(b"Ua") if numbers[b"U"] else 0
    tokens = sum(weight * numbers[what] for what, weight in scale.patterns.items())
    tokens += scale.rare_consonant * classes.count(b"k")
    sounds = classes.translate(_CONSONANTS_ALIKE)
    tokens += scale.four_consonants * sounds.count(b"bbbb") + scale.three_vowels * sounds.count(b"aaa")
    if b"0" in edges:
        threes = edges.replace(b"000", b"D")
        tokens += scale.three_digits * (threes.count(b"D") + threes.count(b"0") - threes.count(b"00"))
    return tokens


def _tokens_of_scripts(data: bytes, scale: _Scale) -> float:
    # a set looks at every byte by itself, and of a Russian text half are the same two
    leads = set(map(_as_byte, set(data.translate(None, _NO_OTHER_LEADS))))
    leads.update(one for one in _CYRILLIC if one in data)
    tokens = sum(scale.leads[one] * data.count(one) for one in sorted(leads))
    pairs: Counter[bytes] = Counter()
    for first in _PAIRED:
        if first in data:
            pairs.update(first + rest[:1] for rest in data.split(first)[1:])
    return tokens + sum(scale.pairs[pair] * number for pair, number in sorted(pairs.items()))
