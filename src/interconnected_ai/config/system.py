"""The shape of a system and of its branches, with the document's own branches."""

import re
from collections.abc import Container, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, Field, field_validator, model_validator

from interconnected_ai.config.record import Record
from interconnected_ai.config.sizes import MOST_CLASSES, Length, Width
from interconnected_ai.errors import ConfigError

MOST_WIDE_WEIGHTS = 2**24
"""Of one branch, whatever `wide_terms` says: 64 MB, and four times that while it learns."""

MANY_ROWS = 1_000
"""From here on a term of one row alone says nothing of other rows."""

Pooling = Literal["mean", "cls", "attention"]
FeedForwardKind = Literal["moe", "dense"]

# Letters of any alphabet and digits, with `_` and `-` inside: a name becomes part of file names and tensor keys.
_SAFE_NAME = re.compile(r"^\w(?:[\w-]{0,62}\w)?$")
_RESERVED_NAMES = {"con", "prn", "aux", "nul", *(f"{d}{i}" for d in ("com", "lpt") for i in range(1, 10))}

# The answer of a branch that is not sure enough.
UNKNOWN = "unknown"

# The document's three branches (Bio-Elec, Neuro-6G, IoBNT) and their class counts.
DOCUMENT_BRANCHES = (("Bio-Elec", 100), ("Neuro-6G", 50), ("IoBNT", 80))


def refusal_for(labels: Container[str]) -> str:
    """What a branch with these labels answers when it is not sure enough: UNKNOWN, in brackets where that is a class."""
    word = UNKNOWN
    while word in labels:
        word = f"({word})"
    return word


class BranchSpec(Record):
    """A branch before it is built: its name and its classes.

    Give `labels` (the class names, in the order of the head's outputs), or `num_classes` alone and the labels are
    "0", "1", …. num_terms: of its wide part, which the rows decide that it learns from; 0 before.
    """

    name: str
    num_classes: Annotated[int, Field(ge=2, le=MOST_CLASSES)]
    labels: Annotated[tuple[str, ...], Field(strict=False)]
    num_terms: Annotated[int, Field(ge=0, le=2**24)] = 0

    @cached_property
    def refusal(self) -> str:
        """The answer of a branch of this kind that is not sure enough; none of its labels."""
        return refusal_for(self.labels)

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, settings: Any) -> Any:
        if not isinstance(settings, Mapping):
            return settings
        filled = dict(settings)
        labels, num_classes = filled.get("labels"), filled.get("num_classes")
        if labels is None and isinstance(num_classes, int):
            filled["labels"] = tuple(str(i) for i in range(min(num_classes, MOST_CLASSES)))
        elif isinstance(labels, list | tuple) and num_classes is None:
            filled["num_classes"] = len(labels)
        return filled

    @field_validator("name")
    @classmethod
    def _name_is_safe(cls, name: str) -> str:
        if not _SAFE_NAME.fullmatch(name) or name.casefold() in _RESERVED_NAMES:
            raise ValueError(
                f"branch name {name!r} is no safe file name; use 1 to 64 letters and digits, with '_' or '-' "
                "inside, such as 'bank-intents'"
            )
        return name

    @model_validator(mode="after")
    def _labels_are_distinct(self) -> Self:
        if len(self.labels) != self.num_classes:
            raise ValueError(
                f"branch {self.name!r}: {len(self.labels)} labels for num_classes={self.num_classes}; give one"
            )
        if len(set(self.labels)) != len(self.labels):
            twice = next(label for label in self.labels if self.labels.count(label) > 1)
            raise ValueError(f"branch {self.name!r}: label {twice!r} stands twice; labels must be distinct")
        return self


class SystemConfig(Record):
    """The shape of an `InterconnectedAISystem`. Defaults are the document's (`000_…`) where it names one.

    base_model_name: an embedded encoder ("all-MiniLM-L6-v2", "multilingual") or a Hugging Face one by hub id or folder. None:
    a run takes the embedded one that reads its rows' language, anything else the first.
    top_k: FFN experts per token (the document's `k`, accepted as an alias).
    d_ff: hidden size of one FFN expert (or of the dense FFN); None is 4 × the encoder's d_model, as in the document.
    ffn: what stands in the shared layers, FFN experts behind a token router, or one dense FFN (the twin for comparisons).
    lora_rank: rank of each branch's adapter on the pooled vector.
    wide_terms: most terms (stems, pairs of stems, characters within words) of a branch's wide part; 0 leaves the wide part out.
    encoder_lora_rank: rank of the one LoRA inside the encoder that all branches share; 0 leaves the encoder as it is.
    encoder_lora_layers: how many of the encoder's last blocks it is in; None is all of them.
    """

    base_model_name: str | None = None
    ffn: FeedForwardKind = "moe"
    num_experts: Annotated[int, Field(ge=2, le=128)] = 8
    top_k: Annotated[int, Field(ge=1, validation_alias=AliasChoices("top_k", "k"))] = 2
    num_moe_layers: Annotated[int, Field(ge=0, le=16)] = 2
    d_ff: Width | None = 128
    pooling: Pooling = "mean"
    max_seq_len: Annotated[Length, Field(ge=2)] = 128
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    lora_rank: Width = 8
    lora_alpha: Annotated[float, Field(gt=0.0)] = 16.0
    wide_terms: Annotated[int, Field(ge=0, le=2**24)] = 30_000
    encoder_lora_rank: Annotated[int, Field(ge=0, le=2**24)] = 0
    encoder_lora_alpha: Annotated[float, Field(gt=0.0)] = 32.0
    encoder_lora_layers: Annotated[int, Field(ge=1, le=1024)] | None = None
    branches: Annotated[tuple[BranchSpec, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.top_k > self.num_experts:
            raise ValueError(
                f"top_k={self.top_k} of num_experts={self.num_experts}: a token cannot choose more than there are"
            )
        names = [branch.name.casefold() for branch in self.branches]
        if len(set(names)) != len(names):
            twice = next(b.name for b in self.branches if names.count(b.name.casefold()) > 1)
            raise ValueError(f"branch {twice!r} stands twice (case does not count); branch names must be distinct")
        return self


def document_branches(num_branches: int) -> tuple[BranchSpec, ...]:
    """The first `num_branches` of the document's branches; beyond its three, `branch-4`, … with 100 classes each."""
    if num_branches < 0:
        raise ConfigError(f"num_branches={num_branches}: needs 0 or more")
    specs = [BranchSpec.from_mapping({"name": name, "num_classes": n}) for name, n in DOCUMENT_BRANCHES[:num_branches]]
    more = range(len(specs) + 1, num_branches + 1)
    return (*specs, *(BranchSpec.from_mapping({"name": f"branch-{i}", "num_classes": 100}) for i in more))
