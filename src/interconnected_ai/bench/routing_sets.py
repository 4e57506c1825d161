"""Public sets of labelled requests as routing problems: each domain of theirs is an expert, each intent a topic."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from interconnected_ai.data import read_rows
from interconnected_ai.errors import DataError
from interconnected_ai.routing import Example
from interconnected_ai.text import digest_of, folded

_KEY = b"bench routing"


@dataclass(frozen=True)
class RoutingSet:
    """Requests to learn from, to choose by, and to be asked; those of no expert are nobody's business.

    cut: in words, which rows were left out and why.
    """

    name: str
    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    cut: tuple[str, ...] = ()

    def on_validation(self) -> "RoutingSet":
        """The same without its test rows: half of the validation rows choose, the other half is asked."""
        halves: tuple[list[Example], list[Example]] = ([], [])
        for each in self.validation:
            halves[digest_of(each.text, _KEY) % 2].append(each)
        return replace(self, validation=tuple(halves[0]), test=tuple(halves[1]))

    def first(self, rows: int) -> "RoutingSet":
        """A part of every side, for a trial: its first rows by a hash of the text."""
        train, validation, test = (_some(side, rows) for side in (self.train, self.validation, self.test))
        return RoutingSet(self.name, train, validation, test, self.cut)


def load_routing_set(folder: Path, name: str) -> RoutingSet:
    """A set of `ROUTING_SETS` in the folder of public data. Raises `DataError` naming the file that is missing."""
    return ROUTING_SETS[name](folder)


def _clinc150(folder: Path) -> RoutingSet:
    content = json.loads(_present(folder / "clinc150" / "data_full.json").read_text(encoding="utf-8"))
    domains = json.loads(_present(folder / "clinc150" / "domains.json").read_text(encoding="utf-8"))
    domain_of = {intent: domain for domain, intents in domains.items() for intent in intents}

    def side(name: str) -> tuple[Example, ...]:
        own = [Example(text, domain_of[intent], intent) for text, intent in content[name]]
        return (*own, *(Example(text, None) for text, _ in content[f"oos_{name}"]))

    return RoutingSet("clinc150", side("train"), side("val"), side("test"))


def _ru_intents(folder: Path) -> RoutingSet:
    def side(name: str) -> list[Example]:
        path = _present(folder / "ru_intents" / f"intents_{name}.csv")
        rows = read_rows(path, "text", {"expert": "scenario", "topic": "label"})
        labels = zip(rows.texts, rows.labels["expert"], rows.labels["topic"], strict=True)
        return [Example(*each) for each in labels if each[1] is not None]

    train, test = side("train"), side("test")
    learnt = {folded(each.text) for each in train}
    unseen = [each for each in test if folded(each.text) not in learnt]
    validation = [each for each in train if digest_of(each.text, _KEY) % 10 == 0]
    rest = [each for each in train if digest_of(each.text, _KEY) % 10]
    cut = f"{len(test) - len(unseen)} test rows whose text is learnt"
    return RoutingSet("ru_intents", tuple(rest), tuple(validation), tuple(unseen), (cut,))


ROUTING_SETS: dict[str, Callable[[Path], RoutingSet]] = {"clinc150": _clinc150, "ru_intents": _ru_intents}


def _some(rows: Sequence[Example], count: int) -> tuple[Example, ...]:
    """So many of the rows, drawn by a hash of their text."""
    return tuple(sorted(rows, key=lambda each: digest_of(each.text, _KEY))[:count])


def _present(path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"no file at {path}; the folder of public data sets is needed, see docs/results/README.md")
    return path
