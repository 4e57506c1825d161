"""The whole life of a system on text that is on this machine already: train, compare, add a branch, prove the rest."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from interconnected_ai.bench.baselines import Score, frozen_logistic_regression, tfidf_svm
from interconnected_ai.bench.timing import machine
from interconnected_ai.branches import BranchFit, DenseSystem, Encoder, InterconnectedAISystem, fit_branch
from interconnected_ai.config import RunConfig, SystemConfig, TrainingConfig
from interconnected_ai.data import Rows, Splits, docstring_rows, split_rows, write_rows
from interconnected_ai.errors import StorageError
from interconnected_ai.training import FitResult, evaluate, fit, train_run, write_json_safely

FIRST, LATER = ("stdlib", "numpy", "torch"), "sklearn"
MAX_SEQ_LEN = 48
Say = Callable[[str], None]


@dataclass(frozen=True)
class Growth:
    """A branch added after training against the same branch trained jointly from scratch."""

    added: BranchFit
    added_accuracy: float
    joint_accuracy: float
    joint_seconds: float
    old_outputs_max_abs_diff: float

    @property
    def added_seconds(self) -> float:
        """Encoding the new branch's rows and training its adapter and head."""
        return self.added.encode_seconds + self.added.train_seconds

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
    """Everything `iai quickstart` prints. scores: branch → method → accuracy and macro-F1 on the test rows."""

    folder: Path
    scores: dict[str, dict[str, Score]]
    fit: FitResult
    dense_fit: FitResult
    growth: Growth

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "machine": machine(),
            "run": str(self.folder),
            "scores": {b: {m: asdict(s) for m, s in methods.items()} for b, methods in self.scores.items()},
            "train_seconds": self.fit.train_seconds,
            "encode_seconds": self.fit.cache_seconds,
            "dense_train_seconds": self.dense_fit.train_seconds,
            **growth_to_dict(self.growth),
        }


def quickstart_config(folder: Path, *, epochs: int = 4, seed: int = 0, d_ff: int = 128) -> RunConfig:
    """Small experts and few epochs: a few thousand short texts need no more, and two cores are enough."""
    data = [
        {"name": name, "path": str(_data_file(folder, name, "train")),
         "validation": str(_data_file(folder, name, "validation")), "test": str(_data_file(folder, name, "test"))}
        for name in FIRST
    ]  # fmt: skip
    return RunConfig.from_mapping(
        {
            "output": str(folder),
            "system": {"d_ff": d_ff, "max_seq_len": MAX_SEQ_LEN},
            "data": {"branches": data},
            "training": {
                "epochs": epochs, "lr_moe": 1e-3, "lr_head": 3e-3, "head_start_epochs": 20, "patience": None,
                "precision": "float32", "feature_cache": str(folder / "features"), "seed": seed,
            },
        }
    )  # fmt: skip


def library_splits(names: Sequence[str], *, seed: int = 0, test: float = 0.2) -> Splits:
    """Docstrings of the named libraries, one branch each, 20 % to measure on and 10 % to stop by."""
    rows = []
    for name in names:
        found = docstring_rows(name)
        rows.append(Rows.of_branch(name, [row.text for row in found], [row.label for row in found]))
    held, validation, train = split_rows(Rows.joined(rows), [test, 0.1], seed)
    return Splits(train, validation, held)


