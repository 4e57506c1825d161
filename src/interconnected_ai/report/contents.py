"""What stands on the page of a run's report, from top to bottom, whatever it is drawn on: verdict, tables, pictures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from interconnected_ai.doctor import Diagnosis, Illness
from interconnected_ai.report.answers import BranchAnswers, ClassResult
from interconnected_ai.report.findings import finding_in
from interconnected_ai.report.missing import Missing
from interconnected_ai.report.pictures import (
    MOST_LABELLED,
    Grid,
    Line,
    Picture,
    Table,
    draw_confusion,
    draw_lines,
    draw_reliability,
    draw_scope,
    draw_use,
    named,
    shown,
    smoothing,
)
from interconnected_ai.report.records import ExpertUse, RunReport
from interconnected_ai.report.wording import Words
from interconnected_ai.training import FOREIGN_TEXTS, BranchMetrics, Curve


@dataclass(frozen=True)
class Section:
    """A heading, a sentence, and what stands under it in rows."""

    heading: str
    sentence: str
    blocks: tuple[Picture | Table | Grid, ...]


@dataclass(frozen=True)
class Verdict:
    """What to make of the run: good, look or unfinished, its sentence, and of each finding its name and what to know of it."""

    kind: str
    sentence: str
    findings: tuple[tuple[str, tuple[str, ...]], ...]
    unjudged: str = ""


class Reported(Protocol):
    """What every run's report says at its top, whatever the run is of."""

    @property
    def folder(self) -> Path:
        """The run's."""

    @property
    def name(self) -> str:
        """What the page is called after."""

    @property
    def verdict(self) -> str:
        """good, look or unfinished."""

    @property
    def diagnosis(self) -> Diagnosis | None:
        """What the doctor says; None where there is nothing to look at yet."""

    @property
    def missing(self) -> tuple[Missing, ...]:
        """What cannot be shown."""


_MOST_WRONG = 20  # of a branch
_MOST_TEXT = 400  # characters of one


def verdict_of(report: Reported, words: Words) -> Verdict:
    """The doctor's word on the run, in the page's language."""
    illnesses = () if report.diagnosis is None else report.diagnosis.illnesses
    unjudged = () if report.diagnosis is None else report.diagnosis.unjudged
    return Verdict(
        kind=report.verdict,
        sentence=words(f"verdict_{report.verdict}", count=words.count(len(illnesses))),
        findings=tuple(_finding(illness, report, words) for illness in illnesses),
        unjudged=words("unjudged", items=shown("; ".join(unjudged), 600))
        if unjudged and words.language == "en"
        else "",
    )


def _finding(illness: Illness, report: Reported, words: Words) -> tuple[str, tuple[str, ...]]:
    russian = illness.evidence_ru if words.language == "ru" else None
    key = "evidence" if russian is None else "evidence_translated"
    evidence = words(key, evidence=shown(russian or illness.evidence, 1_200))
    name, remedy = finding_in(illness, words.language)
    lines = [evidence, words("remedy", remedy=shown(remedy, 1_200))]
    if illness.settings_to_change:
        changes = ", ".join(f"{setting}: {value}" for setting, value in illness.settings_to_change.items())
        lines.append(words("change", changes=changes, run=shown(str(report.folder), 300)))
    return name, tuple(lines)


def missing_sentences(report: Reported, language: str = "en") -> list[str]:
    """What the report cannot show, in sentences."""
    words = Words(language)
    return [words(missing.kind, detail=shown(missing.detail, 600)) for missing in report.missing]


def sections_of(report: RunReport, words: Words, *, texts: bool = True) -> Iterator[Section]:
    """The page from top to bottom; a section without content is left out. texts: false leaves out those of the data's."""
    results, answers = _results(report, words), report.answers
    names = ", ".join(dict.fromkeys(found.name for found in report.baseline.values())) or words("no_baseline")
    wrong = tuple(_wrong(found, words) for found in answers if found.wrong) if texts else ()
    sections = [
        Section(
            words("results"),
            words("results_mean", baseline=shown(names)) if answers else words("recorded_mean"),
            () if results is None else (results,),
        ),
        Section(words("facts"), "", (_facts(report, words),)),
        Section(words("wrong"), words("wrong_means"), wrong),
        Section(words("per_class"), words("per_class_means"), tuple(_classes(found, words) for found in answers)),
        Section(words("confusion"), "", tuple(block for found in answers for block in _confusion(found, words))),
        Section(
            words("scope"),
            words("scope_means", count=len(FOREIGN_TEXTS)),
            tuple(_scope(found, words) for found in answers),
        ),
        Section(words("calibration"), "", tuple(_reliability(found, words) for found in answers)),
        Section(words("curves"), "", tuple(_curves(report, words))),
        Section(words("experts"), "", tuple(_use(use, words) for use in report.experts if use.steps)),
        Section(words("cost"), words("cost_means") if report.fit else "", (_cost(report, words),)),
    ]
    return (section for section in sections if section.blocks)


