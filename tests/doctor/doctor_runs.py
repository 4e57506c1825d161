"""Real short trainings for the doctor's tests: healthy ones of several shapes, and one with each illness.

Every run is trained when it is first asked for, once a session.
"""

import random
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from conftest import TOPICS, make_encoder, make_rows
from interconnected_ai.branches import Encoder
from interconnected_ai.config import RunConfig
from interconnected_ai.data import Rows, Splits
from interconnected_ai.errors import TrainingError
from interconnected_ai.nn import Standardization
from interconnected_ai.training import train_run


def two_branches(a: int = 150, b: int = 90, seed: int = 0) -> Rows:
    return Rows.joined([make_rows("a", a, seed=seed), make_rows("b", b, seed=seed + 1, marker="today")])


def one_table(count: int, seed: int) -> Rows:
    """Rows with labels of two branches; four in five have the second one."""
    rows, luck = make_rows("a", count, seed=seed), random.Random(seed)
    money = set(TOPICS["money"])
    second = ["pay" if money & set(text.split()) else "rest" for text in rows.texts]
    return Rows(rows.texts, {**rows.labels, "b": [label if luck.random() < 0.8 else None for label in second]})


def mislabelled(rows: Rows, share: float, seed: int = 0) -> Rows:
    """That share of the labels drawn by lot."""
    luck, topics = random.Random(seed), list(TOPICS)
    labels = {
        name: [label and (luck.choice(topics) if luck.random() < share else label) for label in column]
        for name, column in rows.labels.items()
    }
    return Rows(rows.texts, labels)


def narrow_encoder() -> Encoder:
    """An encoder all of whose token vectors share a large part, as pretrained ones do (Ethayarajh 2019)."""
    encoder = make_encoder()
    direction = torch.randn(32, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        encoder.model.encoder.layer[-1].output.LayerNorm.bias += 3.0 * direction  # type: ignore[union-attr,index,operator]
    return encoder


@dataclass(frozen=True)
class Case:
    """What a run learns from and how; all that is not named is as in the healthy run."""

    train: Rows = field(default_factory=two_branches)
    validation: Rows = field(default_factory=lambda: two_branches(60, 60, seed=50))
    test: Rows = field(default_factory=lambda: two_branches(60, 60, seed=70))
    system: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    encoder: Callable[[], Encoder] = make_encoder
    standardized: bool = True  # else the trunk takes the encoder's vectors as they are, and their shared part with them

    def config(self, folder: Path) -> RunConfig:
        return RunConfig.from_mapping(
            {
                "output": str(folder),
                # without words and a regression, which would answer well whatever ails the trunk
                "system": {
                    "num_experts": 4, "num_moe_layers": 1, "max_seq_len": 32, "d_ff": 48, "wide_terms": 0, **self.system,
                },
                "data": {"branches": [{"name": name, "path": f"{name}.jsonl"} for name in self.train.branch_names]},
                "training": {
                    "epochs": 10, "batch_size": 16, "precision": "float32", "device": "cpu", "monitors": [],
                    "ridge": None, "patience": None, "lr_moe": 1e-3, "lr_adapter": 5e-3, "lr_head": 1e-2, "feature_cache": None,
                    **self.training,
                },
            }
        )  # fmt: skip

    def run(self, config: RunConfig) -> None:
        """Train; an error that ends the training is part of the case."""
        try:
            with nullcontext() if self.standardized else patch.object(Standardization, "take"):
                train_run(config, splits=Splits(self.train, self.validation, self.test), encoder=self.encoder())
        except TrainingError:
            assert not (Path(config.output) / "results.json").exists()


def lottery(share: float) -> dict[str, Rows]:
    return {
        "train": mislabelled(two_branches(), share, seed=1),
        "validation": mislabelled(two_branches(60, 60, seed=50), share, seed=2),
        "test": mislabelled(two_branches(60, 60, seed=70), share, seed=3),
    }


HEALTHY = {
    "two branches": Case(),
    "one branch, dense": Case(
        train=make_rows("a", 150),
        validation=make_rows("a", 60, seed=11),
        test=make_rows("a", 60, seed=21),
        system={"ffn": "dense"},
        training={"batch_size": 12},
    ),
    "one table, eight experts, attention pooling": Case(
        train=one_table(210, 1),
        validation=one_table(60, 2),
        test=one_table(60, 3),
        system={"num_experts": 8, "pooling": "attention"},
        training={"label_smoothing": 0.05, "epochs": 12},
    ),
    "four to one, two layers, head start, early stop": Case(
        train=two_branches(200, 50),
        system={"num_moe_layers": 2},
        training={"head_start_epochs": 10, "patience": 3, "epochs": 30, "batch_size": 10},
    ),
    "encoder LoRA, accumulated": Case(
        train=two_branches(90, 60),
        system={"encoder_lora_rank": 4},
        training={"accumulation_steps": 2, "lr_encoder_lora": 1e-3, "epochs": 9},
    ),
}

ILL = {
    "rates of ten": Case(training={"lr_moe": 10.0, "lr_adapter": 10.0, "lr_head": 10.0, "epochs": 7}),
    "a rate beyond numbers": Case(training={"lr_moe": 1e30}),
    "a head that leaps": Case(training={"lr_head": 3.0, "epochs": 8}),
    "rates of nothing": Case(training={"lr_moe": 1e-7, "lr_adapter": 1e-6, "lr_head": 1e-6, "epochs": 7}),
    "rates too low by ten": Case(training={"lr_moe": 3e-5, "lr_adapter": 1e-4, "lr_head": 2e-4, "epochs": 8}),
    "a trunk that runs away": Case(training={"lr_moe": 0.5, "head_start_epochs": 20, "epochs": 6}),
    "no balance, narrow encoder": Case(
        encoder=narrow_encoder, standardized=False, system={"num_experts": 8},
        training={"balance_loss_weight": 0.0, "epochs": 7},
    ),
    "no balance, nothing to learn": Case(
        **lottery(1.0),
        encoder=narrow_encoder,
        standardized=False,
        system={"num_experts": 8},
        training={"balance_loss_weight": 0.0, "lr_moe": 1e-2, "epochs": 7},
    ),
    "few rows, many epochs": Case(
        train=mislabelled(two_branches(36, 24), 0.25, seed=1), training={"batch_size": 12, "epochs": 40}
    ),
    "one branch in a hundred": Case(train=two_branches(297, 3), training={"batch_size": 32, "epochs": 9}),
    "labels half by lot": Case(**lottery(0.5), training={"epochs": 8}),
    "validated on what was learnt": Case(
        train=(known := mislabelled(two_branches(90, 60), 0.4)),
        validation=known,
        test=mislabelled(two_branches(150, 150, seed=70), 0.4, seed=7),
        training={"lr_head": 2e-2, "lr_moe": 3e-3, "epochs": 25},
    ),
}  # fmt: skip
