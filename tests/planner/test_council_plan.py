"""Whether a council or a dense model serves better, foretold from a measured curve."""

import math
from typing import Any

import pytest

from interconnected_ai.config import ExpertConfig
from interconnected_ai.errors import ConfigError
from interconnected_ai.planner import CouncilCurve, CouncilPlan, curve_from, find_device, plan_council, published_curve

SHAPE = ExpertConfig(vocab_size=1000, d_model=64, n_layers=2, n_heads=2, max_seq_len=256)


def curve_of(ratios: dict[float, float], **changes: Any) -> CouncilCurve:
    """tokens per parameter → ratio."""
    points = [
        {
            "what": f"{tokens} a parameter", "num_domains": 6, "seed_share": 0.5, "num_params": 1000, "text_tokens": 10_000,
            "dense_tokens": int(1000 * tokens), "council_over_dense_bpb": ratio, **changes,
        }
        for tokens, ratio in ratios.items()
    ]  # fmt: skip
    return CouncilCurve.from_mapping({"measured": "here", "points": points})


LINE = curve_of({1: math.exp(0.04), 10: 1.0, 100: math.exp(-0.04)})


def plan_of(curve: CouncilCurve = LINE, **changes: Any) -> CouncilPlan:
    asked = {"text_tokens": 1_000_000, "num_domains": 4, "minutes": 5.0, "ram_bytes": 10**9, **changes}
    return plan_council(SHAPE, device=find_device("this machine"), curve=curve, **asked)


@pytest.mark.parametrize(("tokens", "expected"), [(1, 0.04), (10, 0.0), (100, -0.04), (31.6, -0.02)])
def test_between_measured_points_the_ratio_follows_them(tokens: float, expected: float) -> None:
    found, is_beyond = LINE.ratio(tokens)
    assert math.log(found.expected) == pytest.approx(expected, abs=1e-3)
    assert found.low < found.expected < found.high
    assert not is_beyond


def test_beyond_them_nothing_is_gained_and_less_is_sure() -> None:
    (edge, _), (beyond, is_beyond) = LINE.ratio(100), LINE.ratio(1000)
    assert is_beyond
    assert beyond.expected == pytest.approx(edge.expected)
    assert beyond.high / beyond.low > edge.high / edge.low


def test_scattered_points_make_a_wide_range() -> None:
    scattered = curve_of({1: 1.10, 10: 0.92, 100: 1.04})
    sure, unsure = LINE.ratio(10)[0], scattered.ratio(10)[0]
    assert unsure.high - unsure.low > 3 * (sure.high - sure.low)


def test_a_small_seed_says_nothing_of_what_is_planned() -> None:
    with pytest.raises(ConfigError, match="3 are needed"):
        curve_of({1: 1.1, 10: 1.1, 100: 1.1}, seed_share=0.0).ratio(10)


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ({1: 0.9, 10: 0.9, 1e6: 0.9}, "council"), ({1: 1.1, 10: 1.1, 1e6: 1.1}, "dense"),
        ({1: 1.0, 10: 1.0, 1e6: 1.0}, "either"),
    ],
)  # fmt: skip
def test_the_verdict_is_what_was_measured(ratios: dict[float, float], verdict: str) -> None:
    found = plan_of(curve_of(ratios))
    assert found.verdict == verdict
    assert not found.is_beyond
    assert found.to_dict()["verdict"] == verdict
    assert "bits per byte" in found.reason


def test_more_minutes_read_more_tokens() -> None:
    short, long = plan_of(minutes=1.0), plan_of(minutes=10.0)
    assert long.tokens_read.expected == pytest.approx(10 * short.tokens_read.expected, rel=0.01)
    assert long.passes == pytest.approx(long.tokens_read.expected / 1_000_000)


def test_the_range_covers_all_that_may_be_read_in_the_time() -> None:
    steep = curve_of({1e-3: 1.5, 10: 1.0, 1e8: 0.6})
    found = plan_of(steep)
    alone, _ = steep.ratio(found.tokens_read.expected / found.size.num_params)
    assert found.ratio.expected == pytest.approx(alone.expected)
    assert found.ratio.low < alone.low
    assert found.ratio.high > alone.high


def test_where_two_do_not_fit_one_dense_model_serves() -> None:
    won = curve_of({1: 0.9, 10: 0.9, 1e6: 0.9})
    found = plan_of(won, ram_bytes=1_000_000)
    assert found.verdict == "dense"
    assert "do not fit" in found.reason
    assert plan_of(won, text_tokens=900).verdict == "dense"


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="two domains"):
        plan_of(num_domains=1)
    with pytest.raises(ConfigError, match="minutes"):
        plan_of(minutes=0.0)


def test_the_published_curve_holds_its_points() -> None:
    curve = published_curve()
    assert len(curve.known) >= 3
    for point in curve.known:
        found, is_beyond = curve.ratio(point.tokens_per_param)
        assert not is_beyond
        assert found.low <= point.council_over_dense_bpb <= found.high


def test_a_bench_of_ones_own_is_a_curve() -> None:
    points = [{**point.to_dict(), "over_oracle": 1.0} for point in LINE.points]
    found = curve_from({"machine": {"date": "2026-01-01", "processor": "Z80"}, "curve": points}, source="mine.json")
    assert found.points == LINE.points
    assert found.measured == "2026-01-01 on Z80"
