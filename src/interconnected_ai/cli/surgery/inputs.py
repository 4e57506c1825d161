"""What surgery's commands read from the command line: numbers, ranges, texts, models."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from interconnected_ai.cli.outputs import OutputPath, overwrite_option
from interconnected_ai.errors import ConfigError, DataError

SUFFIXES = (".txt", ".md", ".rst", ".py", ".jsonl")


_MOST_DIGITS = 6  # no model has a million layers, or experts in one


F = TypeVar("F", bound=Callable[..., Any])


def output_options(function: F) -> F:
    """Where the edited model goes; without, nothing is written."""
    return click.option(
        "--output",
        "target",
        type=OutputPath(),
        help="Folder to write.  [default: a dry run, which shows what would change]",
    )(overwrite_option(function))


def numbers(text: str, what: str) -> list[int]:
    """ "80-100,3" → 80 … 100, 3."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        ends = (first, last) if dash else (first, first)
        if not all(end.isdecimal() and len(end) <= _MOST_DIGITS for end in ends):
            raise ConfigError(f"{what} {text!r:.60}: needs numbers and ranges, such as 77 or 80-100,3")
        found += range(int(ends[0]), int(ends[1]) + 1)
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


def domains_in(places: Sequence[Path]) -> dict[str, list[str]]:
    """Domain → texts, each domain called after its file or folder."""
    names = [place.stem or place.resolve().name for place in places]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"two domains would be called {twice[0]!r}; rename one of the files or folders")
    return {name: texts_in(place) for name, place in zip(names, places, strict=True)}


def editable(folder: str) -> Any:
    """The checkpoint, to be edited by its files; a folder with rules, adapters or closed experts is opened in memory."""
    from interconnected_ai.surgery import Checkpoint

    checkpoint = Checkpoint(folder)
    return open_model(folder) if checkpoint.has_side_car else checkpoint


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
    for number, line in enumerate(content.split("\n"), 1):  # a text itself may hold what `splitlines` takes for an end
        if not line.strip():
            continue
        try:
            text = json.loads(line)["text"]
            if not isinstance(text, str):
                raise TypeError(type(text).__name__)
            texts.append(text)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(f'{file}, line {number}: needs a JSON object with text under the key "text"') from error
    return texts
