"""Public data sets of labelled texts as their authors publish them, and any folder of a user's own, ready to be measured on."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from interconnected_ai.config import DataConfig
from interconnected_ai.data import Rows, Splits, is_table, read_rows, split_rows
from interconnected_ai.errors import DataError
from interconnected_ai.text import folded

RU_600_LEARNT, RU_600_ASKED = 600, 500


@dataclass(frozen=True)
class TextSet:
    """One branch's rows. validation: empty where the authors have none. outside: test texts that are none of its classes.

    cut: in words, which rows were left out and why.
    """

    name: str
    train: Rows
    validation: Rows
    test: Rows
    outside: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()

    def splits(self) -> Splits:
        """The rows as `iai train` takes them: without a labelled validation set, a part of the training rows is held out."""
        if self.validation.of(self.name)[0]:
            return Splits(self.train, self.validation, self.test)
        usual = DataConfig.model_fields
        share, seed = usual["validation_fraction"].default, usual["split_seed"].default
        held_out, train = split_rows(self.train, [share], seed)
        return Splits(train, Rows.joined([held_out, self.validation]), self.test)

    def with_shots(self, shots: int, seed: int) -> "TextSet":
        """`shots` training rows of each class, all where it has fewer; of the validation rows only those without a label.

        Nothing else is known then: labelled validation rows would be rows to learn from.
        """
        texts, labels = self.train.of(self.name)
        rows_of: dict[str, dict[str, int]] = defaultdict(dict)
        for row, (text, label) in enumerate(zip(texts, labels, strict=True)):
            rows_of[label].setdefault(folded(text), row)
        random = np.random.default_rng(seed)
        chosen = [
            int(row)
            for label in sorted(rows_of)
            for row in random.permutation(list(rows_of[label].values()))[:shots]
        ]  # fmt: skip
        learnt = Rows.of_branch(self.name, [texts[row] for row in chosen], [labels[row] for row in chosen])
        labelled = set(self.validation.rows_of(self.name))
        foreign = self.validation.select(row for row in range(len(self.validation)) if row not in labelled)
        return replace(self, train=learnt, validation=foreign)


def load_text_set(folder: Path, name: str, *, text: str = "text", label: str = "label") -> TextSet:
    """A set of `TEXT_SETS`, or the folder `name` (in `folder`, or by its path) with a table `train`, `test` and perhaps
    `validation`, whose columns are `text` and `label`.

    Raises `DataError` naming the file that is missing.
    """
    if name in TEXT_SETS:
        return TEXT_SETS[name](folder)
    return _own(folder / name, text, label)


def _banking77(folder: Path) -> TextSet:
    train, test = (_read(folder / "banking77" / f"{part}.csv", "banking77", "category") for part in ("train", "test"))
    return TextSet("banking77", train, _none("banking77"), test, cut=_repeated_kept(train, test))


def _clinc150(folder: Path) -> TextSet:
    name = "clinc150"
    content = json.loads(_present(folder / name / "data_full.json").read_text(encoding="utf-8"))
    train, validation, test = (
        Rows.of_branch(name, *zip(*content[part], strict=True)) for part in ("train", "val", "test")
    )
    foreign = [text for text, _ in content["oos_val"]]
    return TextSet(
        name,
        train,
        Rows.joined([validation, Rows(foreign, {name: [None] * len(foreign)})]),
        test,
        outside=tuple(text for text, _ in content["oos_test"]),
        cut=_repeated_kept(train, test),
    )


def _ru_intents(folder: Path) -> TextSet:
    name = "ru_intents"
    train, test = (_read(folder / name / f"intents_{part}.csv", name) for part in ("train", "test"))
    test, cut = _without_repeated(train, test)
    return TextSet(name, train, _none(name), test, cut=cut)


def _ru_600(folder: Path) -> TextSet:
    """600 rows to learn and 500 to be asked, as a user has them who begins."""
    name = "ru-600"
    whole = _ru_intents(folder)
    train, test = (Rows(rows.texts, {name: list(rows.labels[whole.name])}) for rows in (whole.train, whole.test))
    random = np.random.default_rng(0)
    drawn = train.select(random.permutation(len(train))[:RU_600_LEARNT].tolist())
    distinct = Counter(label for _, label in {(folded(t), n) for t, n in zip(*drawn.of(name), strict=True)})
    known = {label for label, count in distinct.items() if count > 1}
    learnt = drawn.select(row for row, label in enumerate(drawn.of(name)[1]) if label in known)
    answerable = test.select(row for row, label in enumerate(test.of(name)[1]) if label in known)
    asked = answerable.select(random.permutation(len(answerable))[:RU_600_ASKED].tolist())
    too_rare = f"of the {len(drawn)} rows drawn, {len(drawn) - len(learnt)} whose class has one text among them"
    return TextSet(name, learnt, _none(name), asked, cut=(*whole.cut, too_rare))


def _rumedtop3(folder: Path) -> TextSet:
    name = "rumedtop3"
    train, validation, test = (
        _read(folder / "rumedbench" / "RuMedTop3" / f"{part}_v1.jsonl", name, "code", "symptoms")
        for part in ("train", "dev", "test")
    )
    return TextSet(name, train, validation, test, cut=_repeated_kept(train, test))


def _own(folder: Path, text: str, label: str) -> TextSet:
    name = folder.resolve().name
    train, test = (_read(_table(folder, part), name, label, text) for part in ("train", "test"))
    validation = _table(folder, "validation", required=False)
    test, cut = _without_repeated(train, test)
    kept = _none(name) if validation is None else _read(validation, name, label, text)
    return TextSet(name, train, kept, test, cut=cut)


TEXT_SETS: Mapping[str, Callable[[Path], TextSet]] = {
    "banking77": _banking77,
    "clinc150": _clinc150,
    "ru_intents": _ru_intents,
    "rumedtop3": _rumedtop3,
    "ru-600": _ru_600,
}


def _read(path: Path | None, name: str, label: str = "label", text: str = "text") -> Rows:
    assert path is not None
    return read_rows(_present(path), text, {name: label})


def _present(path: Path) -> Path:
    if not path.is_file():
        raise DataError(
            f"{path} is missing; a set of {', '.join(TEXT_SETS)} is needed as its authors publish it, any other as a folder "
            "with the tables train and test (train.csv, or of another kind that `iai train` reads)"
        )
    return path


def _table(folder: Path, part: str, *, required: bool = True) -> Path | None:
    """The table of this part, whatever its format."""
    found = [path for path in sorted(folder.glob(f"{part}.*")) if is_table(str(path))]
    return found[0] if found else _present(folder / f"{part}.csv") if required else None


def _none(name: str) -> Rows:
    return Rows([], {name: []})


def _without_repeated(train: Rows, test: Rows) -> tuple[Rows, tuple[str, ...]]:
    """The test rows whose text is not learnt, and a sentence on the others."""
    known = set(map(folded, train.texts))
    kept = test.select(row for row, text in enumerate(test.texts) if folded(text) not in known)
    return kept, _sentence(len(test) - len(kept), "left out")


def _repeated_kept(train: Rows, test: Rows) -> tuple[str, ...]:
    known = set(map(folded, train.texts))
    return _sentence(sum(folded(text) in known for text in test.texts), "kept, as in published figures")


def _sentence(count: int, fate: str) -> tuple[str, ...]:
    return (f"{count} test rows whose text stands in the training rows too: {fate}",) if count else ()
