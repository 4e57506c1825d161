"""The expert model's counts: the document's figures, the built model, and pools of experts in a RAM budget."""

import weakref
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from interconnected_ai.config import ExpertConfig
from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.experts import ExpertModel
from interconnected_ai.experts.torch_engine import TorchEngine
from interconnected_ai.experts.torch_products import can_pack
from interconnected_ai.nn import MultiHeadAttention
from interconnected_ai.planner.expert import (
    PRESETS,
    PoolSize,
    decode_rate,
    expert_preset,
    expert_size,
    expert_working_bytes,
    kv_cache_bytes,
    pool_size,
    prefill_rate,
    products,
)
from interconnected_ai.planner.products import backward_flops, forward_flops
from properties import examples

MIB = 2**20
DOCUMENT = ExpertConfig(vocab_size=10_000, d_model=512, n_layers=6, n_heads=8, d_ff=2048, max_seq_len=512)
few = examples(25)
fewer = examples(12)


def on_meta(shape: ExpertConfig, norm: str = "post") -> ExpertModel:
    with torch.device("meta"):
        return ExpertModel.from_config(shape.with_changes(norm=norm))  # type: ignore[arg-type]


def num_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of these tensors, a tied one once."""
    return sum(t.numel() * t.element_size() for t in {t.untyped_storage()._cdata: t for t in tensors}.values())


@st.composite
def shapes(draw: st.DrawFn, largest: int = 12) -> ExpertConfig:
    n_heads = draw(st.integers(1, 4))
    return ExpertConfig(
        vocab_size=draw(st.integers(1, 3000)),
        d_model=n_heads * draw(st.integers(1, largest)),
        n_layers=draw(st.integers(1, 4)),
        n_heads=n_heads,
        d_ff=draw(st.none() | st.integers(1, 200)),
        max_seq_len=draw(st.integers(8, 64)),
        tie_weights=draw(st.booleans()),
    )


# The document's figures


def test_the_documents_main_model_is_counted_exactly() -> None:
    size = expert_size(DOCUMENT)
    assert size.num_params == 29_155_328
    assert size.num_params_without_embedding == 24_035_328
    megabytes = {p: size.weight_bytes(p) / MIB for p in ("float32", "float16", "int8")}
    assert {p: f"{mb:.1f}" for p, mb in megabytes.items()} == {"float32": "111.2", "float16": "55.6", "int8": "27.8"}


def test_the_documents_small_example_is_counted_with_d_ff_left_out() -> None:
    assert expert_size(ExpertConfig(vocab_size=5000, d_model=256, n_layers=4)).num_params == 5_719_552


@pytest.mark.parametrize(
    ("name", "num_params", "megabytes"),
    [
        ("tiny", 1_676_800, ("6.4", "3.2", "1.6")),
        ("small", 8_279_552, ("31.6", "15.8", "7.9")),
        ("medium", 51_683_328, ("197.2", "98.6", "49.3")),
        ("large", 133_504_512, ("509.3", "254.6", "127.3")),
    ],
)
def test_the_documents_table_of_sizes_is_met_by_the_presets(
    name: str, num_params: int, megabytes: tuple[str, str, str]
) -> None:
    size = expert_size(expert_preset(name.title()))
    assert size.num_params == num_params
    assert tuple(f"{size.weight_bytes(p) / MIB:.1f}" for p in ("float32", "float16", "int8")) == megabytes


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_the_only_shape_of_its_kind_with_that_count(name: str) -> None:
    wanted = expert_size(PRESETS[name]).num_params
    found = []
    for d_model in range(64, 1537, 64):
        for n_layers in range(1, 49):
            rest = (
                wanted
                - expert_size(ExpertConfig(vocab_size=1, d_model=d_model, n_layers=n_layers)).num_params
                + 2 * d_model
            )
            if rest > 0 and rest % (2 * d_model * 1000) == 0:
                found.append((rest // (2 * d_model), d_model, n_layers))
    assert found == [(PRESETS[name].vocab_size, PRESETS[name].d_model, PRESETS[name].n_layers)]


# The built model


@few
@given(shapes(), st.sampled_from(["post", "pre"]))
def test_every_count_is_the_built_models(shape: ExpertConfig, norm: str) -> None:
    model, size = on_meta(shape, norm), expert_size(shape)
    assert model.config.with_changes(d_ff=shape.d_ff) == shape.with_changes(norm=norm)
    assert size.num_params == model.get_num_params()
    assert size.num_params_without_embedding == model.get_num_params(non_embedding=True)
    assert size.num_embedding_params == model.embedding.weight.numel()
    assert size.num_head_params == (0 if shape.tie_weights else model.head.weight.numel())
    norms = [m for m in model.modules() if isinstance(m, nn.LayerNorm)]
    assert size.num_norm_params == sum(p.numel() for part in norms for p in part.parameters())
    attention = [m for m in model.modules() if isinstance(m, MultiHeadAttention)]
    assert size.num_attention_params == sum(p.numel() for part in attention for p in part.parameters())
    assert size.weight_bytes("float32") == num_bytes(model.parameters())
    assert size.position_buffer_bytes == num_bytes(model.buffers())


@few
@given(shapes())
def test_saved_bytes_are_the_state_dicts(shape: ExpertConfig) -> None:
    size = expert_size(shape)
    for precision, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16), ("float16", torch.float16)):
        assert size.state_dict_bytes(precision) == num_bytes(on_meta(shape).to(dtype).state_dict().values())


@fewer
@given(shapes(), st.integers(1, 3), st.integers(1, 4), st.integers(0, 4))
def test_flops_of_a_pass_are_the_flop_counters(shape: ExpertConfig, batch: int, seq: int, num_cached: int) -> None:
    model = on_meta(shape)
    with torch.no_grad(), torch.device("meta"):
        cache = model.new_cache(batch, num_cached + seq)
        if num_cached:
            model(torch.zeros(batch, num_cached, dtype=torch.long), cache=cache)
        with FlopCounterMode(display=False) as counter:
            model(torch.zeros(batch, seq, dtype=torch.long), cache=cache)
        assert counter.get_total_flops() == forward_flops(products(shape, batch, seq, num_cached_tokens=num_cached))
        with FlopCounterMode(display=False) as counter:
            model(torch.zeros(batch, seq, dtype=torch.long), cache=model.new_cache(batch, seq), last_only=True)
        assert counter.get_total_flops() == forward_flops(products(shape, batch, seq, all_logits=False))


@fewer
@given(shapes(), st.integers(1, 3), st.integers(1, 8))
def test_flops_of_training_are_the_flop_counters(shape: ExpertConfig, batch: int, seq: int) -> None:
    model = on_meta(shape)
    input_ids = torch.zeros(batch, seq, dtype=torch.long, device="meta")
    with FlopCounterMode(display=False) as counter:
        model(input_ids).sum().backward()
    work = products(shape, batch, seq, trains=True)
    assert counter.get_total_flops() == forward_flops(work) + backward_flops(work)
    assert backward_flops(products(shape, batch, seq)) == 0


@fewer
@given(shapes(), st.integers(1, 3), st.integers(1, 8))
def test_the_cache_holds_the_keys_and_values_of_every_token(shape: ExpertConfig, batch: int, num_tokens: int) -> None:
    for precision, dtype in (("float32", torch.float32), ("float16", torch.float16)):
        cache = on_meta(shape).to(dtype).new_cache(batch, num_tokens)
        assert kv_cache_bytes(shape, num_tokens, batch=batch, precision=precision) == cache.num_bytes


class LiveBytes(TorchDispatchMode):
    """The most bytes of tensors made under this mode that were alive at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = {leaf.untyped_storage()._cdata for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor) and (storage := leaf.untyped_storage())._cdata not in before | self.known:
                self.known.add(storage._cdata)
                self.now += storage.nbytes()
                weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())
        self.peak = max(self.peak, self.now)
        return out

    def _gone(self, name: int, size: int) -> None:
        self.known.discard(name)
        self.now -= size


