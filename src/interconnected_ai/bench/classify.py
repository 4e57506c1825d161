"""Public data sets of labelled texts, learnt as `iai train` learns by default, beside what one would take otherwise."""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch

from interconnected_ai.bench.baselines import (
    FROZEN,
    TFIDF,
    Score,
    frozen_logistic_regression,
    margin_points,
    score_of_system,
    tfidf_svm,
)
from interconnected_ai.bench.text_sets import TEXT_SETS, TextSet, load_text_set
from interconnected_ai.bench.timing import machine
from interconnected_ai.branches import EMBEDDED_ENCODER, Encoder, InterconnectedAISystem
from interconnected_ai.config import RunConfig, SystemConfig
from interconnected_ai.data import Splits
from interconnected_ai.training import (
    EncoderChoice,
    auroc,
    encoder_by_language,
    learning_first_where_it_pays,
    train_run,
    with_encoder,
)

SETS = tuple(TEXT_SETS)
DRAWS = 3  # of so many rows a class; a figure is their mean
MOST_FALSE = 0.04  # in-scope texts refused, where recall of out-of-scope ones is read off
SYSTEM = "system"
SECONDS = ("system_seconds", "peers_seconds")

# part → what it changes in the default system
PARTS: dict[str, dict[str, Any]] = {
    SYSTEM: {},
    "no-moe": {"num_moe_layers": 0},
    "no-lora": {"encoder_lora_rank": 0},
    "heads": {"encoder_lora_rank": 0, "num_moe_layers": 0},
}
Say = Callable[[str], None]


@dataclass(frozen=True)
class Measured:
    """One set, learnt once by every method. outside: keys of `_out_of_scope`."""

    methods: dict[str, Score]
    outside: dict[str, float]
    seconds: dict[str, float]


def bench_classify(
    folder: Path,
    *,
    sets: Sequence[str] = SETS,
    shots: int | None = None,
    parts: Sequence[str] = (SYSTEM,),
    columns: tuple[str, str] = ("text", "label"),
    training: Mapping[str, Any] | None = None,
    say: Say = print,
) -> dict[str, Any]:
    """Every set by itself, learnt by the defaults of `iai train` and by the peers; test rows are read when learning is over.

    sets: names of `TEXT_SETS`, or folders with tables `train` and `test`, whose columns are `columns`. shots: rows of each
    class to learn from; figures are means over `DRAWS` draws. parts: which of `PARTS` to train. training: settings other than
    the defaults, for trials. Keys are those of `iai bench classify --json`. Raises `DataError` for a set that is not there.
    """
    started = time.perf_counter()
    loaded = [load_text_set(folder, name, text=columns[0], label=columns[1]) for name in sets]
    measured = [_measure_set(each, shots, parts, dict(training or {}), say) for each in loaded]
    figures = {f"{_key(each['set'])}_{key}": value for each in measured for key, value in each["figures"].items()}
    return {
        "machine": machine(),
        "shots": shots,
        "draws": 1 if shots is None else DRAWS,
        "sets": measured,
        "seconds": time.perf_counter() - started,
        **figures,
    }


def train_by_default(
    splits: Splits, encoder: Encoder, *, changes: Mapping[str, Any], training: Mapping[str, Any], features: Path
) -> InterconnectedAISystem:
    """What `iai train` makes of these rows when its config names nothing but them. The test rows stay unread.

    encoder: of this training alone, since its LoRA may learn. changes, training: settings of the system and of its training
    other than the defaults. features: where encoded texts are kept, for the peers too.
    """
    with tempfile.TemporaryDirectory() as scratch:
        sources = [{"name": name, "path": f"{name}.csv"} for name in splits.train.branch_names]
        config = RunConfig.from_mapping(
            {
                "output": str(Path(scratch) / "run"),
                "system": dict(changes),
                "data": {"branches": sources},
                "training": {"feature_cache": str(features), **training},
            }
        )
        unread = replace(splits, test=splits.test.select([]))
        choice = learning_first_where_it_pays(EncoderChoice(encoder.name, "as given"), config, splits.train)
        config = with_encoder(config, choice)
        return train_run(config, splits=unread, encoder=encoder).system


