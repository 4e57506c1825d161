"""Russian and English text as plain words, sentences and token counts; stems and lemmas are made elsewhere."""

import re
import unicodedata

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_APOSTROPHES = str.maketrans({"’": "'", "ʼ": "'", "`": "'"})
# A sentence ends with its mark and a space before something that can begin another one, or with its line.
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'»”)\]]*\s+(?=[\"'«“(\[]?[A-ZА-ЯЁ0-9\-–—*#])|\n")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(«\"])(?:[A-ZА-ЯЁ]|mr|mrs|ms|dr|prof|st|vs|etc|e\.g|i\.e|г|гг|ул|д|им|т|тыс|руб|стр|см|др|пр)\.$",
    re.IGNORECASE,
)
# Spaces, controls, and what Unicode has everybody ignore: zero widths, marks of direction, fillers, variants, tags. U+2800 is
# Braille without a dot.
_SEEN = re.compile(
    r"[^\s\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    r"\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_LONGEST_ABBREVIATION = 16  # characters that are looked at: more than any has, with what stands before it


def normalize(text: str) -> str:
    """Text as it is compared: Unicode NFC, lower case, ё as е. In Python, since databases lower only ASCII letters."""
    return unicodedata.normalize("NFC", text).lower().replace("ё", "е").translate(_APOSTROPHES)


def is_blank(text: str) -> bool:
    """Whether nothing of a text can be seen: it is empty, or all of it spaces, zero widths, fillers and the like."""
    return _SEEN.search(text) is None


def words(text: str) -> list[str]:
    """The normalised words of a text: letters and digits of any script, an apostrophe inside allowed."""
    return _WORD.findall(normalize(text))


def sentences(text: str) -> list[str]:
    """The sentences of a text in order, stripped, without empty ones; a line break always ends one."""
    found: list[list[str]] = []  # sentences in parts, since an abbreviation's point ends none
    for part in _SENTENCE_END.split(text):
        if not (piece := part.strip()):
            continue
        if found and _ABBREVIATION.search(found[-1][-1][-_LONGEST_ABBREVIATION:]):
            found[-1].append(piece)
        else:
            found.append([piece])
    return [" ".join(parts) for parts in found]
