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
_LONGEST_ABBREVIATION = 16  # characters that are looked at: more than any has, with what stands before it


def normalize(text: str) -> str:
    """Text as it is compared: Unicode NFC, lower case, ё as е. In Python, since databases lower only ASCII letters."""
    return unicodedata.normalize("NFC", text).lower().replace("ё", "е").translate(_APOSTROPHES)


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


def estimate_tokens(text: str) -> int:
    """About how many tokens a modern multilingual tokenizer makes of a text.

    ASCII / 3.8 + two-byte letters (Cyrillic, Greek, …) / 3.3 + everything wider × 1. Russian takes 3.3 to 3.7 characters
    a token with XLM-R and o200k, English about 3.9 with o200k. Give the model's own counter where the count must be exact.
    """
    if not text:
        return 0
    num_bytes = len(text.encode("utf-8", "surrogatepass"))
    num_ascii = len(text.encode("ascii", "ignore"))
    num_other, other_bytes = len(text) - num_ascii, num_bytes - num_ascii
    num_wide = max(0, other_bytes - 2 * num_other)  # 3-byte characters count one, 4-byte ones two
    num_narrow = max(0, num_other - num_wide)
    return max(1, round(num_ascii / 3.8 + num_narrow / 3.3 + num_wide))
