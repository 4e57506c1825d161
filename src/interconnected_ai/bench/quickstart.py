"""The whole life of a system on text that is on this machine already: train, compare, add a branch, prove the rest."""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from torch import Tensor

from interconnected_ai.bench.baselines import (
    FROZEN,
    TFIDF,
    Score,
    frozen_logistic_regression,
    margin_points,
    score_of_system,
    tfidf_svm,
)
from interconnected_ai.bench.quickstart_texts import QuickstartTexts, english_texts
from interconnected_ai.bench.quickstart_words import ENGLISH, Words
from interconnected_ai.bench.timing import machine
from interconnected_ai.branches import (
    EMBEDDED_ENCODER,
    BranchFit,
    DenseSystem,
    Encoder,
    InterconnectedAISystem,
    fit_branch,
)
from interconnected_ai.config import (
    NO_FIRST_STEPS,
    BranchCard,
    FirstSteps,
    RunConfig,
    SystemConfig,
    TrainingConfig,
    with_first_steps,
)
from interconnected_ai.data import Rows, Splits, write_rows
from interconnected_ai.errors import InterconnectedAIError, StorageError
from interconnected_ai.storage import SYSTEM as SYSTEM_KIND
from interconnected_ai.storage import read_folder, read_json
from interconnected_ai.training import (
    FeatureCache,
    FitResult,
    encoder_by_language,
    evaluate,
    fit,
    owned,
    train_run,
    write_json_safely,
)

TWIN, SYSTEM = "dense_twin", "system"
# Half of the default epochs, and a third of its tokens (words are counted over the whole text): three minutes, not nine.
EPOCHS, D_FF, MAX_SEQ_LEN = 4, 128, 48
Say = Callable[[str], None]


@dataclass(frozen=True)
class Growth:
    """A branch added after training against the same branch trained jointly from scratch.

    new_rows_seconds: the encoder's work on the new branch's rows, which both ways need. first_rows_seconds: that on the other
    branches' rows, which a training from scratch needs as well.
    """

    added: BranchFit
    added_accuracy: float
    joint_accuracy: float
    new_rows_seconds: float
    first_rows_seconds: float
    joint_train_seconds: float
    old_outputs_max_abs_diff: float

    @property
    def added_seconds(self) -> float:
        """Encoding the new branch's rows, the trunk's pass over them, and training adapter and head."""
        return self.new_rows_seconds + self.added.encode_seconds + self.added.train_seconds

    @property
    def joint_seconds(self) -> float:
        """Encoding every branch's rows, and training trunk and branches."""
        return self.first_rows_seconds + self.joint_again_seconds

    @property
    def joint_again_seconds(self) -> float:
        """The same where the other branches' rows are still in the feature cache."""
        return self.new_rows_seconds + self.joint_train_seconds

    @property
    def added_over_joint_time(self) -> float:
        """Share of the time of joint training from scratch."""
        return self.added_seconds / self.joint_seconds

    @property
    def accuracy_gap_points(self) -> float:
        """Points that the added branch is below the jointly trained one."""
        return 100 * (self.joint_accuracy - self.added_accuracy)


@dataclass(frozen=True)
class Quickstart:
    """Everything `iai quickstart` prints. scores: branch → method → figures on the test rows. twin: None without one."""

    folder: Path
    later: str
    encoder: str
    scores: dict[str, dict[str, Score]]
    fit: FitResult
    twin: FitResult | None
    growth: Growth

    @property
    def margins(self) -> dict[str, float]:
        """Points of accuracy above the better of TF-IDF and logistic regression, by branch."""
        return {branch: margin_points(methods) for branch, methods in self.scores.items()}

    @property
    def mean_margin(self) -> float:
        """Over the branches."""
        return mean(self.margins.values())

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "machine": machine(),
            "run": str(self.folder),
            "encoder": self.encoder,
            "scores": {b: {m: asdict(s) for m, s in methods.items()} for b, methods in self.scores.items()},
            "margin_over_best_baseline_points": {**self.margins, "mean": self.mean_margin},
            "train_seconds": self.fit.train_seconds,
            "encode_seconds": self.fit.cache_seconds,
            **({} if self.twin is None else {"dense_train_seconds": self.twin.train_seconds}),
            **growth_to_dict(self.growth),
        }