def _facts(report: RunReport, words: Words) -> Table:
    system, training = report.config.system, report.config.training
    encoder = words("embedded_encoder") if system.base_model_name is None else shown(system.base_model_name)
    if system.ffn == "moe":
        layers = words(
            "moe_layers", num_layers=system.num_moe_layers, num_experts=system.num_experts, top_k=system.top_k
        )
    else:
        layers = words("dense_layers", num_layers=system.num_moe_layers)
    facts = [
        (words("state"), words("finished" if report.finished else "unfinished")),
        *_origin(report, words),
        (words("encoder"), encoder),
        (words("layers"), layers),
    ]
    if report.num_params:
        counts = {part: words.count(report.num_params[part]) for part in ("total", "encoder", "trunk")}
        facts.append((words("parameters"), words("parameters_of", **counts)))
    facts += _progress(report, words)
    facts += [
        (words("watched"), words(f"watch_{training.watch}")),
        (words("batch"), words.count(training.batch_size)),
        (words("seed"), str(training.seed)),
    ]
    return Table("", (), tuple(facts))


def _origin(report: RunReport, words: Words) -> list[tuple[str, str]]:
    if (origin := report.origin) is None:
        return []
    command = words("by_program") if origin.command is None else shown(origin.command, 600)
    return [
        (words("begun"), words.moment(origin.begun)),
        (words("version"), f"interconnected-ai {shown(origin.version)}"),
        (words("command"), command),
    ]


def _progress(report: RunReport, words: Words) -> list[tuple[str, str]]:
    if report.fit is not None:
        fit = report.fit
        epochs = words("epochs_of", epochs=fit.epochs, most=report.config.training.epochs, best=fit.best_epoch)
        return [(words("steps"), words.count(fit.steps)), (words("epochs"), epochs)]
    last = max((curve.steps[-1] for curve in report.curves.values()), default=0)
    return [(words("steps_so_far"), words.count(last))]


def _results(report: RunReport, words: Words) -> Table | None:
    """A row per branch: what was measured now, or else what the run recorded."""
    if report.answers:
        columns: tuple[str, ...] = ("branch", "classes", "train_rows", "test_rows", "accuracy_column", "f1_column",
                   "ece_before", "ece_after", "temperature", "answered", *_BASELINE[: 2 * bool(report.baseline)])  # fmt: skip
        rows = [
            (
                shown(found.name, 40),
                words.count(found.card.spec.num_classes),
                words.count(report.num_train[found.name]),
                *_scores(found.metrics, words, words.percent(found.before.calibration_error)),
                words.number(found.card.temperature, 3),
                words.percent(found.metrics.answered),
                *_baseline(report, found.name, words),
            )
            for found in report.answers
        ]
    elif report.recorded:
        columns = ("branch", "test_rows", "accuracy_column", "f1_column", "ece_column", "answered",
                   *_BASELINE[: 2 * bool(report.baseline)])  # fmt: skip
        rows = [
            (
                shown(name, 40),
                *_scores(metrics, words),
                words.percent(metrics.answered),
                *_baseline(report, name, words),
            )
            for name, metrics in report.recorded.items()
        ]
    else:
        return None
    return Table("", tuple(words(c) for c in columns), tuple(rows), frozenset(range(1, len(columns))))


_BASELINE = ("baseline_accuracy", "baseline_f1")


def _baseline(report: RunReport, branch: str, words: Words) -> tuple[str, ...]:
    """The cells of the baseline beside a branch; none where no branch has one."""
    found = report.baseline.get(branch)
    shares = (None, None) if found is None else (found.accuracy, found.macro_f1)
    return tuple(words.percent(share) for share in shares) if report.baseline else ()


def _scores(metrics: BranchMetrics, words: Words, *before: str) -> tuple[str, ...]:
    return (
        words.count(metrics.num_rows), words.percent(metrics.accuracy), words.percent(metrics.macro_f1), *before,
        words.percent(metrics.calibration_error),
    )  # fmt: skip