def run_quickstart(folder: Path, *, overwrite: bool = False, say: Say = print) -> Quickstart:
    """Train, compare with three baselines, grow, save to `folder`. Raises `StorageError` when the folder is taken."""
    config = quickstart_config(folder)
    _require_free(folder, config, overwrite)
    splits = library_splits(FIRST)
    say(f"Training on {len(splits.train):,} docstrings of {', '.join(FIRST)} …")
    encoder = Encoder.load(max_seq_len=MAX_SEQ_LEN)
    run = train_run(config, overwrite=True, splits=splits, encoder=encoder)
    _write_data(folder, splits)
    say("Training the dense twin …")
    dense = DenseSystem.twin_of(run.system)
    dense_fit = fit(dense, splits.train, splits.validation, config.training, folder / "dense_twin")
    say("Baselines …")
    dense_test = evaluate(dense, splits.test)
    scores = {
        name: {
            "tfidf_svm": tfidf_svm(splits, name),
            "frozen_logistic_regression": frozen_logistic_regression(
                splits, name, max_seq_len=MAX_SEQ_LEN, features=folder / "features"
            ),
            "dense_twin": Score(dense_test[name].accuracy, dense_test[name].macro_f1),
            "system": Score(run.test[name].accuracy, run.test[name].macro_f1),
        }
        for name in FIRST
    }
    shutil.rmtree(folder / "dense_twin", ignore_errors=True)
    say(f"Adding the branch {LATER} to the finished trunk, and training all four jointly from scratch to compare …")
    growth = measure_growth(run.system, splits, config.training, folder / "joint", encode_seconds=run.fit.cache_seconds)
    shutil.rmtree(folder / "joint", ignore_errors=True)
    _write_data(folder, library_splits([LATER]))
    run.system.save_pretrained(folder / "model")
    result = Quickstart(folder, scores, run.fit, dense_fit, growth)
    write_json_safely(folder / "quickstart.json", result.to_dict())
    return result


def measure_growth(
    system: InterconnectedAISystem, splits: Splits, config: TrainingConfig, folder: Path, *, encode_seconds: float
) -> Growth:
    """Add the branch to a trained system, and train all branches from scratch. The old outputs are compared bit by bit.

    encode_seconds: what encoding the first branches' rows took, which the training from scratch would pay again.
    """
    later = library_splits([LATER])
    before = _outputs(system, splits.test.texts, system.branch_names)
    added = add_library_branch(system, LATER, later, outside=splits.validation.texts[::4], seed=config.seed)
    after = _outputs(system, splits.test.texts, list(before))
    both = Splits(*(Rows.joined([a, b]) for a, b in _pairs(splits, later)))
    joint = InterconnectedAISystem.from_config(_shape_of(system, both), encoder=system.encoder, seed=system.seed)
    joint_fit = fit(joint, both.train, both.validation, config, folder)
    return Growth(
        added=added,
        added_accuracy=evaluate(system, later.test)[LATER].accuracy,
        joint_accuracy=evaluate(joint, later.test)[LATER].accuracy,
        joint_seconds=encode_seconds + joint_fit.cache_seconds + joint_fit.train_seconds,
        old_outputs_max_abs_diff=max(float((before[n] - after[n]).abs().max()) for n in before),
    )


def add_library_branch(
    system: InterconnectedAISystem, name: str, splits: Splits, *, outside: Sequence[str] = (), seed: int = 0
) -> BranchFit:
    """Train one library's branch on a finished trunk."""
    system.add_branch(splits.specs()[0])
    config = TrainingConfig(epochs=60, patience=10, lr_head=3e-3, seed=seed)
    return fit_branch(
        system, name, *splits.train.of(name), validation=splits.validation.of(name), outside=outside, config=config
    )


def growth_to_dict(growth: Growth) -> dict[str, Any]:
    """The keys of `iai bench grow --json`."""
    return {
        "added_over_joint_time": growth.added_over_joint_time,
        "accuracy_gap_points": growth.accuracy_gap_points,
        "old_outputs_max_abs_diff": growth.old_outputs_max_abs_diff,
        "added_seconds": growth.added_seconds,
        "added_encode_seconds": growth.added.encode_seconds,
        "added_train_seconds": growth.added.train_seconds,
        "joint_seconds": growth.joint_seconds,
        "added_accuracy": growth.added_accuracy,
        "joint_accuracy": growth.joint_accuracy,
    }


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


def _require_free(folder: Path, config: RunConfig, overwrite: bool) -> None:
    """An earlier quickstart may be replaced; anybody else's run may not."""
    kept = folder / "run.yaml"
    if kept.is_file() and not overwrite and RunConfig.from_file(kept).data != config.data:
        raise StorageError(f"{folder} holds another run; choose another folder with --output, or use --overwrite")