def quickstart_config(
    folder: Path, names: Sequence[str], *, epochs: int = EPOCHS, seed: int = 0, d_ff: int = D_FF
) -> RunConfig:
    """The defaults of `iai train` but for short texts and few epochs, for the sake of three minutes."""
    data = [
        {"name": name, "path": str(_data_file(folder, name, "train")),
         "validation": str(_data_file(folder, name, "validation")), "test": str(_data_file(folder, name, "test"))}
        for name in names
    ]  # fmt: skip
    return RunConfig.from_mapping(
        {
            "output": str(folder),
            "system": {"d_ff": d_ff, "max_seq_len": MAX_SEQ_LEN},
            "data": {"branches": data},
            "training": {"epochs": epochs, "feature_cache": str(folder / "features"), "seed": seed},
        }
    )


def run_quickstart(
    folder: Path,
    *,
    texts: QuickstartTexts | None = None,
    words: Words = ENGLISH,
    twin: bool = False,
    overwrite: bool = False,
    settings: Mapping[str, Any] | None = None,
    say: Say = print,
) -> Quickstart:
    """Train, compare with the baselines, grow, save to `folder`. Raises `StorageError` when the folder is taken, `BusyError`
    while a training or another quickstart is at work there.

    texts: docstrings of installed libraries by default. twin: train the dense twin too. settings: of the training, other than
    the quickstart's own.
    """
    with owned(folder):
        return _run_quickstart(folder, texts or english_texts(), words, twin, overwrite, settings or {}, say)


def _run_quickstart(
    folder: Path,
    texts: QuickstartTexts,
    words: Words,
    twin: bool,
    overwrite: bool,
    settings: Mapping[str, Any],
    say: Say,
) -> Quickstart:
    splits = texts.first
    config = quickstart_config(folder, texts.names)
    config = config.with_changes(training={**config.training.to_dict(), **settings})
    _require_free(folder, config, [*texts.names, texts.later_name], overwrite)
    choice = encoder_by_language(splits.train.texts)
    encoder = Encoder.load(choice.base_model_name, max_seq_len=config.system.max_seq_len)
    named = choice.base_model_name or EMBEDDED_ENCODER
    say(words.training.format(count=len(splits.train), names=", ".join(texts.names), encoder=named))
    run = train_run(config, overwrite=True, splits=splits, encoder=encoder)
    _write_data(folder, splits)
    twin_fit = None
    scores: dict[str, dict[str, Score]] = {name: {} for name in texts.names}
    if twin:
        say(words.twin)
        dense = DenseSystem.twin_of(run.system)
        twin_fit = fit(dense, splits.train, splits.validation, config.training, folder / "dense_twin")
        scores = {name: {TWIN: score_of_system(dense, splits.test, name)} for name in texts.names}
        shutil.rmtree(folder / "dense_twin", ignore_errors=True)
    say(words.baselines)
    frozen = encoder.without_lora()  # where it has learnt, logistic regression gets what it was
    for name in texts.names:
        scores[name] |= {
            TFIDF: tfidf_svm(splits, name),
            FROZEN: frozen_logistic_regression(splits, name, frozen, features=folder / "features"),
            SYSTEM: score_of_system(run.system, splits.test, name),
        }
    say(words.growing.format(name=texts.later_name, count=len(texts.names) + 1))
    growth = measure_growth(run.system, texts, config.training, folder / "joint", encode_seconds=run.fit.cache_seconds)
    shutil.rmtree(folder / "joint", ignore_errors=True)
    _write_data(folder, texts.later)
    run.system.save_pretrained(folder / "model")
    result = Quickstart(folder, texts.later_name, named, scores, run.fit, twin_fit, growth)
    write_json_safely(folder / "quickstart.json", result.to_dict())
    return result


def measure_growth(
    system: InterconnectedAISystem,
    texts: QuickstartTexts,
    config: TrainingConfig,
    folder: Path,
    *,
    encode_seconds: float,
) -> Growth:
    """Add the branch to a trained system, and train all branches from scratch. The old outputs are compared bit by bit.

    encode_seconds: what encoding the first branches' rows took, which the training from scratch would pay again. Both ways
    share one feature cache, so that the new branch's rows are encoded once, and that time is counted for both.
    """
    splits, later, name = texts.first, texts.later, texts.later_name
    before = _outputs(system, splits.test.texts, system.branch_names)
    started = time.perf_counter()
    cache = _shared_features(system, config, later)
    new_rows_seconds = time.perf_counter() - started
    added = add_later_branch(system, texts, seed=config.seed, cache=cache)
    after = _outputs(system, splits.test.texts, list(before))
    both = Splits(*(Rows.joined([a, b]) for a, b in _pairs(splits, later)))
    encoder = system.encoder.without_lora()  # a training from scratch begins with what it was
    joint = InterconnectedAISystem.from_config(_shape_of(system, both), encoder=encoder, seed=system.seed)
    joint_fit = fit(joint, both.train, both.validation, config, folder)
    return Growth(
        added=added,
        added_accuracy=evaluate(system, later.test)[name].accuracy,
        joint_accuracy=evaluate(joint, later.test)[name].accuracy,
        new_rows_seconds=new_rows_seconds,
        first_rows_seconds=encode_seconds,
        joint_train_seconds=joint_fit.cache_seconds + joint_fit.train_seconds,
        old_outputs_max_abs_diff=max(float((before[n] - after[n]).abs().max()) for n in before),
    )