def _curves(report: RunReport, words: Words) -> Iterator[Picture]:
    curves, training = report.curves, report.config.training
    yield from _loss(report, words)
    yield from _validation_loss(report, words)
    yield from _accuracy(report, words)
    if report.experts and "loss/balance" in curves:
        yield picture_of(
            words, "balance", [Line("balance", curves["loss/balance"], None)], span=(0.98, 1.05),
            caption=words("balance_means", weight=training.balance_loss_weight), mark_value=1.0,
        )  # fmt: skip
    entropies = [
        Line(words("layer", layer=use.layer), curves[key], use.layer)
        for use in report.experts
        if (key := f"routing/layer{use.layer}/entropy") in curves
    ]
    if entropies:
        yield picture_of(words, "entropy", entropies, span=(0.9, 1.01), mark_value=1.0)
    if "gradient_norm" in curves:
        yield picture_of(
            words, "gradient", [Line("norm", curves["gradient_norm"], None)], span=(0.0, None),
            caption=words("clip", clip=training.gradient_clip), mark_value=training.gradient_clip,
        )  # fmt: skip
    rates = [
        Line(words(key) if words.has(key := f"rate_{name}") else name, curve, number)
        for number, (name, curve) in enumerate(report.curves_of("rate").items())
    ]
    if rates:
        yield picture_of(words, "rates", rates, scale=1000.0, span=(0.0, None), smooth=False)
    if "rows_per_second" in curves:
        yield picture_of(words, "speed", [Line("speed", curves["rows_per_second"], None)], span=(0.0, None))


def _loss(report: RunReport, words: Words) -> Iterator[Picture]:
    lines, rest, note = _branch_lines(report, "train_loss", words, high_is_bad=True)
    if "loss/task" in report.curves:
        lines.append(Line(words("total"), report.curves["loss/task"], None))
    if not lines:
        return
    weighted = words("total_means") if report.config.training.class_weights != "none" else ""
    yield picture_of(words, "loss", lines, rest=rest, span=(0.0, None), caption=f"{note} {weighted}")


def _validation_loss(report: RunReport, words: Words) -> Iterator[Picture]:
    lines, rest, note = _branch_lines(report, "validation_loss", words, high_is_bad=True)
    if lines:
        yield picture_of(
            words, "validation_loss", lines, rest=rest, span=(0.0, None), smooth=False,
            caption=f"{words('every_epoch')} {note}",
        )  # fmt: skip


def _accuracy(report: RunReport, words: Words) -> Iterator[Picture]:
    lines, rest, note = _branch_lines(report, "accuracy", words, high_is_bad=False)
    if len(lines) > 1 and "accuracy/mean" in report.curves:
        lines.append(Line(words("mean"), report.curves["accuracy/mean"], None))
    if not lines:
        return
    best = None if report.fit is None else report.fit.best_epoch
    epochs = report.curves.get("epoch", Curve())
    step = next((s for s, epoch in zip(epochs.steps, epochs.values, strict=True) if epoch == best), None)
    kept = words("every_epoch") if step is None else words("best_epoch", epoch=best)
    yield picture_of(
        words, "accuracy", lines, rest=rest, scale=100.0, span=(None, 100.0), smooth=False, mark_step=step,
        caption=f"{kept} {note}",
    )  # fmt: skip


def _branch_lines(
    report: RunReport, prefix: str, words: Words, *, high_is_bad: bool
) -> tuple[list[Line], list[Curve], str]:
    """A line for each branch; of many branches the worst, the others without names, and a sentence that says so."""
    curves = {name: curve for name, curve in report.curves_of(prefix).items() if f"{prefix}/{name}" != "accuracy/mean"}
    names = named(curves, high_is_bad=high_is_bad)
    rest = [curve for name, curve in curves.items() if name not in names]
    note = words("most_lines", count=len(curves), named=len(names)) if rest else ""
    # A branch has the same colour in every drawing, though its first row may come later than others'.
    number = {name: at for at, name in enumerate(sorted({*report.curves_of("train_loss"), *curves}))}
    return [Line(name, curves[name], number[name]) for name in names], rest, note


def picture_of(
    words: Words,
    kind: str,
    lines: Sequence[Line],
    *,
    axis: str | None = None,
    caption: str = "",
    rest: Sequence[Curve] = (),
    scale: float = 1.0,
    span: tuple[float | None, float | None] = (None, None),
    smooth: bool = True,
    mark_step: int | None = None,
    mark_value: float | None = None,
) -> Picture:
    """Curves of one kind: a key of `wording`, whose axis is `KIND_axis` unless another is named."""
    window = smoothing([line.curve for line in lines]) if smooth else 1
    noise = "" if not smooth else words("smoothed", window=window) if window > 1 else words("plain")
    draw = partial(
        draw_lines, lines, x=words("step"), y=words(axis or f"{kind}_axis"), words=words, rest=rest, scale=scale, window=window,
        span=span, mark_step=mark_step, mark_value=mark_value,
    )  # fmt: skip
    return Picture(words(kind), " ".join(f"{noise} {caption}".split()), "half", draw)


