"""Checks of the rows: labels, classes, texts that stand on both sides, texts that are too long."""

from collections import Counter
from collections.abc import Callable

from interconnected_ai.data import Remark, Rows, Splits
from interconnected_ai.doctor import thresholds as limit
from interconnected_ai.doctor.ahead import Ahead, Check
from interconnected_ai.text import folded
from interconnected_ai.training import encoder_by_language, language_remark, reads_english_only


def _labels_there(ahead: Ahead) -> Check | None:
    name = "labels there"
    if ahead.splits is None:
        return None
    known = {spec.name: set(spec.labels) for spec in ahead.config.system.branches}
    foreign = _foreign_labels(ahead.splits, known)
    if foreign:
        told = "; ".join(f"{where} of {branch} has {label!r}" for where, branch, label in foreign[:3])
        more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
        remedy = "labels that are not learnt cannot be answered: put them right, or give training rows of these classes"
        return Check(name, "fails", f"{told}{more}: unknown to the branch", remedy)
    train = ahead.splits.train
    if never := {
        b: sorted(labels - set(train.of(b)[1])) for b, labels in known.items() if labels - set(train.of(b)[1])
    }:
        told = ", ".join(f"{labels[0]!r} of {branch}" for branch, labels in never.items())
        return Check(
            name, "warning", f"no training rows for {told}", "give some, or take the class out of system.branches"
        )
    if found := _remarks(ahead, name):
        return _warning(name, found)
    return Check(name, "ok", "; ".join(f"{r.name}: {r.num_train} rows, {r.num_classes} classes" for r in ahead.reports))


def _foreign_labels(splits: Splits, known: dict[str, set[str]]) -> list[tuple[str, str, str]]:
    """(where, branch, label) of each label that a branch does not have."""
    parts: dict[str, Rows] = {"training": splits.train, "validation": splits.validation, "test": splits.test}
    return [
        (where, branch, label)
        for where, part in parts.items()
        for branch in part.branch_names
        for label in sorted(set(part.of(branch)[1]) - known.get(branch, set()))
    ]


def _labels_agree(ahead: Ahead) -> Check | None:
    name = "labels agree"
    if ahead.splits is None:
        return None
    texts = len(set(map(folded, ahead.splits.train.texts)))
    told = f"each of {texts} training texts has one label for each branch, and the held-out ones too"
    return _warning(name, found) if (found := _remarks(ahead, name)) else Check(name, "ok", told)


def _labels_distinct(ahead: Ahead) -> Check | None:
    name = "labels distinct"
    if ahead.splits is None:
        return None
    found = _remarks(ahead, name)
    return _warning(name, found) if found else Check(name, "ok", "no two classes of a branch look alike")


def _rows_as_written(ahead: Ahead) -> Check | None:
    name = "rows as written"
    if ahead.splits is None:
        return None
    found = _remarks(ahead, name)
    return _warning(name, found) if found else Check(name, "ok", "every text was read as the file has it")


def _remarks(ahead: Ahead, name: str) -> list[Remark]:
    return [remark for remark in ahead.remarks if remark.name == name]


def _warning(name: str, remarks: list[Remark]) -> Check:
    told = "; ".join(remark.evidence for remark in remarks)
    return Check(name, "warning", told, "; ".join(dict.fromkeys(remark.remedy for remark in remarks)))


def _classes_large_enough(ahead: Ahead) -> Check | None:
    name, small = "classes large enough", []
    if ahead.splits is None:
        return None
    for branch in ahead.splits.train.labels:
        counts = Counter(ahead.splits.train.of(branch)[1])
        small += [(count, label, branch) for label, count in counts.items() if count < limit.CLASS_ROWS.value]
    if small:
        told = ", ".join(f"{label!r} of {branch} has {count}" for count, label, branch in sorted(small)[:5])
        more = f" and {len(small) - 5} more" if len(small) > 5 else ""
        remedy = f"give each at least {limit.CLASS_ROWS.value:.0f} training rows, or merge it with another class"
        return Check(name, "warning", f"{told}{more}", remedy)
    spans = "; ".join(f"{r.name}: {r.smallest_class[1]} to {r.largest_class[1]} rows a class" for r in ahead.reports)
    return Check(name, "ok", spans)