def _measure_set(
    whole: TextSet, shots: int | None, parts: Sequence[str], training: dict[str, Any], say: Say
) -> dict[str, Any]:
    """One set's part of the JSON."""
    draws = [whole] if shots is None else [whole.with_shots(shots, seed) for seed in range(DRAWS)]
    choice = encoder_by_language(whole.train.texts)
    say(f"{whole.name}: {len(draws[0].train):,} rows to learn, {len(whole.test):,} to test, encoder {choice}")
    for sentence in whole.cut:
        say(f"  {sentence}")
    with tempfile.TemporaryDirectory() as features:
        rounds = [
            _measure_draw(each, choice.base_model_name, parts, {"seed": seed, **training}, Path(features))
            for seed, each in enumerate(draws)
        ]
    methods = {name: _mean_score([r.methods[name] for r in rounds]) for name in rounds[0].methods}
    for name, found in methods.items():
        say(f"  {name}: accuracy {found.accuracy:.2%}, macro-F1 {found.macro_f1:.2%}, hit@3 {found.hit_at_3:.2%}")
    return {
        "set": whole.name,
        "encoder": choice.base_model_name or EMBEDDED_ENCODER,
        "num_classes": len(set(whole.train.of(whole.name)[1])),
        "num_train": len(draws[0].train),
        "num_test": len(whole.test),
        "cut": list(whole.cut),
        "methods": [{"method": name, **asdict(found)} for name, found in methods.items()],
        "draws": [{name: asdict(found) for name, found in r.methods.items()} for r in rounds],
        "figures": {
            **(asdict(methods[SYSTEM]) if SYSTEM in methods else {}),
            **{f"{name}_accuracy": found.accuracy for name, found in methods.items() if name != SYSTEM},
            **({"margin_points": margin_points(methods)} if SYSTEM in methods else {}),
            **{key: mean(r.outside[key] for r in rounds) for key in rounds[0].outside},
            **{key: sum(r.seconds[key] for r in rounds) for key in SECONDS},
        },
    }


def _measure_draw(
    drawn: TextSet, encoder_name: str | None, parts: Sequence[str], training: dict[str, Any], features: Path
) -> Measured:
    """Every method, on the same rows."""
    splits = drawn.splits()
    max_seq_len = SystemConfig().max_seq_len
    started = time.perf_counter()
    systems = {
        part: train_by_default(
            splits,
            Encoder.load(encoder_name, max_seq_len=max_seq_len),  # a new one, since its LoRA may learn
            changes=PARTS[part],
            training=training,
            features=features,
        )
        for part in parts
    }
    trained = time.perf_counter()
    frozen = Encoder.load(encoder_name, max_seq_len=max_seq_len)
    peers = {
        TFIDF: tfidf_svm(splits, drawn.name),
        FROZEN: frozen_logistic_regression(splits, drawn.name, frozen, features=features),
    }
    learnt = time.perf_counter()
    own = {part: score_of_system(system, splits.test, drawn.name) for part, system in systems.items()}
    outside = _out_of_scope(systems[SYSTEM], drawn) if SYSTEM in systems and drawn.outside else {}
    return Measured({**peers, **own}, outside, dict(zip(SECONDS, (trained - started, learnt - trained), strict=True)))


def _out_of_scope(system: InterconnectedAISystem, asked: TextSet) -> dict[str, float]:
    """How well the branch tells its own texts from others: by confidence × familiarity, and by its own threshold."""
    inside, refused_inside = _scores(system, asked.test.of(asked.name)[0], asked.name)
    outside, refused = _scores(system, list(asked.outside), asked.name)
    least = torch.quantile(inside, MOST_FALSE)  # refusing below it refuses at most that share of its own texts
    return {
        "oos_auroc": auroc(inside, outside),
        "oos_recall": refused.double().mean().item(),
        "oos_recall_at_4_percent_false": (outside < least).double().mean().item(),
        "answered": 1.0 - refused_inside.double().mean().item(),
    }


def _scores(system: InterconnectedAISystem, texts: list[str], name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """(num_texts,) confidence × familiarity, and whether each text is called unknown."""
    found = [each.branches[name] for each in system.predict(texts, branches=[name], top_n=1)]
    scores = torch.tensor([each.confidence * each.familiarity for each in found])
    return scores, torch.tensor([each.unknown for each in found])


def _mean_score(scores: Sequence[Score]) -> Score:
    columns = np.mean([list(asdict(each).values()) for each in scores], axis=0)
    return Score(*columns.tolist())


def _key(name: str) -> str:
    """A set's name as part of a key."""
    return name.replace("-", "_")
