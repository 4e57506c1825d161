"""What a plan is asked for: a system, its data and training, a device, a branch to add later. From flags, a file or a run."""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from interconnected_ai.config import (
    SHORT_TEXT,
    Record,
    RunConfig,
    SystemConfig,
    TrainingConfig,
    expected_tokens,
    first_steps_on,
    merged,
    settings_in,
    with_first_steps,
)
from interconnected_ai.errors import ConfigError, IntegrityError
from interconnected_ai.planner.encoders import EncoderShape
from interconnected_ai.planner.system import SystemShape
from interconnected_ai.storage import read_json


class AddedBranch(Record):
    """The branch that is added to the trained system one day: its classes, and its rows for training."""

    num_classes: Annotated[int, Field(ge=2)] = 20
    num_rows: Annotated[int, Field(ge=1)] = 1000


class PlanRequest(Record):
    """Everything that the figures of a plan depend on.

    num_rows: training rows of all branches together. tokens_per_text: mean length of a text in tokens, special tokens
    included; None takes system.max_seq_len, the most it can be. device: a name of the device table or "this machine".
    num_devices: data-parallel copies. requests_per_batch: texts answered at once at inference. Goals (None: no matter):
    accuracy_floor as a share of 1, added_branches expected per year, budget_usd for the training.
    """

    system: SystemConfig = SystemConfig()
    training: TrainingConfig = TrainingConfig()
    num_rows: Annotated[int, Field(ge=1)] = 10_000
    tokens_per_text: Annotated[int, Field(ge=2)] | None = None
    device: str = "this machine"
    num_devices: Annotated[int, Field(ge=1)] = 1
    precision: str = "auto"
    requests_per_batch: Annotated[int, Field(ge=1)] = 1
    added: AddedBranch = AddedBranch()
    added_branches: Annotated[int, Field(ge=0)] | None = None
    accuracy_floor: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    budget_usd: Annotated[float, Field(gt=0.0)] | None = None
    memory_bytes: Annotated[int, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if not self.system.branches:
            raise ValueError("system.branches is empty; a plan needs at least one branch, such as --branches 3")
        rows, branches = self.num_rows, len(self.system.branches)
        if self.training.batch_size < branches:
            raise ValueError(
                f"training.batch_size={self.training.batch_size} cannot hold a row of each of {branches} branches; raise it"
            )
        parts = self.num_devices * self.training.accumulation_steps
        if self.training.batch_size % parts:
            raise ValueError(
                f"training.batch_size={self.training.batch_size} must be a multiple of num_devices × accumulation_steps = "
                f"{parts}; choose {parts * max(1, round(self.training.batch_size / parts))}"
            )
        if rows < branches:
            raise ValueError(f"num_rows={rows} for {branches} branches: each needs rows of its own")
        if self.tokens_per_text is not None and self.tokens_per_text > self.system.max_seq_len:
            raise ValueError(
                f"tokens_per_text={self.tokens_per_text} is more than system.max_seq_len={self.system.max_seq_len}, at which "
                "texts are cut; raise max_seq_len or lower tokens_per_text"
            )
        return self

    def settled(self) -> tuple[SystemConfig, TrainingConfig]:
        """System and training with the steps in which the encoder learns before all else as a number, as a run on such rows
        settles them.

        Texts of unknown length are taken to be short here, so that no plan promises less work than a run has.
        """
        known = first_steps_on(
            self.system,
            num_rows=self.num_rows,
            num_classes=sum(spec.num_classes for spec in self.system.branches),
            tokens_per_text=self.tokens_of_a_first_text,
        )
        return with_first_steps(self.system, self.training, known)

    def shape(self, encoder: EncoderShape | None = None) -> SystemShape:
        """What a run would build, with the terms that its rows will probably teach it. encoder: in place of looking it up."""
        system, training = self.settled()
        shape = SystemShape.of(system, encoder=encoder, encoder_settled=bool(training.encoder_steps))
        return shape.with_expected_terms(self.num_rows // len(system.branches))

    @property
    def tokens_of_a_first_text(self) -> int:
        """Tokens of a text that the encoder learns first from; unknown ones are the most with which it does by default."""
        left_open = self.tokens_per_text is None and self.training.encoder_steps is None
        return min(SHORT_TEXT, self.mean_tokens) if left_open else self.mean_tokens

    @property
    def mean_tokens(self) -> int:
        """Tokens that the plan counts for a text."""
        return self.tokens_per_text or self.system.max_seq_len

    @property
    def rows_at_once(self) -> int:
        """Rows of one forward pass in training, on one device."""
        return self.training.batch_size // (self.training.accumulation_steps * self.num_devices)

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of one epoch."""
        return -(-self.num_rows // self.training.batch_size)


def request_from(path: str | Path, **changes: Any) -> PlanRequest:
    """The request in a YAML file, in a run's config, or in a run's folder (whose report says how many rows it read).

    changes: settings laid over those of the file, section by section. Raises `ConfigError` for a file that is none of these.
    """
    path = Path(path)
    if path.is_dir():
        return _from_run(path, changes)
    content = settings_in(path)
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: needs a mapping of keys to values, got {type(content).__name__}")
    if "data" in content or "output" in content:
        run = RunConfig.from_mapping(content, source=str(path))
        return _from_run_config(run, changes, source=str(path))
    return PlanRequest.from_mapping(merged(content, changes), source=str(path))


def _from_run(folder: Path, changes: dict[str, Any]) -> PlanRequest:
    kept = folder / "run.yaml"
    if not kept.is_file():
        raise ConfigError(f"{folder} holds no run.yaml; give the folder of a run, a config file, or flags")
    run = RunConfig.from_file(kept)
    report = folder / "data_report.json"
    if report.is_file():
        known = _known_of(report)
        if not run.system.branches:
            run = run.with_changes(system={**run.system.to_dict(), "branches": known["branches"]})
        changes.setdefault("num_rows", known["num_rows"])
        tokens = round(expected_tokens(known["characters"] / known["num_rows"]))
        changes.setdefault("tokens_per_text", max(2, min(run.system.max_seq_len, tokens)))
    return _from_run_config(run, changes, source=str(kept))


def _known_of(report: Path) -> dict[str, Any]:
    """Branches, rows and characters that a run's data report counts; `IntegrityError` when it is damaged."""
    found = read_json(report)
    try:
        known = {
            "branches": [{"name": name, "num_classes": branch["num_classes"]} for name, branch in found.items()],
            "num_rows": sum(branch["num_train"] for branch in found.values()),
            "characters": sum(b["length_median"] * b["num_train"] for b in found.values()),
        }
    except (KeyError, TypeError) as error:
        raise IntegrityError(
            f"{report} does not count rows, classes and lengths of each branch; restore it from a copy, or give the run's "
            "config instead of its folder"
        ) from error
    if not known["num_rows"]:
        raise IntegrityError(
            f"{report} counts no training row; give the run's config instead of its folder, with --rows"
        )
    return known


def _from_run_config(run: RunConfig, changes: dict[str, Any], *, source: str) -> PlanRequest:
    content: dict[str, Any] = {"system": run.system.to_dict(), "training": run.training.to_dict()}
    if not run.system.branches and "branches" not in changes.get("system", {}):
        raise ConfigError(
            f"{source} names no classes (system.branches is empty: they are read from the data); say how many with "
            "--classes, or plan the run's folder once it has read its data"
        )
    return PlanRequest.from_mapping(merged(content, changes), source=source)