def _classes_balanced(ahead: Ahead) -> Check | None:
    name = "classes balanced"
    if not ahead.reports:
        return None
    ratios = {r.name: r.largest_class[1] / r.smallest_class[1] for r in ahead.reports}
    told = ", ".join(f"{branch} {ratio:.1f} : 1" for branch, ratio in ratios.items())
    lopsided = max(ratios.values()) > limit.IMBALANCE.value
    if lopsided and ahead.config.training.class_weights == "none":
        changes = {"training.class_weights": "balanced"}
        remedy = 'set class_weights to "balanced", or rare classes are hardly learnt'
        return Check(name, "warning", f"{told}, unweighted", remedy, changes)
    return Check(name, "ok", told + (", weighted by 1/√count" if lopsided else ""))


def _no_text_on_both_sides(ahead: Ahead) -> Check | None:
    name = "no text in two splits"
    if not ahead.reports:
        return None
    leaks = {r.name: (r.leaked, r.num_validation + r.num_test) for r in ahead.reports if r.leaked}
    if leaks:
        told = ", ".join(
            f"{branch}: {n} of {rows} held-out rows are learnt from too" for branch, (n, rows) in leaks.items()
        )
        remedy = "take them out of one of the files: figures on them say nothing, temperatures come out wrong"
        return Check(name, "warning", told, remedy)
    repeats = sum(r.duplicates for r in ahead.reports)
    return Check(
        name, "ok", "no held-out text is learnt from" + (f"; {repeats} training rows repeat others" if repeats else "")
    )


def _rows_held_out(ahead: Ahead) -> Check | None:
    name = "rows held out"
    if not ahead.reports:
        return None
    without = [r.name for r in ahead.reports if not r.num_validation]
    if without:
        told = f"no validation rows for {', '.join(without)}: nothing to stop by, and confidence stays uncalibrated"
        return Check(name, "warning", told, "give a validation file, or more rows, or raise data.validation_fraction")
    return Check(
        name, "ok", "; ".join(f"{r.name}: {r.num_validation} validation, {r.num_test} test" for r in ahead.reports)
    )


def _texts_fit(ahead: Ahead) -> Check | None:
    name, longest, lengths = "texts fit max_seq_len", ahead.max_seq_len, sorted(ahead.lengths)
    if not lengths:
        return None
    cut = sum(length > longest for length in lengths) / len(lengths)
    guessed = "" if ahead.encoder is not None else ", guessed from their characters"
    told = f"{cut:.1%} of {len(lengths)} texts have more than {longest} tokens, the longest {lengths[-1]}{guessed}"
    if cut <= limit.CUT_TEXTS.value:
        return Check(name, "ok", told)
    wanted = -(-lengths[int(0.99 * (len(lengths) - 1))] // 8) * 8
    possible = wanted if ahead.shape is None else ahead.shape.encoder.max_seq_len
    if possible <= longest:
        remedy = "the encoder has no more positions: choose another, or split the texts"
        return Check(name, "warning", told, remedy)
    changes = {"system.max_seq_len": min(wanted, possible)}
    remedy = f"set max_seq_len to {min(wanted, possible)}" + (": 99 % of the texts fit" if wanted <= possible else "")
    return Check(name, "warning", told, remedy, changes)


def _encoder_reads_language(ahead: Ahead) -> Check | None:
    name, encoder = "encoder reads the language", ahead.config.system.base_model_name
    if not ahead.splits or not reads_english_only(encoder):
        return None
    wanted = encoder_by_language(ahead.splits.train.texts)
    if wanted.base_model_name is None:
        return Check(name, "ok", wanted.reason)
    found = language_remark(encoder, ahead.splits.train.texts)
    assert found is not None  # the same question
    changes = {"system.base_model_name": wanted.base_model_name}
    remedy = f"set base_model_name to {wanted.base_model_name!r}, or leave it out"
    return Check(name, "warning", found.evidence, remedy, changes)


CHECKS: tuple[Callable[[Ahead], Check | None], ...] = (
    _labels_there,
    _labels_agree,
    _labels_distinct,
    _rows_as_written,
    _classes_large_enough,
    _classes_balanced,
    _no_text_on_both_sides,
    _rows_held_out,
    _texts_fit,
    _encoder_reads_language,
)
