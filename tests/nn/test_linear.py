"""Products by oneDNN where MKL is slow: the same numbers, few programs, and nothing of it where something learns."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from interconnected_ai.nn import MOST_ROWS, LoRALinear, few_shapes, linear, multiplies_by_onednn, swap_linears
from properties import examples

CPU = torch.device("cpu")
module = sys.modules["interconnected_ai.nn.linear"]
needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch has no oneDNN here")

PROGRAMS = """
import sys, torch
import interconnected_ai.nn
sys.modules["interconnected_ai.nn.linear"]._is_slow_for_mkl = lambda: True
from conftest import make_encoder

tiny = make_encoder()
with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON_CREATION), torch.inference_mode():
    for number in range(2, 70):
        tiny(*tiny.pad(tiny.tokenize(["cat " * (1 + number % 9)] * number)))
"""


@pytest.fixture
def slow_for_mkl(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if on an AMD CPU with AVX-512: what oneDNN computes it computes on any CPU."""
    monkeypatch.setattr(module, "_is_slow_for_mkl", lambda: True)


@needs_onednn
@pytest.mark.usefixtures("slow_for_mkl")
@pytest.mark.parametrize("num_rows", [1, 16, 17, 64, 1024, 2048])
@pytest.mark.parametrize("has_bias", [True, False])
def test_the_product_is_torchs_to_rounding(num_rows: int, has_bias: bool) -> None:
    random = torch.Generator().manual_seed(num_rows)
    rows, weight, bias = (torch.randn(shape, generator=random) for shape in ((num_rows, 24), (40, 24), (40,)))
    given_bias = bias if has_bias else None
    with torch.no_grad():
        for given_rows in (rows, torch.randn(24, num_rows, generator=random).T):
            torch.testing.assert_close(
                linear(given_rows, weight, given_bias), F.linear(given_rows, weight, given_bias), atol=1e-5, rtol=1e-5
            )


@needs_onednn
@pytest.mark.usefixtures("slow_for_mkl")
def test_what_learns_and_what_is_no_float32_is_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> None:
        raise AssertionError("oneDNN was asked")

    rows, weight = torch.randn(16, 8), torch.randn(8, 8, requires_grad=True)
    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", refuse)
    linear(rows, weight, None).sum().backward()
    assert weight.grad is not None
    with torch.no_grad():
        linear(rows.double(), weight.detach().double(), None)
        linear(rows.view(4, 4, 8), weight, None)
        linear(rows[:0], weight, None)
        linear(rows[:15], weight, None)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert linear(rows, weight, None).dtype == torch.bfloat16
        with pytest.raises(AssertionError, match="oneDNN"):
            linear(rows, weight, None)


@needs_onednn
@pytest.mark.usefixtures("slow_for_mkl")
def test_onednn_can_be_forbidden() -> None:
    assert multiplies_by_onednn(CPU)
    assert not multiplies_by_onednn(torch.device("meta"))
    before = torch.backends.mkldnn.enabled
    torch._C._set_mkldnn_enabled(False)
    try:
        assert not multiplies_by_onednn(CPU)
    finally:
        torch._C._set_mkldnn_enabled(before)


def test_the_rule_looks_at_the_cpu(tmp_path: Path) -> None:
    told = tmp_path / "cpuinfo"
    told.write_bytes(b"vendor_id\t: AuthenticAMD\nmodel name\t: \xff\n")
    assert "AuthenticAMD" in module._cpu(told)  # type: ignore[attr-defined]
    assert module._cpu(tmp_path / "nothing") == ""  # type: ignore[attr-defined]


@given(st.integers(0, 100_000))
@examples(200)
def test_few_numbers_of_rows_are_computed(num_rows: int) -> None:
    found = few_shapes(num_rows)
    assert found >= max(16, num_rows)
    assert found == few_shapes(found)
    assert found <= max(16, 2 * num_rows) or num_rows < 16
    assert found % MOST_ROWS == 0 or found < MOST_ROWS


def test_there_are_fourteen_of_them_up_to_the_most() -> None:
    assert len({few_shapes(num_rows) for num_rows in range(1, MOST_ROWS + 1)}) == 14


@needs_onednn
def test_texts_of_any_lengths_make_few_programs() -> None:
    tests = Path(__file__).parents[1]
    code = f"import sys; sys.path.insert(0, {str(tests)!r})\n{PROGRAMS}"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    made = [line for line in found.stdout.splitlines() if "create:cache_miss" in line and "inner_product" in line]
    assert 0 < len(made) <= 3 * 14  # three shapes of weights


@pytest.mark.usefixtures("slow_for_mkl")
def test_a_layer_stays_the_module_that_it_was() -> None:
    inner = nn.Linear(8, 8)
    model = nn.Sequential(inner, nn.ReLU(), nn.Sequential(nn.Linear(8, 4, bias=False)))
    names, rows = list(model.state_dict()), torch.randn(16, 8)
    wanted = model(rows)
    swap_linears(model)
    swap_linears(model)
    assert model[0] is inner
    assert isinstance(inner, nn.Linear)
    assert list(model.state_dict()) == names
    torch.testing.assert_close(model(rows), wanted)
    with torch.inference_mode():
        torch.testing.assert_close(copy.deepcopy(model)(rows), wanted, atol=1e-5, rtol=1e-5)
    wrapped = LoRALinear(inner, 2)
    wrapped.folds = True
    nn.init.normal_(wrapped.lora.lora_b)
    wanted = wrapped(rows)
    with torch.inference_mode():
        torch.testing.assert_close(wrapped.eval()(rows), wanted, atol=1e-4, rtol=1e-4)
