"""A pretrained MoE over several devices: what each holds, which split is taken, what to change when nothing fits."""

import pytest
from moe_configs import published, ways

from interconnected_ai.planner.pretrained import split_over

GB = 10**9


def test_expert_parallelism_divides_experts_and_nothing_else() -> None:
    model = published("Qwen3-30B-A3B")
    way = ways(model)["inference"]
    plan = split_over(model, way, 80 * GB, 8)
    experts = 2 * model.num_expert_params_all
    parallel = {row.num_devices: row for row in plan.rows if row.kind == "expert parallelism"}
    assert list(parallel) == [1, 2, 4, 8]  # divisors of 128
    for devices, row in parallel.items():
        assert row.bytes_per_device == way.total_bytes - experts + experts // devices
        assert row.traffic_bytes == 2048 * 8 * 2048 * 2 * 2 * 48 * (devices - 1) // devices
        assert row.fits == (row.bytes_per_device <= 80 * GB)


def test_fsdp_divides_everything_but_activations_and_gathers_layers() -> None:
    model = published("OLMoE-1B-7B")
    way = ways(model)["full"]
    rows = {row.num_devices: row for row in split_over(model, way, 80 * GB, 3).rows if row.kind == "fsdp"}
    assert list(rows) == [2, 3]
    layer = (model.num_params - model.num_embedding_params - model.num_head_params - 2048) // 16
    outside = model.num_embedding_params + model.num_head_params + 2048
    gathered = 2 * outside + 2 * 2 * layer + 2 * layer
    assert way.gathered_bytes == gathered
    assert rows[2].bytes_per_device == way.activation_bytes + 8 * model.num_params + gathered


def test_the_lowest_expert_parallelism_that_fits_is_taken_and_the_reason_is_its_traffic() -> None:
    model = published("Qwen3-30B-A3B")
    way = ways(model)["inference"]
    plan = split_over(model, way, 24 * GB, 16)
    assert plan.best is not None
    assert (plan.best.kind, plan.best.num_devices) == ("expert parallelism", 4)
    fitting = [row.num_devices for row in plan.rows if row.fits and row.kind == "expert parallelism"]
    assert min(fitting) == 4
    assert "lowest that fits" in plan.advice
    assert "traffic grows" in plan.advice
    alone = split_over(model, way, 80 * GB, 16)
    assert alone.best is not None
    assert alone.best.num_devices == 1
    assert "one device" in alone.advice


def test_where_the_undivided_rest_is_too_large_fsdp_is_taken() -> None:
    model = published("Qwen3-30B-A3B")
    plan = split_over(model, ways(model)["full"], 80 * GB, 8)
    assert plan.best is not None
    assert plan.best.kind == "fsdp"
    assert not any(row.fits for row in plan.rows if row.kind == "expert parallelism")
    assert "no expert parallelism fits" in plan.advice


@pytest.mark.parametrize(
    ("name", "way", "memory", "devices", "words"),
    [
        ("Qwen3-30B-A3B", "inference", 24, 1, "int4 weights, experts too"),
        ("Qwen3-30B-A3B", "inference", 48, 1, "int8 weights, experts too"),
        ("Qwen3-30B-A3B", "full", 80, 1, "lora"),
        ("Qwen3-30B-A3B", "lora", 24, 1, "qlora with 4-bit experts"),
        ("OLMoE-1B-7B", "full", 24, 2, "lora"),
        ("gpt-oss-20b", "router-only", 24, 1, "int4 weights, experts too"),
    ],
)
def test_when_nothing_fits_the_nearest_change_that_does_is_named_and_true(
    name: str, way: str, memory: int, devices: int, words: str
) -> None:
    model = published(name)
    plan = split_over(model, ways(model)[way], memory * GB, devices)
    assert plan.best is None
    assert not any(row.fits for row in plan.rows)
    assert f"nearest change that fits: {words} on" in plan.advice
    changed = {"int4 weights, experts too": (way, "int4"), "int8 weights, experts too": (way, "int8")}
    instead, precision = changed.get(words, (words, None))
    done = split_over(model, ways(model, precision=precision)[instead], memory * GB, devices)
    assert done.best is not None
    assert str(done.best) in plan.advice


def test_when_nothing_fits_the_number_of_devices_that_would_do_is_named_and_true() -> None:
    model = published("Qwen3-30B-A3B")
    way = ways(model)["full"]
    advice = split_over(model, way, 24 * GB, 2).advice
    needed = int(advice.partition("more devices: FSDP over ")[2].split()[0])
    assert split_over(model, way, 24 * GB, needed).best is not None
    assert split_over(model, way, 24 * GB, needed - 1).best is None


def test_a_longer_batch_or_no_checkpointing_is_undone_first() -> None:
    model = published("OLMoE-1B-7B")
    kept = ways(model, batch=8, checkpointing=False)["lora"]
    assert "gradient checkpointing" in split_over(model, kept, 40 * GB, 1).advice
    wide = ways(model, batch=64)["lora"]
    assert "batch 1" in split_over(model, wide, 24 * GB, 1).advice


def test_devices_too_small_for_any_change_are_told_so() -> None:
    model = published("DeepSeek-V3")
    advice = split_over(model, ways(model)["full"], 8 * GB, 2).advice
    assert "take devices with more memory" in advice
