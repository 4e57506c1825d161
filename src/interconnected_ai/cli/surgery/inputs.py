"""What surgery's commands read from the command line: numbers, ranges, texts, models."""

import json
from pathlib import Path
from typing import Any

from interconnected_ai.errors import ConfigError, DataError

SUFFIXES = (".txt", ".md", ".rst", ".py", ".jsonl")


def numbers(text: str, what: str) -> list[int]:
    """ "80-100,3" → 80 … 100, 3."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise ConfigError(f"{what} {text!r}: needs numbers and ranges, such as 77 or 80-100,3")
        found += range(int(first), int(last if dash else first) + 1)
    if not found:
        raise ConfigError(f"{what} {text!r} names none; the first number of a range is the smaller one")
    return list(dict.fromkeys(found))


def texts_in(path: Path) -> list[str]:
    """The texts of a file or folder: each .txt, .md, .rst or .py file is one, each line of a .jsonl file its "text"."""
    files = sorted(each for each in path.rglob("*") if each.suffix in SUFFIXES) if path.is_dir() else [path]
    texts = [text for file in files for text in _texts_of(file) if text.strip()]
    if not texts:
        raise DataError(f"{path} holds no text; needs files that end in {', '.join(SUFFIXES)}")
    return texts


def open_model(model: str) -> Any:
    """The model, in memory, with its tokenizer."""
    from interconnected_ai import surgery

    return surgery.open(model)


def _texts_of(file: Path) -> list[str]:
    try:
        content = file.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 (byte {error.start}); convert it first") from error
    if file.suffix != ".jsonl":
        return [content]
    texts = []
    for number, line in enumerate(content.splitlines(), 1):
        try:
            texts.append(str(json.loads(line)["text"]))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(f'{file}, line {number}: needs a JSON object with the key "text"') from error
    return texts
