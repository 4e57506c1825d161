"""A branch added after training against the same branch trained jointly from scratch, over several seeds."""

import tempfile
from pathlib import Path
from statistics import mean, median
from typing import Any

from interconnected_ai.bench.quickstart import growth_to_dict, measure_growth, quickstart_config
from interconnected_ai.bench.quickstart_texts import english_texts
from interconnected_ai.bench.timing import machine
from interconnected_ai.branches import Encoder
from interconnected_ai.training import train_run

D_FF = 192  # of an FFN expert; the quickstart's are smaller, for the sake of its three minutes


def bench_grow(*, seeds: int = 3, epochs: int = 15) -> dict[str, Any]:
    """Keys are those of `iai bench grow --json`: medians of times, means of accuracies, the largest difference.

    Both ways pay for encoding the texts that they need, and share one feature cache. The joint training runs `epochs`
    epochs at the quickstart's settings, with larger experts.
    """
    rounds = [_one_round(seed, epochs) for seed in range(seeds)]
    return {
        "machine": machine(),
        "seeds": seeds,
        "epochs": epochs,
        "added_over_joint_time": median(r["added_over_joint_time"] for r in rounds),
        "accuracy_gap_points": mean(r["accuracy_gap_points"] for r in rounds),
        "old_outputs_max_abs_diff": max(r["old_outputs_max_abs_diff"] for r in rounds),
        "added_seconds": median(r["added_seconds"] for r in rounds),
        "joint_seconds": median(r["joint_seconds"] for r in rounds),
        "added_accuracy": mean(r["added_accuracy"] for r in rounds),
        "joint_accuracy": mean(r["joint_accuracy"] for r in rounds),
        "rounds": rounds,
    }


def _one_round(seed: int, epochs: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        texts = english_texts()
        config = quickstart_config(folder, texts.names, epochs=epochs, seed=seed, d_ff=D_FF)
        encoder = Encoder.load()
        run = train_run(config, splits=texts.first, encoder=encoder)
        growth = measure_growth(
            run.system, texts, config.training, folder / "joint", encode_seconds=run.fit.cache_seconds
        )
        return growth_to_dict(growth)
