"""Reading rows and text, splitting, tokenizing."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from interconnected_ai.bench.growth.inputs import LABELS, rows, texts, tokenizer
from interconnected_ai.bench.growth.verb import Verb
from interconnected_ai.config import CorpusConfig, DataConfig
from interconnected_ai.data import BatchPlan, Corpus, Splits, Texts, load_splits, report_on, survey, write_rows
from interconnected_ai.text import Tokenizer, language_of, sentences, terms

Call = Callable[[], object]


def _files(num_branches: int, per_branch: int, folder: Path) -> Call:
    """One file a branch."""
    for number in range(num_branches):
        lines = (
            json.dumps({"text": text, "label": LABELS[row % len(LABELS)]})
            for row, text in enumerate(texts(per_branch, seed=number))
        )
        (folder / f"{number}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    config = DataConfig.from_mapping(
        {"branches": [{"name": f"branch-{n}", "path": str(folder / f"{n}.jsonl")} for n in range(num_branches)]}
    )
    return lambda: load_splits(config)


def _table(num_branches: int, num_rows: int, folder: Path) -> Call:
    """One table with a column a branch."""
    columns = [f"branch-{number}" for number in range(num_branches)]
    lines = (
        json.dumps({"text": text, **{name: LABELS[(row + n) % len(LABELS)] for n, name in enumerate(columns)}})
        for row, text in enumerate(texts(num_rows))
    )
    (folder / "table.jsonl").write_text("\n".join(lines), encoding="utf-8")
    table = {"path": str(folder / "table.jsonl"), "labels": {name: name for name in columns}}
    config = DataConfig.from_mapping({"table": table})
    return lambda: load_splits(config)


def _report(num_branches: int, per_branch: int) -> Call:
    splits = Splits(rows(num_branches, per_branch), rows(num_branches, 9, seed=1), rows(num_branches, 9, seed=2))
    return lambda: (splits.specs(), report_on(splits))


def _batches(num_branches: int, per_branch: int) -> Call:
    every = rows(num_branches, per_branch)
    return lambda: BatchPlan.for_rows(every, 4096, 0).epoch(1)


def _survey(unit: str, text: str, folder: Path) -> Call:
    (folder / "text.txt").write_text(text, encoding="utf-8")
    config = CorpusConfig.from_mapping(
        {"paths": [str(folder / "text.txt")], "unit": unit, "validation_fraction": 0.0, "test_fraction": 0.0}
    )
    return lambda: survey(Texts.of_config(config))


def _corpus(count: int, folder: Path) -> Call:
    given = Texts.of_documents(texts(count, words=60))
    words = tokenizer()
    return lambda: Corpus.prepare(given, words, folder / "corpus")


def _write(count: int, folder: Path) -> Call:
    given = texts(count)
    return lambda: write_rows(folder / "rows.jsonl", given, ["first"] * count)


def _train_tokenizer(count: int) -> Call:
    given = texts(count, words=40)
    return lambda: Tokenizer.train(given, 500)


def _encode(count: int) -> Call:
    given = texts(count, words=40)
    return lambda: np.concatenate(tokenizer().encode_batch(given))


def _encode_one(count: int) -> Call:
    given = " ".join(texts(count, words=40))
    return lambda: tokenizer().encode(given)


def _words_of(count: int) -> Call:
    given = " ".join(texts(count, words=40))
    return lambda: (sentences(given), terms(given), language_of(given))


VERBS = (
    Verb("data", "read rows", "branches, a file each", 60, lambda n, to: _files(n, 30, to)),
    Verb("data", "read rows", "rows of a branch", 4000, lambda n, to: _files(2, n, to)),
    Verb("data", "read rows", "branches, one table", 60, lambda n, to: _table(n, 300, to)),
    Verb("data", "report on rows", "branches", 40, lambda n, to: _report(n, 30)),
    Verb("data", "report on rows", "rows", 2000, lambda n, to: _report(2, n)),
    Verb("data", "plan batches", "branches", 60, lambda n, to: _batches(n, 60)),
    Verb("data", "plan batches", "rows", 30_000, lambda n, to: _batches(2, n)),
    Verb("data", "write rows", "rows", 20_000, _write),
    Verb(
        "data",
        "survey",
        "lines without a blank one",
        12_000,
        lambda n, to: _survey("paragraph", "\n".join(texts(n)), to),
    ),
    Verb("data", "survey", "paragraphs", 2000, lambda n, to: _survey("paragraph", "\n\n".join(texts(n)), to)),
    Verb("data", "survey", "lines", 2000, lambda n, to: _survey("line", "\n".join(texts(n)), to)),
    Verb("data", "survey", "one file's text", 12_000, lambda n, to: _survey("file", "\n".join(texts(n)), to)),
    Verb("data", "prepare a corpus", "documents", 600, _corpus, once=True),
    Verb("text", "train a tokenizer", "texts", 2000, lambda n, to: _train_tokenizer(n)),
    Verb("text", "encode", "texts", 800, lambda n, to: _encode(n)),
    Verb("text", "encode", "length of one text", 500, lambda n, to: _encode_one(n)),
    Verb("text", "sentences, terms, language", "length of one text", 2000, lambda n, to: _words_of(n)),
)