@pytest.mark.parametrize(
    ("batch", "num_tokens", "d_ff"), [(1, 256, None), (2, 128, None), (1, 1024, 512), (1, 256, 64)]
)
@pytest.mark.parametrize("norm", ["post", "pre"])
def test_working_memory_is_what_reading_a_prompt_takes(
    norm: str, batch: int, num_tokens: int, d_ff: int | None
) -> None:
    shape = ExpertConfig(vocab_size=1000, d_model=64, n_layers=3, n_heads=4, d_ff=d_ff, max_seq_len=1024)
    model = ExpertModel.from_config(shape.with_changes(norm=norm)).eval()  # type: ignore[arg-type]
    with torch.inference_mode(), LiveBytes() as live:
        cache = model.new_cache(batch, num_tokens)
        model(torch.zeros(batch, num_tokens, dtype=torch.long), cache=cache, last_only=True)
    counted = expert_working_bytes(shape, num_tokens, batch=batch, precision="float32")
    assert 0.98 * live.peak <= counted <= 1.15 * live.peak


# Speed


def test_generating_reads_every_weight_but_the_embedding_table_once_a_token() -> None:
    shape = DOCUMENT.with_changes(max_seq_len=2048)
    read = (
        expert_size(shape).num_params_without_embedding * 2 + kv_cache_bytes(shape, 100, precision="float16") + 512 * 4
    )
    alone = {
        "precision": "float16",
        "num_context_tokens": 100,
        "bandwidth_share": (0.5, 1.0),
        "block_seconds": (0.0, 0.0),
    }
    rate = decode_rate(shape, bandwidth=1e9, **alone)  # type: ignore[arg-type]
    assert rate.high == pytest.approx(1e9 / read)
    assert rate.low == pytest.approx(rate.high / 2)
    assert rate.bound_by == "bandwidth"
    assert "assumed, not measured: 50% to 100% of 1 GB/s" in rate.assumption


