"""How many tokens a word of Russian costs: a byte-level BPE vocabulary measured on documents it was not trained on."""

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interconnected_ai.bench.timing import machine
from interconnected_ai.data import TEST, TRAIN, Texts, survey
from interconnected_ai.errors import DataError
from interconnected_ai.text import Tokenizer

GOAL = 1.6
_HELD_OUT = 0.1
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Held:
    """One source's texts: those a tokenizer may learn from, and those that it is measured on."""

    name: str
    train: list[str]
    test: list[str]

    @classmethod
    def out_of(cls, name: str, texts: Iterable[str]) -> "Held":
        """A tenth of the bytes held out by document, copies left out."""
        found = survey(Texts.of_documents(texts, name=name, validation_fraction=0.0, test_fraction=_HELD_OUT))
        sides: dict[int, list[str]] = {TRAIN: [], TEST: []}
        for side, _, document in found.documents():
            sides[side].append(document.text)
        return cls(name, sides[TRAIN], sides[TEST])


def bench_tokenizer(
    folder: Path, *, vocab_size: int = 32_000, say: Callable[[str], None] = lambda sentence: None
) -> dict[str, Any]:
    """Tokens per word on held-out Russian text, by source.

    "together": one vocabulary for all sources' training texts. "alone": a vocabulary of the source's own training texts.
    "foreign": one of all other sources'. A word is a run of letters and digits; tokens are all tokens, those of signs and
    spaces included; "words alone" counts the tokens of words without them.
    Raises `DataError` when `folder` lacks one of the data sets.
    """
    held = [Held.out_of(name, texts) for name, texts in russian_sources(folder).items()]
    say(f"Training {2 * len(held) + 1} tokenizers …")
    together = Tokenizer.train((text for one in held for text in one.train), vocab_size)
    rows = []
    for one in held:
        alone = Tokenizer.train(one.train, vocab_size)
        foreign = Tokenizer.train((text for other in held if other is not one for text in other.train), vocab_size)
        rows.append(_row(one, together, alone, foreign))
        say(f"{one.name}: {rows[-1]['together']:.3f}")
    num_words = sum(row["num_test_words"] for row in rows)
    curve = [point for one in held if _wants_text(one) for point in _curve(one, vocab_size)]
    return {
        "machine": machine(),
        "vocab_size": vocab_size,
        "goal": GOAL,
        "rows": rows,
        "curve": curve,
        **{key: sum(row[key] * row["num_test_words"] for row in rows) / num_words for key in _KINDS},
        "worst_together": max(row["together"] for row in rows),
    }


_KINDS = ("together", "alone", "foreign", "words_alone")


def _row(one: Held, together: Tokenizer, alone: Tokenizer, foreign: Tokenizer) -> dict[str, Any]:
    return {
        "source": one.name,
        "num_train_words": _num_words(one.train),
        "num_test_words": _num_words(one.test),
        "together": tokens_per_word(together, one.test),
        "alone": tokens_per_word(alone, one.test),
        "alone_vocab_size": alone.vocab_size,
        "foreign": tokens_per_word(foreign, one.test),
        "words_alone": tokens_per_word(together, [f" {word}" for text in one.test for word in _WORD.findall(text)]),
        "bytes_per_token": sum(len(text.encode()) for text in one.test) / _num_tokens(together, one.test),
    }


def _wants_text(one: Held) -> bool:
    """Whether the source is prose of many different words, for which the amount of text to learn from decides."""
    return "xquad" in one.name or "DaNet" in one.name


def _curve(one: Held, vocab_size: int) -> Iterator[dict[str, Any]]:
    """What a vocabulary of the source's own costs when it is trained on an eighth, a quarter, a half, all of the text."""
    for part in (8, 4, 2, 1):
        texts = one.train[: len(one.train) // part]
        tokenizer = Tokenizer.train(texts, vocab_size)
        yield {
            "source": one.name,
            "num_train_words": _num_words(texts),
            "vocab_size": tokenizer.vocab_size,
            "tokens_per_word": tokens_per_word(tokenizer, one.test),
        }


def tokens_per_word(tokenizer: Tokenizer, texts: Sequence[str]) -> float:
    """All tokens of these texts over their words."""
    return _num_tokens(tokenizer, texts) / _num_words(texts)


def _num_tokens(tokenizer: Tokenizer, texts: Sequence[str]) -> int:
    return sum(map(len, tokenizer.encode_batch(texts)))


def _num_words(texts: Iterable[str]) -> int:
    return sum(len(_WORD.findall(text)) for text in texts)


# --- Russian text by others -----------------------------------------------------------------------------------------


def russian_sources(folder: Path) -> dict[str, list[str]]:
    """Texts of koziev, xquad, ru_intents and rumedbench, as their authors publish them, in one folder."""
    try:
        return {
            "everyday facts (koziev)": list(_lines(sorted(folder.glob("koziev/facts*.txt")))),
            "questions and answers (koziev)": list(_dialogues(folder / "koziev/premise_question_answer4_1s.txt")),
            "encyclopaedia (xquad)": list(_paragraphs(folder / "xquad/xquad.ru.json")),
            "requests to an assistant (ru_intents)": list(_column(sorted(folder.glob("ru_intents/*.csv")), "text")),
            "patients' complaints (RuMedTop3)": list(
                _fields(sorted(folder.glob("rumedbench/RuMedTop3/*.jsonl")), "symptoms")
            ),
            "medical textbooks (RuMedDaNet)": list(
                _fields(sorted(folder.glob("rumedbench/RuMedDaNet/*.jsonl")), "context")
            ),
        }
    except (OSError, KeyError, ValueError) as error:
        raise DataError(
            f"{folder} does not hold koziev/, xquad/, ru_intents/ and rumedbench/ as their authors publish them: {error}"
        ) from error


def _lines(files: Sequence[Path]) -> Iterator[str]:
    for file in files:
        yield from file.read_text(encoding="utf-8").splitlines()


def _dialogues(file: Path) -> Iterator[str]:
    """Premise, question and answer of each entry, without the marks T:, Q:, A: before them."""
    for entry in file.read_text(encoding="utf-8").split("\n\n"):
        yield "\n".join(line[2:].strip() for line in entry.strip().splitlines())


def _paragraphs(file: Path) -> Iterator[str]:
    for article in json.loads(file.read_text(encoding="utf-8"))["data"]:
        yield from (paragraph["context"] for paragraph in article["paragraphs"])


def _column(files: Sequence[Path], name: str) -> Iterator[str]:
    for path in files:
        with path.open(encoding="utf-8", newline="") as file:
            yield from (row[name] for row in csv.DictReader(file))


def _fields(files: Sequence[Path], name: str) -> Iterator[str]:
    for line in _lines(files):
        yield json.loads(line)[name]
