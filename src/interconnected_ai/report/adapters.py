"""The report of a training of a language model's adapter: what it learnt from, how it went, what it measured in the end."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from interconnected_ai.doctor import Diagnosis, diagnose
from interconnected_ai.report.contents import Section, picture_of
from interconnected_ai.report.missing import Missing
from interconnected_ai.report.pictures import Line, Picture, Table, shown
from interconnected_ai.report.wording import Words
from interconnected_ai.training import AdapterRecord, read_adapter_run

_OF_STEPS = (  # a curve, the words for it, and what it is drawn times
    ("gradient_norm", "gradient", 1.0),
    ("rate/adapter", "adapter_rate", 1000.0),
    ("tokens_per_second", "tokens_speed", 1.0),
)
_FIGURES = ("loss", "perplexity", "bits_per_byte", "accuracy", "margin", "chosen_reward")


@dataclass(frozen=True, eq=False)
class AdapterReport:
    """Everything that the report of an adapter's training shows. diagnosis: None where there is nothing to look at yet."""

    run: AdapterRecord
    missing: tuple[Missing, ...]
    diagnosis: Diagnosis | None

    @property
    def folder(self) -> Path:
        """The training's."""
        return self.run.folder

    @property
    def name(self) -> str:
        """The adapter's."""
        return Path(self.run.config.output).name

    @property
    def finished(self) -> bool:
        """Whether the run has come to its end."""
        return bool(self.run.results)

    @property
    def verdict(self) -> str:
        """As `RunReport` has it."""
        if self.diagnosis is not None and not self.diagnosis.is_healthy:
            return "look"
        return "good" if self.finished and self.diagnosis is not None else "unfinished"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON. The curves themselves are in the run's metrics.jsonl."""
        return {
            "run": str(self.folder),
            "finished": self.finished,
            "verdict": self.verdict,
            "findings": [] if self.diagnosis is None else [asdict(found) for found in self.diagnosis.illnesses],
            "examples": None if self.run.corpus is None else self.run.corpus.facts,
            "results": dict(self.run.results),
        }


def gather_adapter_report(folder: str | Path) -> AdapterReport:
    """Read an adapter's training. Raises what `read_adapter_run` does."""
    run = read_adapter_run(folder)
    missing = [] if run.curves else [Missing("no_figures")]
    if run.failure is not None:
        missing.append(Missing("ended", run.failure.message))
    diagnosis = diagnose(run.folder) if run.curves or run.failure is not None else None
    return AdapterReport(run, tuple(missing), diagnosis)


def adapter_sections(report: AdapterReport, words: Words) -> Iterator[Section]:
    """The page from top to bottom; a section without content is left out."""
    sections = (
        Section(words("measured"), words("measured_means"), tuple(_measured(report, words))),
        Section(words("facts"), "", (_facts(report, words),)),
        Section(words("examples_table"), "", tuple(_examples(report, words))),
        Section(words("curves"), "", tuple(_curves(report, words))),
    )
    return (section for section in sections if section.blocks)


def _measured(report: AdapterReport, words: Words) -> Iterator[Table]:
    results = report.run.results
    fit = results.get("fit")
    held = results.get("test") or (fit.get("validation") if isinstance(fit, Mapping) else None)
    begun = report.run.curve("validation_loss")
    at_first: dict[str, float] | None = None
    if len(begun) and begun.steps[0] == 0:  # the adapter did nothing then
        perplexity = {} if report.run.config.preferences else {"perplexity": math.exp(min(begun.values[0], 700.0))}
        at_first = {"loss": begun.values[0], **perplexity}
    named = [(words("base_alone"), results.get("base") or (at_first if held else None)), (words("with_adapter"), held)]
    rows = [(name, found) for name, found in named if isinstance(found, Mapping)]
    known = [figure for figure in _FIGURES if any(_is_number(found.get(figure)) for _, found in rows)]
    if known:
        columns = ("", *(words(f"figure_{figure}") for figure in known))
        cells = tuple((name, *(_figure(figure, found.get(figure), words) for figure in known)) for name, found in rows)
        yield Table("", columns, cells, frozenset(range(1, len(columns))))


def _figure(figure: str, value: Any, words: Words) -> str:
    if not _is_number(value):
        return "–"
    return words.percent(value, 1) if figure == "accuracy" else words.number(value, 3)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _facts(report: AdapterReport, words: Words) -> Table:
    run, config = report.run, report.run.config
    kind = "text" if config.text is not None else "chats" if config.chats is not None else "preferences"
    beta = None if config.preferences is None else words.short(config.preferences.beta)
    facts = [
        (words("state"), words("finished" if report.finished else "unfinished")),
        (words("adapter_base"), shown(config.base)),
        (words("learns_from"), words(f"learns_{kind}", beta=beta)),
    ]
    if isinstance(count := run.results.get("num_params"), int):
        facts.append((words("adapter_of"), words("adapter_shape", rank=config.adapter.rank, count=words.count(count))))
    fit = run.results.get("fit")
    if isinstance(fit, Mapping):
        facts += [
            (words(name), words.number(fit[key], digits))
            for name, key, digits in (
                ("steps", "steps", 0),
                ("epochs", "epochs", 1),
                ("train_seconds_of", "train_seconds", 1),
            )
            if _is_number(fit.get(key))
        ]
        facts += [(words(key), str(fit[key])) for key in ("device", "precision") if fit.get(key)]
    elif steps := [curve.steps[-1] for curve in run.curves.values() if len(curve)]:
        facts.append((words("steps_so_far"), words.count(max(steps))))
    facts.append((words("seed"), str(config.training.seed)))
    return Table("", (), tuple(facts))


def _examples(report: AdapterReport, words: Words) -> Iterator[Table]:
    corpus = report.run.corpus
    if corpus is None:
        return
    figures = ("num_examples", "num_tokens", "num_counted", "longest")
    rows = tuple(
        (words(f"side_{name}"), *(words.count(side[figure]) for figure in figures))
        for name, side in corpus.facts["sides"].items()
        if side["num_examples"]
    )
    yield Table("", (words("side"), *map(words, figures)), rows, frozenset(range(1, 5)))
    if corpus.remarks:
        told = tuple((remark.name, shown(f"{remark.evidence}. {remark.remedy}", 600)) for remark in corpus.remarks)
        yield Table(words("remarks"), (), told)


def _curves(report: AdapterReport, words: Words) -> Iterator[Picture]:
    run = report.run
    axis = "nats" if run.config.preferences is None else "dpo"
    named = (("loss/task", "train_loss_line"), ("validation_loss", "held_out_loss"))
    losses = [Line(words(word), run.curve(key), at) for at, (key, word) in enumerate(named) if len(run.curve(key))]
    if losses:
        yield picture_of(words, "nats", losses, axis=f"{axis}_axis", span=(0.0, None))
    if len(accuracy := run.curve("preference_accuracy")):
        line = Line(words("held_out_loss"), accuracy, 1)
        yield picture_of(words, "preferred", [line], scale=100.0, span=(None, 100.0), smooth=False, mark_value=50.0)
    named = (("reward_margin", "margin_line"), ("chosen_reward", "chosen_line"))
    rewards = [Line(words(word), run.curve(key), at) for at, (key, word) in enumerate(named) if len(run.curve(key))]
    if rewards:
        yield picture_of(words, "rewards", rewards, caption=words("rewards_means"), smooth=False, mark_value=0.0)
    for key, kind, scale in _OF_STEPS:
        if len(curve := run.curve(key)):
            yield picture_of(words, kind, [Line(words(kind), curve, None)], scale=scale, span=(0.0, None))