def test_the_assumed_shares_hold_what_gpt_fast_measured_on_a_large_model() -> None:
    # Llama-2-7B, int8, batch 1, almost no context on an A100 80GB: 155.58 tokens/s (gpt-fast, README, Benchmarks).
    # Its gated feed-forward of 3 × 11,008 has as many weights as a plain one of 16,512.
    llama = ExpertConfig(vocab_size=32_000, d_model=4096, n_layers=32, n_heads=32, d_ff=16_512, max_seq_len=4096)
    assert expert_size(llama).num_params == pytest.approx(6.74e9, rel=0.01)
    rate = decode_rate(llama, bandwidth=2.039e12, precision="int8", num_context_tokens=5)
    assert rate.low < 155.58 < rate.high
    half = decode_rate(llama, bandwidth=2.039e12, precision="float16", num_context_tokens=5)
    assert half.low < 104.9 < half.high


@few
@given(shapes(largest=64), st.integers(1, 8), st.sampled_from(["float32", "float16", "int8", "int4"]))
def test_rates_are_ranges_that_grow_with_the_device(shape: ExpertConfig, batch: int, precision: str) -> None:
    slow = decode_rate(shape, bandwidth=1e10, flops=1e11, precision=precision, batch=batch)
    fast = decode_rate(shape, bandwidth=1e12, flops=1e13, precision=precision, batch=batch)
    assert 0 < slow.low < slow.high < fast.high
    assert slow.low <= fast.low < fast.high
    bytes_only = decode_rate(shape, bandwidth=1e10, precision=precision, batch=batch)
    assert bytes_only.high >= slow.high


def test_a_small_batch_is_bound_by_bandwidth_and_a_long_prompt_by_compute() -> None:
    device = {"bandwidth": 4e10, "flops": 2e11}
    assert decode_rate(DOCUMENT, **device).bound_by == "bandwidth"
    assert prefill_rate(DOCUMENT, **device, seq=256).bound_by == "compute"
    one, many = (decode_rate(DOCUMENT, **device, num_context_tokens=16, batch=n) for n in (1, 16))
    assert many.high > 3 * one.high
    assert many.bound_by == "compute"
    all_logits, last = (prefill_rate(DOCUMENT, flops=2e11, seq=64, all_logits=which) for which in (True, False))
    assert last.high > all_logits.high


# Pools


def test_a_pool_keeps_as_many_experts_as_fit_beside_the_working_memory() -> None:
    each, working = expert_size(DOCUMENT).state_dict_bytes("float16"), expert_working_bytes(DOCUMENT)
    pool = pool_size(DOCUMENT, 64, 10 * each + 2 * working + 1, num_active=2)
    assert (pool.num_resident, pool.expert_bytes, pool.working_bytes) == (10, each, working)
    assert pool.fits
    assert not pool.all_resident
    assert pool.disk_bytes == 64 * each
    assert pool.used_bytes == 10 * each + 2 * working <= pool.ram_bytes


