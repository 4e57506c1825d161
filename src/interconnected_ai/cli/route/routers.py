"""Routers on the command line: `--rules FILE`, `--router FOLDER`, `--fallback NAME`, asked in this order."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from interconnected_ai.errors import ConfigError

if TYPE_CHECKING:
    from interconnected_ai.data import Rows
    from interconnected_ai.routing import Cascade, Example
    from interconnected_ai.types import Encode, Router

F = TypeVar("F", bound=Callable[..., Any])

NOBODY = "nobody"


def router_options(function: F) -> F:
    """--rules FILE, --router FOLDER (repeatable), --fallback NAME."""
    rules = click.option(
        "--rules", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Rules in YAML, asked first."
    )
    router = click.option(
        "--router", "routers", multiple=True, type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
        help="A router that `iai route train` wrote; repeat for several, asked in this order.",
    )  # fmt: skip
    fallback = click.option(
        "--fallback",
        metavar="EXPERT",
        help="Who answers where nobody is sure; default: that of the rules, else nobody.",
    )
    return rules(router(fallback(function)))


def routers_in(rules: Path | None, folders: Sequence[Path]) -> "list[Router]":
    """The routers in the order in which they are asked. Raises `UsageError` where none is named."""
    if rules is None and not folders:
        raise click.UsageError("name a router: --rules FILE, --router FOLDER, or both")
    found: list[Router] = []
    if rules is not None:
        from interconnected_ai.routing import RuleRouter

        found.append(RuleRouter.from_file(rules))
    encoders: dict[str, Encode] = {}
    return [*found, *(_saved_router(folder, encoders) for folder in folders)]


def cascade_of(routers: "Sequence[Router]", fallback: str | None) -> "Cascade":
    """The routers one after another. fallback: None for that of the rules, or "nobody"."""
    from interconnected_ai.routing import Cascade, RuleRouter

    books = [router.book for router in routers if isinstance(router, RuleRouter)]
    named = fallback or next((book.default for book in books if book.default), None) or NOBODY
    fallbacks = {expert: stand_in for book in books for expert, stand_in in book.fallbacks}
    return Cascade(routers, named, fallbacks=fallbacks)


def encoder_named(name: str | None) -> "Encode":
    """The encoder with this name, folder or hub id, as routers use it; None is the embedded English one."""
    from interconnected_ai.branches import Encoder, TextVectors

    return TextVectors(Encoder.load(name))


def examples_in(rows: "Rows", outside: Sequence[str] = ()) -> "list[Example]":
    """The rows as requests; those without a label in "expert", and the texts outside, are nobody's business."""
    from interconnected_ai.routing import Example

    experts = list(rows.labels["expert"])
    topics = list(rows.labels["topic"]) if "topic" in rows.labels else [None] * len(rows)
    own = [Example(*each) for each in zip(rows.texts, experts, topics, strict=True)]
    return [*own, *(Example(text, None) for text in outside)]


def table_of_requests(path: Path, text: str, label: str, topic: str | None) -> "Rows":
    """A table of requests: columns of the text, of who should answer, and perhaps of the topic. Raises `DataError`."""
    from interconnected_ai.data import read_rows

    return read_rows(path, text, {"expert": label, **({} if topic is None else {"topic": topic})})


def texts_outside(path: Path | None, text: str) -> list[str]:
    """The texts of a file that are nobody's business."""
    if path is None:
        return []
    from interconnected_ai.data import read_texts

    return list(read_texts(path, text).texts)


def _saved_router(folder: Path, encoders: "dict[str, Encode]") -> "Router":
    """The router in a folder, with its encoder; routers of one encoder share it."""
    from interconnected_ai.routing import LearnedRouter, SemanticRouter, encoder_of_router, kind_of_router

    kinds: dict[str, type[LearnedRouter] | type[SemanticRouter]] = {
        "learned": LearnedRouter,
        "semantic": SemanticRouter,
    }
    kind, name = kind_of_router(folder), encoder_of_router(folder)
    if kind not in kinds:
        raise ConfigError(f"{folder} holds a router of the kind {kind!r}; known are {', '.join(kinds)}")
    if name not in encoders:
        encoders[name] = encoder_named(name)
    return kinds[kind].from_pretrained(folder, encoders[name])
