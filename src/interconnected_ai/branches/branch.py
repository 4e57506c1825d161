"""One branch: a LoRA adapter on the pooled vector and a linear head, and the card that says what is known of it."""

import copy
from collections.abc import Iterator, MutableMapping
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from interconnected_ai.config import BranchSpec, Record, SystemConfig
from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.nn import Dropout, LoRA, in_evaluation
from interconnected_ai.text import KnownTexts


class BranchCard(Record):
    """What is known of a branch beside its weights.

    temperature: logits are divided by it before the softmax, fitted on validation rows (Guo et al. 2017).
    threshold: below this confidence the answer is "unknown".
    fingerprint: SHA-256 of the branch's logits on the stored probe texts, set when its training ends.
    calibration_rows, outside_rows: the branch's own validation rows that temperature and threshold were fitted on, and the
        texts of others that stood for foreign ones; None where it isn't known, as in folders written before it was kept.
    trained: "joint" with the trunk, "added" to a finished trunk, or None before training.
    """

    spec: BranchSpec
    temperature: Annotated[float, Field(gt=0.0)] = 1.0
    threshold: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    calibration_rows: Annotated[int, Field(ge=0)] | None = None
    outside_rows: Annotated[int, Field(ge=0)] | None = None
    fingerprint: str | None = None
    trained: Literal["joint", "added"] | None = None
    num_rows: int = 0
    metrics: dict[str, float] = Field(default_factory=dict)

    @property
    def name(self) -> str:
        """The branch's name."""
        return self.spec.name


class Branch(nn.Module):
    """logits = W · (x + Δ(x)) + b, with Δ the branch's own LoRA. (768-wide, rank 8, 100 classes: 12,288 + 76,900.)

    card: what is known of it. probe: its logits on the system's probe texts when its training ended, None before.
    learnt: the texts that it was trained, stopped and calibrated on, None where no record was kept.
    Any number of threads may compute with a branch at once, as long as none trains it or changes its mode.
    """

    def __init__(
        self, spec: BranchSpec, config: SystemConfig, d_model: int, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.adapter = LoRA(d_model, d_model, config.lora_rank, alpha=config.lora_alpha, generator=generator)
        self.dropout = Dropout(config.dropout)
        self.head = nn.Linear(d_model, spec.num_classes)
        nn.init.normal_(self.head.weight, std=0.02, generator=generator)
        nn.init.zeros_(self.head.bias)
        self.card = BranchCard(spec=spec)
        self.probe: Tensor | None = None  # on the CPU, wherever the weights are
        self.learnt: KnownTexts | None = None

    def forward(self, pooled: Tensor) -> Tensor:
        """(batch, d_model) → (batch, num_classes)."""
        logits: Tensor = self.head(self.dropout(pooled + self.adapter(pooled)))
        return logits

    def evaluate(self, pooled: Tensor) -> Tensor:
        """`forward` in evaluation mode and without gradients, whatever the branch's own mode, which stays as it is."""
        with torch.inference_mode():
            logits: Tensor = in_evaluation(self)(pooled)
        return logits.clone()  # a plain tensor: inference tensors cannot be learnt from

    def with_card(self, card: "BranchCard", probe: Tensor | None) -> "Branch":
        """The same weights under another card and another stored probe."""
        branch = copy.copy(self)
        branch.card, branch.probe = card, probe
        return branch


class Cards(MutableMapping[str, BranchCard]):
    """The cards of a system's branches by name, as the branches were when this was asked for.

    Setting one replaces the card of that branch, whose classes must stay as they are. Threads may read and set at once.
    """

    def __init__(self, branches: nn.ModuleDict) -> None:
        self._branches = branches

    def __getitem__(self, name: str) -> BranchCard:
        return self.branch(name).card

    def __setitem__(self, name: str, card: BranchCard) -> None:
        if name not in self:
            raise UnknownNameError("branch", name, self)
        if card.spec != self[name].spec:
            raise ConfigError(
                f"branch {name!r} cannot get the name or classes of another: {card.spec.name!r}; add that one"
            )
        self.branch(name).card = card

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"a branch is taken out with remove_branch({name!r})")

    def __iter__(self) -> Iterator[str]:
        return (branch.card.name for branch in self._branches.values() if isinstance(branch, Branch))

    def __len__(self) -> int:
        return len(self._branches)

    def __repr__(self) -> str:
        return repr(dict(self))

    def branch(self, name: str) -> Branch:
        """The branch itself; `KeyError` when there is none."""
        branch = self._branches[key_of(name)]
        assert isinstance(branch, Branch)
        return branch


def key_of(name: str) -> str:
    """A branch's key in the system's ModuleDict, which refuses names of its own methods such as "keys" or "type"."""
    return f"branch_{name}"
