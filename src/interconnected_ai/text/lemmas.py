"""Russian dictionary forms from pymorphy3's dictionary, read without what builds tags and guesses at unknown words.

`pymorphy3.MorphAnalyzer` takes 23 MB and builds an object for every reading of a word. A dictionary form needs the words, the
paradigms and how likely each reading is: half the memory, and a test compares the forms with the analyser's own.
"""

import json
from array import array
from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

from interconnected_ai.extras import require

_FORMAT = "2.4"
_READING = ">HH"  # (paradigm, form), as the dictionary packs them


class RussianLemmas:
    """The dictionary of OpenCorpora as pymorphy3 packs it: word → (paradigm, form) pairs. Many threads may read it at once."""

    def __init__(self) -> None:
        # the library that pymorphy3 reads it with; pymorphy3 itself would load its analyser, 4 MB
        dawg = require("dawg_python", "memory", "Russian dictionary forms")
        folder = Path(require("pymorphy3_dicts_ru", "memory", "Russian dictionary forms").get_path())
        meta = dict(_read(folder, "meta.json"))
        if meta["format_version"] != _FORMAT:
            raise ImportError(
                f"the dictionary in {folder} has format {meta['format_version']}, known is {_FORMAT}; install "
                "pymorphy3-dicts-ru of a version that constraints.txt names"
            )
        self._words = dawg.RecordDAWG(_READING).load(str(folder / "words.dawg"))
        self._yo = self._words.compile_replaces({"е": "ё"})  # our words have е for ё
        # `word:tag` → millionths; what the file has beside, to list the tags of a word, is not loaded
        self._likelihood = dawg.IntDAWG().load(str(folder / "p_t_given_w.intdawg")).dct
        self._suffixes = _Texts(_read(folder, "suffixes.json"))
        self._prefixes: list[str] = meta["compile_options"]["paradigm_prefixes"]
        self._tags = _Texts(_read(folder, meta["gramtab_formats"]["opencorpora-int"]))
        self._paradigms = _paradigms(folder / "paradigms.array")

    def lemma(self, word: str) -> str | None:
        """The dictionary form of the likeliest reading of a word, the first of equals; None for an unknown word."""
        known = self._likelihood.follow_bytes(f"{word}:".encode(), self._likelihood.ROOT)
        best, best_likelihood = None, -1
        for spelt, readings in self._words.similar_items(word, self._yo):
            for paradigm, form in readings:
                likelihood = 0 if known is None else self._likelihood_of(known, self._tag(paradigm, form))
                if likelihood > best_likelihood:
                    best, best_likelihood = (spelt, paradigm, form), likelihood
        return None if best is None else self._first_form(*best)

    def is_place(self, word: str) -> bool:
        """Whether some reading of a word is a name of a place: towns, rivers, countries."""
        return self._is_tagged(word, "Geox")

    def is_given_name(self, word: str) -> bool:
        """Whether some reading of a word is somebody's first name, in the nominative."""
        return self._is_tagged(word, "Name", "nomn")

    def _is_tagged(self, word: str, *grammemes: str) -> bool:
        readings = self._words.similar_items(word, self._yo)
        tags = (self._tag(paradigm, form) for _, found in readings for paradigm, form in found)
        return any(all(grammeme in tag for grammeme in grammemes) for tag in tags)

    def _likelihood_of(self, word: int, tag: str) -> int:
        """In millionths; word: where its tags begin."""
        end = self._likelihood.follow_bytes(tag.encode(), word)
        return self._likelihood.value(end) if end is not None and self._likelihood.has_value(end) else 0

    def _tag(self, paradigm: int, form: int) -> str:
        numbers = self._paradigms[paradigm]
        return self._tags[numbers[len(numbers) // 3 + form]]

    def _first_form(self, word: str, paradigm: int, form: int) -> str:
        """A paradigm lists suffixes, tags and prefixes of its forms, a third each; the first form is the dictionary's."""
        if not form:
            return word
        numbers = self._paradigms[paradigm]
        num_forms = len(numbers) // 3
        suffix, prefix = self._suffixes[numbers[form]], self._prefixes[numbers[2 * num_forms + form]]
        stem = word[len(prefix) : len(word) - len(suffix)]
        return self._prefixes[numbers[2 * num_forms]] + stem + self._suffixes[numbers[0]]


@cache
def russian_lemmas() -> RussianLemmas:
    """The dictionary, read once."""
    return RussianLemmas()


class _Texts:
    """Thousands of short texts as one: an object for each would take ten times their letters."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._all = "".join(texts)
        self._ends = array("I", accumulate(map(len, texts), initial=0))

    def __getitem__(self, number: int) -> str:
        return self._all[self._ends[number] : self._ends[number + 1]]


class _Paradigms:
    """Lists of 16-bit numbers, one after the other: (length, numbers) each."""

    def __init__(self, numbers: "array[int]") -> None:
        self._numbers, self._begins = numbers, array("I")
        place = 1
        for _ in range(numbers[0]):
            self._begins.append(place + 1)
            place += 1 + numbers[place]

    def __getitem__(self, number: int) -> "array[int]":
        begin = self._begins[number]
        return self._numbers[begin : begin + self._numbers[begin - 1]]


def _read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text(encoding="utf-8"))


def _paradigms(path: Path) -> _Paradigms:
    """Little-endian 16-bit numbers: how many paradigms, then for each its length and its numbers."""
    numbers = array("H", path.read_bytes())
    if array("H", [1]).tobytes() != b"\x01\x00":
        numbers.byteswap()
    return _Paradigms(numbers)
