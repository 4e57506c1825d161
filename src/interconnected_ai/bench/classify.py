"""BANKING77 and CLINC150 as two branches of one system, and what each part of the system contributes."""

import csv
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from interconnected_ai.bench.baselines import frozen_logistic_regression, tfidf_svm
from interconnected_ai.bench.timing import machine
from interconnected_ai.branches import Encoder, InterconnectedAISystem, probabilities
from interconnected_ai.config import SystemConfig, TrainingConfig
from interconnected_ai.data import Rows, Splits
from interconnected_ai.errors import DataError
from interconnected_ai.training import auroc, calibrate, evaluate, fit

BANKING, CLINC = "banking77", "clinc150"
MAX_SEQ_LEN = 64
WHOLE = "whole"

# part → what its line is called, and what it changes in the whole system
PARTS: dict[str, tuple[str, dict[str, Any]]] = {
    WHOLE: ("encoder LoRA + MoE + adapters", {}),
    "no-moe": ("encoder LoRA + adapters, no MoE", {"num_moe_layers": 0}),
    "no-lora": ("MoE + adapters on the frozen encoder", {"encoder_lora_rank": 0}),
    "heads": ("adapters and heads on the frozen encoder", {"encoder_lora_rank": 0, "num_moe_layers": 0}),
}

# Chosen on rows held out of BANKING77's training set and on CLINC150's validation set, see docs/log.md.
FULL: dict[str, Any] = {"d_ff": 384, "max_seq_len": MAX_SEQ_LEN, "encoder_lora_rank": 16}
TRAINING: dict[str, Any] = {
    "lr_encoder_lora": 1e-3,
    "lr_head": 3e-3,
    "lr_adapter": 1e-3,
    "label_smoothing": 0.05,
    "head_start_epochs": 20,
    "class_weights": "none",
    "patience": None,
    "monitors": [],
    "checkpoint_every_steps": 2000,
}


def bench_classify(
    folder: Path, *, epochs: int = 8, parts: Sequence[str] = tuple(PARTS), say: Callable[[str], None] = print
) -> dict[str, Any]:
    """All training rows, a fixed number of epochs; a system's test rows are read when its training is over.

    parts: which of `PARTS` to train; figures of the whole system are there only with the whole. Out-of-scope texts:
    CLINC150's validation ones fit the threshold, its test ones measure it. Keys are those of `iai bench classify --json`.
    Raises `DataError` when the data sets are not in `folder`.
    """
    splits, strange = load_intents(folder)
    say("TF-IDF with a linear SVM, and logistic regression on the frozen encoder …")
    methods = {
        "TF-IDF + linear SVM": {n: tfidf_svm(splits, n).accuracy for n in (BANKING, CLINC)},
        "frozen encoder + logistic regression": {
            n: frozen_logistic_regression(splits, n, max_seq_len=MAX_SEQ_LEN).accuracy for n in (BANKING, CLINC)
        },
    }
    figures: dict[str, float] = {}
    for part in parts:
        name, changes = PARTS[part]
        say(f"Training: {name} …")
        system = train_variant(splits, changes, epochs=2 * epochs if "encoder_lora_rank" in changes else epochs)
        metrics = evaluate(system, splits.test, include_learnt=True)  # published test sets, whole
        methods[name] = {n: metrics[n].accuracy for n in (BANKING, CLINC)}
        say("  " + ", ".join(f"{n} {accuracy:.2%}" for n, accuracy in methods[name].items()))
        if part == WHOLE:
            figures = {f"{n}_accuracy": accuracy for n, accuracy in methods[name].items()}
            figures |= _out_of_scope(system, splits.test, strange)
    return {
        "machine": machine(),
        "epochs": epochs,
        "methods": [{"method": name, **scores} for name, scores in methods.items()],
        **figures,
    }


def train_variant(splits: Splits, changes: dict[str, Any], *, epochs: int) -> InterconnectedAISystem:
    """A system of both branches, trained on all training rows and calibrated on the validation rows."""
    shape = SystemConfig.from_mapping({**FULL, **changes, "branches": [spec.to_dict() for spec in splits.specs()]})
    training = TrainingConfig.from_mapping({**TRAINING, "epochs": epochs})
    system = InterconnectedAISystem.from_config(shape, encoder=Encoder.load(max_seq_len=MAX_SEQ_LEN))
    with tempfile.TemporaryDirectory() as scratch:
        fit(system, splits.train, splits.validation.select([]), training, scratch)
    calibrate(system, splits.validation)
    return system


def load_intents(folder: Path) -> tuple[Splits, dict[str, list[str]]]:
    """Both data sets as splits, and CLINC150's out-of-scope texts by split ("val", "test").

    BANKING77 has no validation set: its branch has none here. Validation: CLINC150's, out-of-scope texts among them
    without a label.
    """
    try:
        banking = {part: _banking(folder / "banking77" / f"{part}.csv") for part in ("train", "test")}
        clinc = json.loads((folder / "clinc150" / "data_full.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(
            f"{error.filename} is missing; {folder} needs banking77/train.csv, banking77/test.csv and "
            "clinc150/data_full.json, as their authors publish them"
        ) from error

    def rows(part: str) -> Rows:
        return Rows.of_branch(CLINC, [text for text, _ in clinc[part]], [label for _, label in clinc[part]])

    strange = {part: [text for text, _ in clinc[f"oos_{part}"]] for part in ("val", "test")}
    foreign = Rows(strange["val"], {CLINC: [None] * len(strange["val"])})
    return (
        Splits(
            train=Rows.joined([banking["train"], rows("train")]),
            validation=Rows.joined([rows("val"), foreign]),
            test=Rows.joined([banking["test"], rows("test")]),
        ),
        strange,
    )


def _banking(path: Path) -> Rows:
    with path.open(encoding="utf-8", newline="") as lines:
        table = list(csv.DictReader(lines))
    return Rows.of_branch(BANKING, [row["text"] for row in table], [row["category"] for row in table])


def _out_of_scope(system: InterconnectedAISystem, test: Rows, strange: dict[str, list[str]]) -> dict[str, float]:
    """How well CLINC150's branch tells its own text from out-of-scope text, by calibrated confidence."""
    card = system.cards[CLINC]

    def confidence(texts: list[str]) -> torch.Tensor:
        logits = system.logits_of(system.encode(texts), [CLINC])[CLINC]
        return probabilities(logits, card).amax(dim=-1)

    inside, outside = confidence(test.of(CLINC)[0]), confidence(strange["test"])
    return {
        "clinc150_oos_auroc": auroc(inside, outside),
        "clinc150_oos_recall": (outside < card.threshold).double().mean().item(),
        "clinc150_answered": (inside >= card.threshold).double().mean().item(),
    }
