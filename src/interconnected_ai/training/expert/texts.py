"""Documents for an expert: held-out parts, and the stream of tokens that is trained on."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from interconnected_ai.errors import DataError
from interconnected_ai.storage import atomic_file
from interconnected_ai.text import Tokenizer

_FEW_DOCUMENTS = 40  # fewer than these are cut into pieces before some are held out
_PIECE_CHARACTERS = 4_000
_SUFFIXES = (".txt", ".md", ".rst", ".py", ".jsonl")


@dataclass(frozen=True)
class TextSplits:
    """Documents to train on, to choose weights by, and to measure on once, at the end."""

    train: list[str]
    validation: list[str]
    test: list[str]


def read_texts(paths: Sequence[str], *, column: str = "text") -> list[str]:
    """The documents of text files (.txt, .md, .rst, .py: one each), .jsonl files (one a line) and folders of them.

    Raises `DataError` for a file that is absent, not UTF-8, of another kind, or without text.
    """
    files = [file for path in paths for file in _files(Path(path))]
    return [text for file in files for text in _documents(file, column) if text.strip()]


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.suffix in _SUFFIXES)
        if not found:
            raise DataError(f"the folder {path} holds no text; known endings: {', '.join(_SUFFIXES)}")
        return found
    if not path.is_file():
        raise DataError(f"no file or folder at {path}")
    if path.suffix not in _SUFFIXES:
        raise DataError(f"{path}: unknown ending {path.suffix!r}; known: {', '.join(_SUFFIXES)}")
    return [path]


def _documents(file: Path, column: str) -> list[str]:
    try:
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix != ".jsonl":
            return [text]
        return [json.loads(line)[column] for line in text.split("\n") if line.strip()]
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 (byte {error.start}); convert it, for example with iconv") from error
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise DataError(f"{file}: a line is no JSON object with a key {column!r}: {error}") from error


def split_texts(texts: Sequence[str], *, validation: float, test: float, seed: int) -> TextSplits:
    """Whole documents held out at random; the same text never stands on two sides.

    A few long documents, such as one file, are first cut into pieces at line ends. Raises `DataError` when there is too
    little to hold out.
    """
    distinct = list(dict.fromkeys(text for text in texts if text.strip()))
    if len(distinct) < _FEW_DOCUMENTS:
        distinct = list(dict.fromkeys(piece for text in distinct for piece in _pieces(text)))
    order = np.random.default_rng(seed).permutation(len(distinct)).tolist()
    num_test, num_validation = (max(1, round(share * len(distinct))) if share else 0 for share in (test, validation))
    if len(distinct) <= num_test + num_validation:
        raise DataError(
            f"{len(distinct)} documents are too few to hold some out of; give more text, or files of their own for "
            "validation and test"
        )
    picked = [distinct[number] for number in order]
    held = num_test + num_validation
    return TextSplits(picked[held:], picked[num_test:held], picked[:num_test])


def _pieces(text: str) -> list[str]:
    """A document in pieces of about 4,000 characters, cut at line ends where there are any."""
    pieces, piece = [], ""
    for line in text.splitlines(keepends=True):
        for start in range(0, len(line), _PIECE_CHARACTERS):
            part = line[start : start + _PIECE_CHARACTERS]
            if piece and len(piece) + len(part) > _PIECE_CHARACTERS:
                pieces.append(piece)
                piece = ""
            piece += part
    return [kept for kept in (*pieces, piece) if kept.strip()]


def write_stream(texts: Sequence[str], tokenizer: Tokenizer, path: Path) -> np.ndarray:
    """Tokenize documents into one file, an end token before each and after the last; returns it mapped into memory."""
    dtype = np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.uint32
    ids = tokenizer.encode_batch(texts, end=True)
    stream = np.concatenate([np.array([tokenizer.end_id], dtype), *(np.array(one, dtype) for one in ids)])
    with atomic_file(path) as scratch, scratch.open("wb") as file:
        np.save(file, stream)
    return read_stream(path)


def read_stream(path: Path) -> np.ndarray:
    """A stream that `write_stream` wrote, mapped into memory."""
    stream: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return stream