def _use(use: ExpertUse, words: Words) -> Picture:
    late = 100 * use.shares[:, -max(1, len(use.steps) // 10) :].mean(axis=1)
    caption = words("use_means", even=100 / len(use.shares), most=late.max(), least=late.min())
    return Picture(words("use_of", layer=use.layer), caption, "whole", partial(draw_use, use, words))


def _wrong(answers: BranchAnswers, words: Words) -> Table:
    """The surest wrong answers."""
    doubtful = sum(wrong.doubtful for wrong in answers.wrong)
    title = words(
        "wrong_of", branch=shown(answers.name, 40), wrong=words.count(len(answers.wrong)),
        rows=words.count(answers.metrics.num_rows), doubtful=words.count(doubtful),
    )  # fmt: skip
    columns = tuple(words(key) for key in ("text", "label", "answer", "confidence", "given", "doubt"))
    rows = tuple(
        (
            shown(wrong.text, _MOST_TEXT), shown(wrong.label, 120), shown(wrong.answer, 120),
            words.percent(wrong.confidence, 1), words.percent(wrong.given, 1), words("doubt") if wrong.doubtful else "",
        )
        for wrong in answers.wrong[:_MOST_WRONG]
    )  # fmt: skip
    return Table(title, columns, rows, frozenset({3, 4}), wide=frozenset({0}))


def _classes(answers: BranchAnswers, words: Words) -> Table:
    columns = ("class", "rows", "precision_column", "recall_column", "class_f1", "confused_with")
    rows = tuple(_class_cells(found, words) for found in answers.classes)
    return Table(shown(answers.name, 40), tuple(map(words, columns)), rows, frozenset({1, 2, 3, 4}))


def _class_cells(found: ClassResult, words: Words) -> tuple[str, ...]:
    label, count = found.confused_with or ("", 0)
    confused = words("confused_count", label=shown(label, 120), count=words.count(count)) if count else "–"
    shares = (words.percent(share, 1) for share in (found.precision, found.recall, found.f1))
    return (shown(found.label, 120), words.count(found.num_rows), *shares, confused)


def _confusion(answers: BranchAnswers, words: Words) -> Iterator[Picture | Table | Grid]:
    many = answers.card.spec.num_classes > MOST_LABELLED
    caption = words("confusion_many", count=answers.card.spec.num_classes) if many else words("confusion_counts")
    yield Picture(shown(answers.name, 40), caption, "third", partial(draw_confusion, answers, words))
    if not many:
        return
    title = words("pairs", branch=shown(answers.name, 30))
    pairs = answers.confused_pairs(_MOST_WRONG)
    if not pairs:
        yield Table(title, (), ((words("no_pairs"),),), width="half")
        return
    rows = tuple(
        (shown(p.label, 120), shown(p.answer, 120), words.count(p.num_rows), words.percent(p.share, 0)) for p in pairs
    )
    columns = (words("true_axis"), words("answer_axis"), words("rows"), words("share"))
    yield Table(title, columns, rows, frozenset({2, 3}), width="half")
    yield Grid(
        title=words("grid", branch=shown(answers.name, 40)),
        corner=words("grid_corner"),
        names=tuple(shown(label, 120) for label in answers.card.spec.labels),
        counts=answers.confusion,
        caption=words("grid_means"),
    )


def _scope(answers: BranchAnswers, words: Words) -> Picture:
    refused = {kind: words.percent(share, 1) for kind, share in answers.scope.to_dict().items()}
    caption = words("scope_at", threshold=answers.scope.threshold, **refused)
    return Picture(shown(answers.name, 40), caption, "third", partial(draw_scope, answers.scope, words))


def _reliability(answers: BranchAnswers, words: Words) -> Picture:
    caption = words(
        "reliability_means", num_rows=words.count(answers.metrics.num_rows), temperature=answers.card.temperature
    )
    return Picture(shown(answers.name, 40), caption, "third", partial(draw_reliability, answers, words))


def _cost(report: RunReport, words: Words) -> Table:
    cost = report.cost
    device = cost.device or words("asked_device", device=report.config.training.device)
    facts: list[tuple[str, float | str | None]] = [
        ("device", device), ("precision", cost.precision), ("cache_seconds", cost.cache_seconds),
        ("train_seconds", cost.train_seconds), ("seconds", cost.seconds), ("rows_per_second", cost.rows_per_second),
        ("usd_per_hour", cost.usd_per_hour),
    ]  # fmt: skip
    rows = [
        (words(key), value if isinstance(value, str) else words.number(value))
        for key, value in facts
        if value is not None
    ]
    if cost.usd is not None:
        rows.append((words("usd"), words.number(cost.usd, 4 if cost.usd < 1 else 2)))
    return Table("", (), tuple(rows))