def add_later_branch(
    system: InterconnectedAISystem, texts: QuickstartTexts, *, seed: int = 0, cache: FeatureCache | None = None
) -> BranchFit:
    """Train the later branch on a finished trunk. cache: encoded rows; what is not in it is encoded."""
    name, later = texts.later_name, texts.later
    system.add_branch(later.specs()[0])
    return fit_branch(
        system,
        name,
        *later.train.of(name),
        validation=later.validation.of(name),
        outside=texts.first.validation.texts[::4],
        config=TrainingConfig(seed=seed),
        encode=None if cache is None else cache.pooled,
    )


def growth_to_dict(growth: Growth) -> dict[str, Any]:
    """The keys of `iai bench grow --json`."""
    return {
        "added_over_joint_time": growth.added_over_joint_time,
        "accuracy_gap_points": growth.accuracy_gap_points,
        "old_outputs_max_abs_diff": growth.old_outputs_max_abs_diff,
        "added_seconds": growth.added_seconds,
        "added_encode_seconds": growth.new_rows_seconds + growth.added.encode_seconds,
        "added_train_seconds": growth.added.train_seconds,
        "joint_seconds": growth.joint_seconds,
        "joint_again_seconds": growth.joint_again_seconds,
        "added_accuracy": growth.added_accuracy,
        "joint_accuracy": growth.joint_accuracy,
    }


def _shared_features(system: InterconnectedAISystem, config: TrainingConfig, later: Splits) -> FeatureCache | None:
    """The run's feature cache with the later branch's rows in it; None where the encoder itself has learnt."""
    if system.encoder.has_lora or config.feature_cache is None:
        return None
    cache = FeatureCache(config.feature_cache, system)
    cache.build([*later.train.texts, *later.validation.texts])
    return cache


def _outputs(system: InterconnectedAISystem, texts: list[str], names: list[str]) -> dict[str, Tensor]:
    return system.logits_of(system.features_of(texts), names)


def _shape_of(system: InterconnectedAISystem, splits: Splits) -> SystemConfig:
    return system.config.with_changes(branches=[spec.to_dict() for spec in splits.specs()])


def _pairs(a: Splits, b: Splits) -> list[tuple[Rows, Rows]]:
    return [(a.train, b.train), (a.validation, b.validation), (a.test, b.test)]


def _write_data(folder: Path, splits: Splits) -> None:
    """The rows as files beside the model, so that `iai evaluate` and anybody's eyes find them."""
    for part, rows in (("train", splits.train), ("validation", splits.validation), ("test", splits.test)):
        for name in rows.branch_names:
            write_rows(_data_file(folder, name, part), *rows.of(name))


def _data_file(folder: Path, name: str, part: str) -> Path:
    return folder.absolute() / "data" / f"{name}-{part}.jsonl"


def _require_free(folder: Path, config: RunConfig, branches: Sequence[str], overwrite: bool) -> None:
    """A second quickstart replaces the first unasked: it can be made again. What anybody has done there since cannot."""
    if overwrite or not (folder / "run.yaml").is_file() or _can_be_made_again(folder, config, branches):
        return
    raise StorageError(
        f"{folder} holds a run with more than this quickstart makes, or another one; choose another folder with --output, or "
        "use --overwrite to replace it"
    )


def _can_be_made_again(folder: Path, config: RunConfig, branches: Sequence[str]) -> bool:
    """Whether a quickstart of the same rows and settings stands there, and no branch beside its own."""
    if not (folder / "quickstart.json").is_file():
        return False
    try:
        kept = RunConfig.from_file(folder / "run.yaml")
        saved = read_folder(folder / "model", lambda place: read_json(place / "config.json"), kind=SYSTEM_KIND)
    except InterconnectedAIError:
        return False
    names = {BranchCard.from_mapping(card, source=str(folder)).name for card in saved.get("branches", [])}
    _, training = with_first_steps(config.system, config.training, FirstSteps.of(kept.system, kept.training))
    _, kept_training = with_first_steps(kept.system, kept.training, NO_FIRST_STEPS)
    return (kept.data, kept_training) == (config.data, training) and names <= set(branches)