def test_the_documents_64_experts_fit_into_four_gigabytes_at_half_precision() -> None:
    pool = pool_size(DOCUMENT, 64, 4 * 2**30, "float16")
    assert pool.all_resident
    assert pool.mean_load_seconds is None
    assert pool_size(DOCUMENT, 64, 2 * 2**30, "float16").num_resident < 64


def test_loading_takes_the_disk_or_a_copy_from_the_page_cache() -> None:
    pool = pool_size(25_000_000, 4, 10**8, "float32", disk_bandwidth=5e8, memory_bandwidth=1e10)
    assert (pool.num_resident, pool.expert_bytes, pool.working_bytes) == (1, 10**8, 0)
    assert pool.load_seconds == pytest.approx(0.2)
    assert pool.cached_load_seconds == pytest.approx(0.02)
    assert pool.mean_load_seconds == pytest.approx(0.15)


@few
@given(
    shapes(),
    st.integers(1, 200),
    st.integers(1, 10**8),
    st.sampled_from(["float32", "float16", "int8", "int4"]),
    st.integers(0, 10**6),
)
def test_a_pool_never_plans_more_than_its_budget(
    shape: ExpertConfig, num_experts: int, ram_bytes: int, precision: str, reserve_bytes: int
) -> None:
    def pool(ram: int) -> PoolSize:
        return pool_size(shape, num_experts, ram, precision, num_active=1, reserve_bytes=reserve_bytes)

    planned = pool(ram_bytes)
    assert 0 <= planned.num_resident <= num_experts
    if planned.fits:
        assert planned.used_bytes <= ram_bytes
    assert planned.fits == (ram_bytes >= planned.needed_bytes)
    assert pool(planned.needed_bytes).fits
    assert pool(planned.needed_for_all_bytes).all_resident
    assert not pool(planned.needed_for_all_bytes - 1).all_resident


# Bad input


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"n_heads": 7}, "d_model=512 cannot be dealt out over n_heads=7; n_heads must divide it, 8 would"),
        ({"n_layers": 0}, "n_layers = 0: "),
        ({"vocab_size": -1}, "vocab_size = -1"),
        ({"d_ff": 0}, "d_ff = 0"),
        ({"d_model": 512.0}, r"d_model = 512\.0"),
        ({"n_heads": True}, "n_heads = True"),
        ({"max_seq_len": 0}, "max_seq_len = 0"),
        ({"dropout": 1.0}, r"dropout = 1\.0"),
    ],
)
def test_an_impossible_shape_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        DOCUMENT.with_changes(**changes)


def test_impossible_requests_are_refused() -> None:
    for wrong in (
        lambda: kv_cache_bytes(DOCUMENT, 513),
        lambda: kv_cache_bytes(DOCUMENT, -1),
        lambda: products(DOCUMENT, 0, 1),
        lambda: products(DOCUMENT, 1, 1, num_cached_tokens=512),
        lambda: decode_rate(DOCUMENT, bandwidth=0.0),
        lambda: prefill_rate(DOCUMENT, flops=float("nan")),
        lambda: pool_size(DOCUMENT, 0, 10**9),
        lambda: pool_size(DOCUMENT, 2, 10**9, num_active=3),
        lambda: pool_size(0, 2, 10**9),
        lambda: pool_size(DOCUMENT, 2, 10**9, reserve_bytes=-1),
        lambda: pool_size(DOCUMENT, 2, 10**9, disk_bandwidth=0.0),
    ):
        with pytest.raises(ConfigError):
            wrong()


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="known, nearest first: 'large'"):
        expert_preset("larg")
    with pytest.raises(UnknownNameError, match="known, nearest first: 'float16'"):
        expert_size(DOCUMENT).weight_bytes("fp16")
    with pytest.raises(UnknownNameError):
        pool_size(DOCUMENT, 1, 10**9, "float8")


@pytest.mark.parametrize("tied", [False, True])
def test_a_planned_expert_takes_the_bytes_that_its_engine_says_it_holds(tied: bool) -> None:
    model = ExpertModel(300, 64, 3, 4, max_seq_len=128, tie_weights=tied).eval()
    if not can_pack(model.head.weight):
        pytest.skip("oneDNN's layout needs an x86 CPU")
    with TorchEngine(model, layout="packed") as engine:
        pool = pool_size(model.config, 4, 10**9, "float32")
        assert engine.num_bytes == pool.held_bytes
    assert pool.copied_bytes > 0
    assert pool_size(model.config, 4, 10**9, "float16").copied_bytes == 0
