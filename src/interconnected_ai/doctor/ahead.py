"""A run that has not begun: its config, its rows, its encoder, and the line that a check of them becomes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from interconnected_ai.branches import Encoder
from interconnected_ai.config import RunConfig, expected_tokens
from interconnected_ai.data import BatchPlan, BranchReport, Remark, Splits, remarks_on, report_on
from interconnected_ai.doctor.memory import shape_of
from interconnected_ai.planner import SystemShape

State = Literal["ok", "warning", "fails"]

_SAMPLE = 2000


@dataclass(frozen=True)
class Check:
    """One line of the checklist.

    state: "fails" means that the run will end with an error, "warning" that it will run and may come out badly. evidence:
    what was looked at, with numbers. remedy: what to do, empty when it is ok. settings_to_change: the same as settings of
    the config, by their names.
    """

    name: str
    state: State
    evidence: str
    remedy: str = ""
    settings_to_change: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Ahead:
    """What can be known of a run before it begins. config: with its branches where the rows could be read.

    splits, encoder: None where they could not be read or loaded.
    """

    config: RunConfig
    splits: Splits | None
    encoder: Encoder | None

    @cached_property
    def reports(self) -> list[BranchReport]:
        """What was read, branch by branch."""
        return report_on(self.splits) if self.splits else []

    @cached_property
    def remarks(self) -> tuple[Remark, ...]:
        """What is odd about the rows."""
        return remarks_on(self.splits) if self.splits else ()

    @cached_property
    def plan(self) -> BatchPlan:
        """The batches. Raises `ConfigError` when one is too small for all branches."""
        assert self.splits is not None
        return BatchPlan.for_rows(self.splits.train, self.config.training.batch_size, self.config.training.seed)

    @cached_property
    def shape(self) -> SystemShape | None:
        """The planner's view of the system; None where it does not know the encoder."""
        loaded = None if self.encoder is None else self.encoder.model.config.to_dict()  # type: ignore[union-attr,operator]
        settled = bool(self.config.training.encoder_steps)
        return shape_of(self.config.system, {}, loaded, encoder_settled=settled)

    @cached_property
    def lengths(self) -> list[int]:
        """Tokens of the texts learnt from, of at most 2,000 of them, as if none were cut; guessed without a tokenizer."""
        texts: Sequence[str] = self.splits.train.texts if self.splits else []
        texts = texts[:: max(1, len(texts) // _SAMPLE)]
        if self.encoder is None or not texts:
            return [round(expected_tokens(len(text))) for text in texts]
        return [len(ids) for ids in self.encoder.tokenize(texts, cut=False)]

    @property
    def max_seq_len(self) -> int:
        """Where texts are cut: the config's, or the last position that the encoder has."""
        return self.config.system.max_seq_len if self.encoder is None else self.encoder.max_seq_len

    @property
    def tokens_per_text(self) -> int:
        """Mean tokens of a text after cutting."""
        kept = [min(length, self.max_seq_len) for length in self.lengths]
        return max(2, round(sum(kept) / len(kept))) if kept else self.max_seq_len
