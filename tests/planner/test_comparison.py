"""A whole plan: the ways side by side, what fits, what it costs, what to choose; and requests from files and runs."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from interconnected_ai.errors import ConfigError, IntegrityError, UnknownNameError
from interconnected_ai.planner import (
    Calibration,
    Device,
    Plan,
    PlanRequest,
    Speed,
    SystemShape,
    document_table,
    find_device,
    largest_fit,
    plan,
    request_from,
)
from interconnected_ai.planner.duration import Range, rate_at
from interconnected_ai.planner.fitting import nearest_change
from interconnected_ai.planner.memory import inference_memory, training_memory
from interconnected_ai.planner.system import expected_terms
from interconnected_ai.planner.workload import Workload, training_step


def request(*, branches: int = 3, system: dict[str, Any] | None = None, **changes: Any) -> PlanRequest:
    specs = [{"name": f"branch-{i}", "num_classes": 20} for i in range(branches)]
    content = {"tokens_per_text": 30, "device": "A100 80GB SXM", **changes}
    content["training"] = {"encoder_steps": 0, **content.get("training", {})}
    return PlanRequest.from_mapping({"system": {"branches": specs, "wide_terms": 0, **(system or {})}, **content})


def with_training(found: PlanRequest, **changes: Any) -> PlanRequest:
    return found.with_changes(training={**found.training.to_dict(), **changes})


@pytest.fixture(scope="module")
def found() -> Plan:
    return plan(request())


def test_a_plan_compares_dense_moe_and_one_more_branch(found: Plan) -> None:
    assert [way.name for way in found.ways] == ["dense", "moe", "added branch"]
    dense, moe, added = found.ways
    assert dense.num_params > moe.num_params > moe.num_active_params
    assert added.num_trainable_params == 2 * 8 * 384 + 385 * 20
    assert added.num_params == moe.num_params + added.num_trainable_params
    assert moe.params["branch-0"] == moe.num_params_per_branch == added.num_params_per_branch


def test_words_cost_weights_of_their_own_and_little_time() -> None:
    bare, wide = (plan(request(system={"wide_terms": most})).way("moe") for most in (0, 30_000))
    num_terms = expected_terms(10_000 // 3, 20, 30_000)
    assert wide.params["branch-0"] - bare.params["branch-0"] == 20 * num_terms > 0
    assert wide.training.weights_bytes - bare.training.weights_bytes == 3 * (4 * 20 + 12) * num_terms
    assert wide.inference.peak_bytes - bare.inference.peak_bytes == 3 * (4 * 20 + 12) * num_terms
    assert bare.latency_seconds.expected < wide.latency_seconds.expected < 2 * bare.latency_seconds.expected
    added = plan(request(system={"wide_terms": 30_000})).way("added branch")
    assert added.num_trainable_params == 2 * 8 * 384 + 385 * 20 + 20 * expected_terms(1_000, 20, 30_000)
    assert added.training.peak_bytes > plan(request()).way("added branch").training.peak_bytes


def test_terms_are_counted_by_rows_up_to_the_most_that_are_asked_for() -> None:
    assert expected_terms(400, 10, 30_000) == 10_000
    assert expected_terms(10_000, 10, 30_000) == 25_000
    assert expected_terms(10_000, 10, 7_000) == 7_000
    assert expected_terms(10**6, 20_000, 30_000) == 2**24 // 20_000
    assert expected_terms(10_000, 10, 0) == 0


def test_dense_costs_more_compute_than_moe_and_a_branch_next_to_nothing(found: Plan) -> None:
    dense, moe, added = found.ways
    assert dense.step_training_flops > 2 * moe.step_training_flops > 100 * added.step_training_flops
    assert added.run_seconds.expected < found.retraining_seconds.expected
    assert found.added_over_retraining == pytest.approx(added.run_seconds.expected / found.retraining_seconds.expected)
    assert found.retraining_seconds.expected > moe.run_seconds.expected  # one more branch and its rows


def test_the_cache_saves_the_encoders_share_of_every_step() -> None:
    cached = plan(request()).way("moe")
    uncached = plan(with_training(request(), cache_features=False)).way("moe")
    learns = plan(request(system={"encoder_lora_rank": 8})).way("moe")
    assert cached.cached
    assert cached.feature_cache_bytes == 11_250 * 30 * 384 * 4
    assert not uncached.cached
    assert uncached.feature_cache_bytes == learns.feature_cache_bytes == 0
    assert cached.step_training_flops < uncached.step_training_flops < learns.step_training_flops
    assert learns.training.peak_bytes > uncached.training.peak_bytes


def test_cls_pooling_takes_one_position_of_each_text() -> None:
    mean, cls = (plan(request(system={"pooling": pooling})).way("moe") for pooling in ("mean", "cls"))
    assert cls.feature_cache_bytes * 30 == mean.feature_cache_bytes
    assert cls.step_training_flops < mean.step_training_flops / 20


def test_devices_share_a_batch_and_exchange_gradients() -> None:
    one, four = (plan(request(num_devices=n, device="A100 80GB SXM")).way("moe") for n in (1, 4))
    assert four.training.activations_bytes < one.training.activations_bytes / 3
    assert four.usd is not None
    assert one.usd is not None


def test_accumulation_trades_activations_for_nothing_else() -> None:
    whole, parts = (plan(with_training(request(), accumulation_steps=n)).way("moe") for n in (1, 4))
    assert parts.training.activations_bytes < whole.training.activations_bytes / 3
    assert parts.step_training_flops == pytest.approx(whole.step_training_flops, rel=0.01)


def test_money_is_hours_times_price() -> None:
    way, device = plan(request()).way("moe"), find_device("A100 80GB SXM")
    assert device.usd_per_hour is not None
    assert way.usd is not None
    assert way.usd.expected == pytest.approx(way.run_seconds.expected / 3600 * device.usd_per_hour)
    assert plan(request(device="RTX 3060")).way("moe").usd is None or find_device("RTX 3060").usd_per_hour


def test_what_does_not_fit_gets_the_nearest_change_that_does() -> None:
    big = request(system={"num_experts": 8, "d_ff": 3072}, memory_bytes=1_420_000_000)
    way = plan(big).way("moe")
    assert not way.fits_training
    assert way.remedy is not None
    key, _, value = way.remedy.partition("=")
    number = int(value.split()[0])
    if key == "training.accumulation_steps":
        changed = with_training(big, accumulation_steps=number)
    else:
        changed = big.with_changes(system={**big.system.to_dict(), key.removeprefix("system."): number})
    assert plan(changed).way("moe").fits_training


def test_what_fits_needs_no_change() -> None:
    asked = request()
    shape = SystemShape.of(asked.system)
    assert nearest_change(shape, asked, find_device("A100 80GB SXM"), "float32") is None


def test_a_system_beyond_every_change_names_a_larger_device() -> None:
    asked = request(system={"num_experts": 2, "d_ff": 1_500_000, "num_moe_layers": 16}, device="T4")
    remedy = plan(asked).way("moe").remedy
    assert remedy is not None
    assert "GB" in remedy


def test_ranges_widen_without_a_calibration_and_say_so(found: Plan) -> None:
    step = found.way("moe").step_seconds
    assert step.low < step.expected < step.high
    assert not found.assumption.measured
    assert "assumed, not measured" in found.assumption.text


def calibrated() -> Device:
    calibration = Calibration.from_mapping(
        {
            "date": "2026-01-01",
            "products": {"float32": [[1e6, 1e10], [1e9, 1e11]], "bfloat16": [[1e6, 1e9], [1e9, 5e9]]},
            "bandwidth": 1e10,
            "op_seconds": 5e-6,
            "activations_per_second": 1e9,
            "updates_per_second": 1e8,
        }
    )
    return find_device("cpu-8-cores-avx512").with_changes(calibration=calibration.to_dict())


def test_a_calibration_replaces_the_data_sheet() -> None:
    speed = Speed.on(calibrated(), "float32")
    assert speed.assumption.measured
    assert "100 GFLOP/s" in speed.assumption.text
    shape = SystemShape.of(request().system)
    step = training_step(shape, 64, 30, cached=True)
    assert speed.seconds(step).expected < Speed.on(calibrated(), "bfloat16").seconds(step).expected


def test_updates_cost_what_was_measured() -> None:
    speed = Speed.on(calibrated(), "float32")
    assert speed.seconds([Workload(updated_params=10**8)]).expected == pytest.approx(1.0)


def test_rates_between_measured_sizes_lie_on_the_line() -> None:
    curve = ((1e6, 1e10), (1e8, 3e10))
    assert rate_at(curve, 1e3) == 1e10
    assert rate_at(curve, 1e7) == pytest.approx(2e10)
    assert rate_at(curve, 1e12) == 3e10


def test_a_precision_that_the_device_lacks_is_refused() -> None:
    with pytest.raises(ConfigError, match="T4 does not compute in bfloat16; it does in"):
        plan(request(device="T4", precision="bfloat16"))


def test_checkpointing_keeps_less_and_never_more() -> None:
    shape = SystemShape.of(request(system={"encoder_lora_rank": 8}).system)
    plain, checkpointed = (
        training_memory(shape, batch=64, tokens_per_text=30, checkpointing=on) for on in (False, True)
    )
    assert checkpointed.activations_bytes < plain.activations_bytes
    assert checkpointed.weights_bytes == plain.weights_bytes


def test_answers_need_the_weights_and_a_moment_more() -> None:
    shape = SystemShape.of(request().system)
    memory = inference_memory(shape, batch=1, tokens_per_text=30)
    assert memory.weights_bytes == 4 * shape.num_params["total"] + shape.fixed_bytes
    assert memory.weights_bytes < memory.peak_bytes < 1.1 * memory.weights_bytes


# What to choose


def test_few_branches_and_much_accuracy_speak_for_dense_as_the_document_has_it() -> None:
    rules = plan(request(branches=2, accuracy_floor=0.995)).recommendation.reasons
    assert {r.speaks_for for r in rules if r.source == "document"} == {"dense"}


def test_many_branches_and_growth_speak_for_moe() -> None:
    found = plan(request(branches=12, added_branches=10)).recommendation
    assert found.choice == "moe"
    assert {r.speaks_for for r in found.reasons if r.source == "document"} == {"moe"}


def test_disagreements_quote_the_figure_just_computed(found: Plan) -> None:
    dense, moe = found.way("dense"), found.way("moe")
    speedup = dense.step_seconds.expected / moe.step_seconds.expected
    assert any(f"{speedup:.1f} ×" in sentence for sentence in found.recommendation.disagreements)
    assert any("freezing the trunk" in sentence for sentence in found.recommendation.disagreements)


def test_a_dense_system_is_planned_alone() -> None:
    found = plan(request(system={"ffn": "dense"}))
    assert [way.name for way in found.ways] == ["dense", "added branch"]
    assert found.recommendation.choice == "dense"


# The search


def test_the_largest_fit_fits_and_is_larger_than_what_was_asked_for() -> None:
    asked = request(memory_bytes=4_000_000_000)
    fit = largest_fit(asked)
    assert fit.plan.way("moe").fits_training
    assert fit.plan.way("moe").num_params > plan(asked).way("moe").num_params
    assert fit.num_fitting <= fit.num_tried


@pytest.mark.parametrize("gigabytes", [1.5, 2.0, 2.5, 3.0, 4.0, 6.0])
def test_what_the_search_takes_for_fitting_fits_by_its_plan(gigabytes: float) -> None:
    specs = [{"name": f"branch-{i}", "num_classes": 77} for i in range(3)]
    asked = PlanRequest.from_mapping(
        {"system": {"branches": specs}, "device": "L4", "memory_bytes": int(gigabytes * 1e9)}
    )
    found = largest_fit(asked).plan
    assert found.way("moe").fits_training
    assert found.first_steps.steps


def test_where_nothing_fits_the_encoder_s_own_steps_are_named() -> None:
    asked = request(memory_bytes=800_000_000, training={"encoder_steps": 100}, system={"encoder_lora_rank": 8})
    with pytest.raises(ConfigError, match=r"use training\.encoder_steps=0"):
        largest_fit(asked)


def test_a_budget_limits_the_fit() -> None:
    rich, poor = (largest_fit(request(budget_usd=budget)).plan.way("moe") for budget in (100.0, 0.02))
    assert poor.usd is not None
    assert poor.usd.expected <= 0.02
    assert poor.num_params < rich.num_params


def test_nothing_fits_in_too_little() -> None:
    with pytest.raises(ConfigError, match=r"no system fits 0\.7 GB of A100 80GB SXM: the smallest tried peaks at"):
        largest_fit(request(memory_bytes=700_000_000))


# Requests


def test_a_run_config_without_classes_is_refused_with_the_remedy(tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("output: runs/x\ndata:\n  branches:\n    - {name: a, path: a.csv}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="names no classes"):
        request_from(config)


def test_a_finished_run_says_how_many_rows_and_classes_it_has(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(
        "output: runs/x\nsystem: {d_ff: 96}\ndata:\n  branches:\n    - {name: a, path: a.csv}\n", encoding="utf-8"
    )
    report = {"a": {"num_classes": 7, "num_train": 500, "length_median": 80}}
    (tmp_path / "data_report.json").write_text(json.dumps(report), encoding="utf-8")
    found = request_from(tmp_path)
    assert found.num_rows == 500
    assert found.system.branches[0].num_classes == 7
    assert found.system.d_ff == 96
    assert found.tokens_per_text == 22


def test_a_plan_file_is_read_and_its_mistakes_are_named(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text("system:\n  branches: [{name: a, num_classes: 4}]\nnum_rows: 1000\ndevise: L4\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="unknown key 'devise'; known, nearest first: device"):
        request_from(file)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_rows": 0}, "num_rows"),
        ({"tokens_per_text": 500}, "more than system.max_seq_len=128"),
        ({"num_devices": 3}, "must be a multiple of num_devices × accumulation_steps = 3; choose 63"),
        ({"branches": 0}, "system.branches is empty"),
        ({"branches": 70}, "cannot hold a row of each of 70 branches"),
    ],
)
def test_requests_that_cannot_be_name_the_value_and_the_rule(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        request(**changes)


def test_unknown_devices_and_encoders_list_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="unknown device 'RTX 4091'; known, nearest first: 'RTX 4090'"):
        plan(request(device="RTX 4091"))
    with pytest.raises((UnknownNameError, ConfigError), match="bert-base-uncased"):
        plan(request(system={"base_model_name": "bert-base-uncasedd"}))


# The document


def test_claims_that_differ_say_why_and_none_is_called_measured() -> None:
    table = {claim.what: claim for claim in document_table()}
    assert table["parameters, MoE"].computed == "11.31B"
    assert table["active in one MoE layer"].computed == "1.20B"
    assert table["LoRA adapter, rank 8, 768 wide"].computed == "12,288"
    assert table["head of 100 classes, 768 wide"].computed == "76,900"
    agree = {what for what, claim in table.items() if not claim.why}
    assert agree == {
        "active for one branch's answer",
        "weights, dense, float32",
        "an epoch, dense",
        "an epoch, MoE",
        "50 epochs, dense",
        "50 epochs, MoE",
    }
    assert not any("measured" in claim.computed for claim in table.values())


def test_ranges_add_and_scale() -> None:
    total = Range(1, 2, 3).plus(Range(1, 1, 1)).times(2)
    assert (total.low, total.expected, total.high) == (4, 6, 8)
    assert total.holds(5)
    assert not total.holds(9)


@pytest.mark.parametrize(
    "report",
    [
        "{",
        "[]",
        '{"topics": {}}',
        '{"topics": 3}',
        '{"topics": {"num_classes": 3, "num_train": 0, "length_median": 1}}',
    ],
)
def test_a_damaged_report_of_a_run_is_told_with_its_remedy(tmp_path: Path, report: str) -> None:
    run = {"output": "runs/a", "data": {"branches": [{"name": "topics", "path": "t.csv"}]}}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run), encoding="utf-8")
    (tmp_path / "data_report.json").write_text(report, encoding="utf-8")
    with pytest.raises(IntegrityError, match=r"data_report\.json"):
        request_from(tmp_path)
