"""Russian dictionary forms from pymorphy3's dictionary, read without what builds tags and guesses at unknown words.

`pymorphy3.MorphAnalyzer` takes 23 MB and builds an object for every reading of a word. A dictionary form needs the words, the
paradigms and how likely each reading is: half the memory, and a test compares the forms with the analyser's own.
"""

import json
from array import array
from functools import cache
from pathlib import Path
from typing import Any

from interconnected_ai.extras import require

_FORMAT = "2.4"


class RussianLemmas:
    """The dictionary of OpenCorpora as pymorphy3 packs it: word → (paradigm, form) pairs."""

    def __init__(self) -> None:
        dawg = require("pymorphy3.dawg", "memory", "Russian dictionary forms")
        folder = Path(require("pymorphy3_dicts_ru", "memory", "Russian dictionary forms").get_path())
        meta = dict(_read(folder, "meta.json"))
        if meta["format_version"] != _FORMAT:
            raise ImportError(
                f"the dictionary in {folder} has format {meta['format_version']}, known is {_FORMAT}; install "
                "pymorphy3-dicts-ru of a version that constraints.txt names"
            )
        self._words = dawg.WordsDawg().load(str(folder / "words.dawg"))
        self._yo = self._words.compile_replaces({"е": "ё"})  # our words have е for ё
        self._likelihood = dawg.ConditionalProbDistDAWG().load(str(folder / "p_t_given_w.intdawg"))
        self._suffixes: list[str] = _read(folder, "suffixes.json")
        self._prefixes: list[str] = meta["compile_options"]["paradigm_prefixes"]
        self._tags: list[str] = _read(folder, meta["gramtab_formats"]["opencorpora-int"])
        self._paradigms = _paradigms(folder / "paradigms.array")

    def lemma(self, word: str) -> str | None:
        """The dictionary form of the likeliest reading of a word, the first of equals; None for an unknown word."""
        best, best_likelihood = None, -1.0
        for spelt, readings in self._words.similar_items(word, self._yo):
            for paradigm, form in readings:
                likelihood = self._likelihood.prob(word, self._tag(paradigm, form))
                if likelihood > best_likelihood:
                    best, best_likelihood = (spelt, paradigm, form), likelihood
        return None if best is None else self._first_form(*best)

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


def _read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text(encoding="utf-8"))


def _paradigms(path: Path) -> "list[array[int]]":
    """Little-endian 16-bit numbers: how many paradigms, then for each its length and its numbers."""
    numbers = array("H", path.read_bytes())
    if array("H", [1]).tobytes() != b"\x01\x00":
        numbers.byteswap()
    found, place = [], 1
    for _ in range(numbers[0]):
        length = numbers[place]
        found.append(numbers[place + 1 : place + 1 + length])
        place += 1 + length
    return found
