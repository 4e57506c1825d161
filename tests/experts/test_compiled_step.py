"""The compiled step of a single row: the numbers of PyTorch's calls, whatever came before it; a reason where there is none."""

import gc
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from causal_networks import LEAN, network
from expert_models import ids, made

from interconnected_ai import GenerationConfig
from interconnected_ai.errors import EngineError, UnknownNameError
from interconnected_ai.experts import AdapterWeights, CausalEngine, LowRank, TorchEngine
from interconnected_ai.experts.adapters.rows import GroupedAdapters
from interconnected_ai.experts.cached_decoder import CachedDecoder
from interconnected_ai.experts.causal import LeanDecoder, LlamaParts
from interconnected_ai.experts.compilable_decoder import step_together
from interconnected_ai.experts.compiled import StepLibrary, library, library_folder, pages, step, step_library
from interconnected_ai.experts.torch_decoder import DecoderParts, TorchDecoder
from interconnected_ai.experts.torch_products import LAYOUTS

PROMPTS = [ids(1, n, seed=n)[0].tolist() for n in (3, 11, 1, 6)]
GREEDY = GenerationConfig(temperature=0.0, max_new_tokens=12)
ODD = {"vocab_size": 101, "d_model": 36, "n_heads": 3, "d_ff": 53}  # no width is a multiple of a vector's
EXPERTS: dict[str, dict[str, Any]] = {
    "post-norm": {"norm": "post"},
    "pre-norm": {"norm": "pre"},
    "tied": {"norm": "pre", "tie_weights": True},
    "odd widths": {"norm": "post", **ODD},
    "deeper": {"norm": "pre", "n_layers": 5, "d_model": 64, "d_ff": 256},
    "wide": {"norm": "pre", "n_layers": 1, "d_model": 256, "d_ff": 2053},  # a thread's share is several pieces
}
NAMES = [*EXPERTS, *LEAN]


@pytest.fixture(scope="module")
def compiled() -> StepLibrary:
    """The library, or the reason to skip."""
    found = step_library()
    if found.calls is None:
        pytest.skip(found.why_not)
    return found


def decoder(name: str, compiled: StepLibrary | None) -> CachedDecoder[Any]:
    plain = LAYOUTS["plain"]()
    if name in EXPERTS:
        parts = DecoderParts.of(made(max_seq_len=64, **EXPERTS[name]), plain, compiled)
        assert (parts.compiled.model is None) == (compiled is None), parts.compiled.why_not
        return TorchDecoder(parts)
    return LeanDecoder(LlamaParts.of(network(name), plain, compiled), 64)


def close(ours: torch.Tensor, wanted: torch.Tensor) -> None:
    assert wanted.std() > 0.1
    torch.testing.assert_close(ours, wanted, atol=1e-5, rtol=1e-5)


def near(ours: torch.Tensor, wanted: torch.Tensor) -> None:
    """With an adapter logits are several times as large, and so is their rounding."""
    torch.testing.assert_close(ours, wanted, atol=1e-4, rtol=1e-4)


def both(name: str, compiled: StepLibrary) -> Callable[[Callable[[CachedDecoder[Any]], Any]], None]:
    """Does something with a decoder that takes the calls and one that takes the compiled step; what it gives must be close."""
    calls, ours = decoder(name, None), decoder(name, compiled)

    def require_same(do: Callable[[CachedDecoder[Any]], Any]) -> None:
        wanted, found = do(calls), do(ours)
        if wanted is not None:
            close(found, wanted)

    return require_same


@pytest.mark.parametrize("name", NAMES)
def test_a_row_alone_gives_the_logits_of_the_calls(name: str, compiled: StepLibrary) -> None:
    same = both(name, compiled)
    same(lambda one: one.start([PROMPTS[0]], 40))
    for number in range(30):
        same(lambda one, number=number: one.step(ids(1, seed=number)))  # type: ignore[misc]


@pytest.mark.parametrize("name", ["post-norm", "llama", "mistral, window of 5", "qwen3"])
def test_a_row_steps_on_after_others_have_left_and_after_going_back(name: str, compiled: StepLibrary) -> None:
    same = both(name, compiled)
    same(lambda one: one.start(PROMPTS, 40))
    same(lambda one: one.step(ids(4, seed=1)))
    same(lambda one: one.select([2]))  # the shortest, with padding before it
    for number in range(4):
        same(lambda one, number=number: one.step(ids(1, seed=number)))  # type: ignore[misc]
    same(lambda one: one.extend(ids(1, 5, seed=7)))
    same(lambda one: one.step(ids(1, seed=8)))
    same(lambda one: one.rewind(4))
    same(lambda one: one.step(ids(1, seed=9)))
    same(lambda one: one.select([0, 0]))
    same(lambda one: one.step(ids(2, seed=10)))
    same(lambda one: one.select([1]))
    same(lambda one: one.step(ids(1, seed=11)))


@pytest.mark.parametrize("name", ["pre-norm", "llama"])
def test_what_a_compiled_row_remembers_is_what_the_calls_go_on_with(name: str, compiled: StepLibrary) -> None:
    ours, calls = decoder(name, compiled), decoder(name, None)
    ours.start([PROMPTS[0]], 40)
    more = ids(5, seed=3)
    for token in more:
        ours.step(token[None])
    state = ours.state(0, len(PROMPTS[0]) + len(more))
    prompt = [*PROMPTS[0], *more.tolist(), 7]
    close(calls.start([prompt], 40, states=[state]), decoder(name, None).start([prompt], 40))
    ours.start([prompt], 40, states=[state])
    close(ours.step(ids(1)), calls.step(ids(1)))


@pytest.mark.parametrize("name", ["post-norm", "odd widths", "wide", "llama, wide heads", "mistral, window of 5"])
def test_the_number_of_threads_changes_no_bit(
    name: str, compiled: StepLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "_BYTES_PER_THREAD", 1)
    found = []
    for number in (1, 2, 3, 7):
        with monkeypatch.context() as patched:
            patched.setattr(step.torch, "get_num_threads", lambda number=number: number)
            one = decoder(name, compiled)
            one.start([PROMPTS[1]], 40)
        found.append(torch.cat([one.step(ids(1, seed=seed)).clone() for seed in range(8)]))
    assert all(torch.equal(found[0], other) for other in found[1:])


@pytest.mark.parametrize(
    "name", ["post-norm", "odd widths", "deeper", "wide", "llama, wide heads", "mistral, window of 5", "qwen3"]
)
@pytest.mark.parametrize("threads", [1, 3])
def test_rows_that_step_together_have_the_bits_of_each_alone(
    name: str, threads: int, compiled: StepLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many they are, of whatever lengths, whoever joins and leaves."""
    monkeypatch.setattr(step, "_BYTES_PER_THREAD", 1)
    monkeypatch.setattr(step.torch, "get_num_threads", lambda: threads)
    parts = decoder(name, compiled)._parts  # type: ignore[attr-defined]
    lengths = [3, 11, 1, 6, 20, 2, 9, 4, 7]

    def begun() -> list[Any]:
        found = []
        for number, length in enumerate(lengths):
            one = TorchDecoder(parts) if name in EXPERTS else LeanDecoder(parts, 64)
            one.start([ids(1, length, seed=number)[0].tolist()], 60)
            found.append(one)
        return found

    alone, together = begun(), begun()
    for number, beside in enumerate(
        [[0], [0, 1], [0, 1, 2], [2, 1, 3, 0], [4], [8, 7, 6, 5, 4, 3, 2, 1, 0], [5, 0, 8, 6, 1]]
    ):
        tokens = ids(len(beside), seed=number).tolist()
        found = step_together([together[row] for row in beside], tokens)
        for row, token, logits in zip(beside, tokens, found, strict=True):
            assert torch.equal(logits, alone[row].step(torch.tensor([token])))


@pytest.mark.parametrize("name", ["llama", "llama, no groups, biases", "qwen3"])
@pytest.mark.parametrize("rank", [1, 4, 16, 21])
def test_a_row_with_an_adapter_gives_the_logits_of_the_calls(name: str, rank: int, compiled: StepLibrary) -> None:
    model = network(name)
    linears = {n: m for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and "v_proj" not in n}
    generator = torch.Generator().manual_seed(rank)
    weights = AdapterWeights(
        {
            each: LowRank(
                torch.randn(rank, linear.in_features, generator=generator) * linear.in_features**-0.5,
                torch.randn(linear.out_features, rank, generator=generator) * 0.3,
                2.0,
            )
            for each, linear in linears.items()
        }
    ).prepared(torch.device("cpu"), torch.float32)
    ours, calls = decoder(name, compiled), decoder(name, None)
    plain = calls.start([PROMPTS[0]], 40)
    first = [one.start([PROMPTS[0]], 40, adapters=GroupedAdapters([weights])) for one in (ours, calls)]
    near(*first)
    assert (first[0] - plain).abs().max() > 0.1
    assert ours.steps_with is not None  # type: ignore[attr-defined]
    assert calls.steps_with is None  # type: ignore[attr-defined]
    for number in range(8):
        near(ours.step(ids(1, seed=number)), calls.step(ids(1, seed=number)))
    # Of rows with different adapters the one that stays goes on with its own.
    mixed = [None, weights, None]
    for one in (ours, calls):
        one.start(PROMPTS[:3], 40, adapters=GroupedAdapters(mixed))
        one.select([1])
    near(ours.step(ids(1, seed=3)), calls.step(ids(1, seed=3)))


def test_threads_generate_beside_each_other(compiled: StepLibrary) -> None:
    model = made(norm="pre")
    wanted = TorchEngine(model, step="calls")(PROMPTS, GREEDY)
    engine, found = TorchEngine(model, step="compiled"), {}

    def work(row: int) -> None:
        for _ in range(5):
            found[row] = engine([PROMPTS[row]], GREEDY)[0]

    workers = [threading.Thread(target=work, args=(row,)) for row in range(len(PROMPTS))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [found[row] for row in range(len(PROMPTS))] == wanted


def test_engines_answer_alike_on_either_step(compiled: StepLibrary) -> None:
    for prompt in PROMPTS:
        for engine, model in ((TorchEngine, made(norm="post")), (CausalEngine, network("llama"))):
            ours, calls = engine(model, step="compiled"), engine(model, step="calls")  # type: ignore[arg-type]
            assert ours.why_not_compiled == ""
            assert calls.why_not_compiled == "it was not asked for"
            for config in (GREEDY, GREEDY.with_changes(temperature=0.9), GREEDY.with_changes(lookup_tokens=4)):
                assert ours([prompt], config, seed=5) == calls([prompt], config, seed=5)


def test_weights_that_change_are_read_anew(compiled: StepLibrary) -> None:
    model = made(norm="pre")
    engine = TorchEngine(model, step="compiled")
    before = engine([PROMPTS[0]], GREEDY)
    with torch.no_grad():
        model.blocks[0].attention.qkv.weight.mul_(-2.0)
        model.head.weight = torch.nn.Parameter(model.head.weight.flip(0))
    after = engine([PROMPTS[0]], GREEDY)
    assert after != before
    assert after == TorchEngine(model, step="calls")([PROMPTS[0]], GREEDY)


def test_broken_weights_and_unknown_tokens_are_errors_of_ours(compiled: StepLibrary) -> None:
    one = decoder("post-norm", compiled)
    one.start([PROMPTS[0]], 40)
    for token in (-1, 97, 2**40):
        with pytest.raises(IndexError, match=f"{token} is outside"):
            one.step(torch.tensor([token]))
    model = made(norm="pre")
    broken = model.positions.pe  # of a later token, so that the prompt's logits are numbers
    broken[len(PROMPTS[0]) + 2] = torch.nan
    with pytest.raises(EngineError, match="NaN"):
        TorchEngine(model, step="compiled")([PROMPTS[0]], GREEDY)


@pytest.mark.skipif(sys.platform != "linux", reason="large pages are asked of Linux")
def test_gathering_pages_changes_no_number_and_only_where_the_system_allows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = tmp_path / "enabled"
    monkeypatch.setattr(pages, "_SETTING", setting)
    setting.write_text("always [madvise] never", encoding="utf-8")
    tensors = [torch.arange(2**21 + 3.0) for _ in range(3)]
    wanted = [tensor.clone() for tensor in tensors]
    pages.gather_pages(tensors[:1])
    assert _is_advised(tensors[0])
    setting.write_text("always madvise [never]", encoding="utf-8")
    before = [_is_advised(tensor) for tensor in tensors[1:]]
    pages.gather_pages(tensors[1:])
    assert [_is_advised(tensor) for tensor in tensors[1:]] == before
    assert all(torch.equal(tensor, other) for tensor, other in zip(tensors, wanted, strict=True))


def _is_advised(tensor: torch.Tensor) -> bool:
    """Whether the mapping that holds the tensor's first whole large page was asked into large pages (flag hg)."""
    page = -(-tensor.data_ptr() // 2**21) * 2**21
    is_its = False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        if place := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            is_its = int(place[1], 16) <= page < int(place[2], 16)
        elif is_its and line.startswith("VmFlags"):
            return " hg" in line
    raise AssertionError("no mapping of this process holds the tensor")


def test_tensors_side_by_side_are_one_span() -> None:
    whole = torch.zeros(100)
    (span,) = pages._spans([whole[60:], whole[:50], whole[10:20]])
    assert span == (whole.data_ptr(), whole.data_ptr() + 400)
    far = torch.zeros(2**20)
    assert len(list(pages._spans([far[:10], far[-10:]]))) == 2


# Where it cannot be had


def test_models_that_it_cannot_read_say_why(compiled: StepLibrary) -> None:
    for model, engine, reason in (
        (made().bfloat16(), TorchEngine, "bfloat16, not float32"),
        (network("gpt2"), CausalEngine, "GPT2LMHeadModel is none of"),
    ):
        assert reason in engine(model).why_not_compiled  # type: ignore[arg-type]
        with pytest.raises(EngineError, match=reason):
            engine(model, step="compiled")  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="own forward was asked for"):
        CausalEngine(network("llama"), way="generic", step="compiled")
    with pytest.raises(UnknownNameError, match="compiled"):
        TorchEngine(made(), step="compield")  # type: ignore[arg-type]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place for libraries."""
    monkeypatch.setenv("IAI_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.mark.parametrize(
    ("compiler", "reason"),
    [("", "CC is empty"), ("/no/such/compiler", "cannot be run: No such file"), ("false", "false fails: exit code 1")],
)
def test_without_a_compiler_the_calls_serve_and_the_engine_says_why(
    home: Path, monkeypatch: pytest.MonkeyPatch, compiler: str, reason: str
) -> None:
    model = made()
    wanted = TorchEngine(model, step="calls")([PROMPTS[0]], GREEDY)
    monkeypatch.setenv("CC", compiler)
    engine = TorchEngine(model)
    assert engine([PROMPTS[0]], GREEDY) == wanted
    assert reason in engine.why_not_compiled
    with pytest.raises(EngineError, match=reason):
        TorchEngine(model, step="compiled")


def test_a_compiler_that_is_interrupted_has_ended() -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(KeyboardInterrupt):
            library._run(["sh", "-c", "kill -INT $PPID; exec sleep 600"])
        gc.collect()
    assert [str(each.message) for each in told] == []


def test_a_compiler_without_end_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_MOST_SECONDS", 0.05)
    with pytest.raises(library._NotCompiledError, match=r"sleep takes longer than 0\.05 s"):
        library._run(["sleep", "600"])


def test_the_library_is_compiled_once_for_all_processes(
    home: Path, monkeypatch: pytest.MonkeyPatch, compiled: StepLibrary
) -> None:
    log, compiler = home / "log", home / "cc"
    own = " ".join(library._compiler(os.environ.get("CC")))
    compiler.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec {own} "$@"\n', encoding="utf-8")
    compiler.chmod(0o700)
    monkeypatch.setenv("CC", str(compiler))
    ask = "from interconnected_ai.experts.compiled import step_library; assert step_library().calls, step_library().why_not"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", ask], check=True)
    (kept,) = library_folder().iterdir()
    assert kept.suffix == ".so"
    assert [("-shared" in line) for line in log.read_text(encoding="utf-8").splitlines()] == [False, True, False]
    assert stat.S_IMODE(library_folder().stat().st_mode) == 0o700


def test_a_folder_where_others_write_is_not_loaded_from(home: Path, compiled: StepLibrary) -> None:
    library_folder().mkdir(parents=True)
    library_folder().chmod(0o777)
    assert "others may write in" in step_library().why_not


def test_a_library_that_is_none_is_a_reason(home: Path, compiled: StepLibrary) -> None:
    library_folder().mkdir(parents=True, mode=0o700)
    fingerprint = library._fingerprint(library._compiler(os.environ.get("CC")))
    (library_folder() / f"step-{fingerprint}.so").write_bytes(b"no library")
    assert "cannot be kept or loaded" in step_library().why_not


def test_a_library_of_other_records_is_not_called(compiled: StepLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after an update of the package beside a process that runs."""
    engine = TorchEngine(made())
    assert engine.why_not_compiled == ""
    monkeypatch.setattr(step.ctypes, "sizeof", lambda kind: 8)
    assert "start it again" in TorchEngine(made()).why_not_compiled


@pytest.mark.parametrize("processor", ["x86-64-v3", "x86-64-v4"])
def test_no_vector_is_wider_than_a_processors_registers(processor: str, tmp_path: Path) -> None:
    # GCC says which vector operations have no instruction; each goes through memory, which made a step six times slower
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("needs a compiler for x86-64")
    gcc = shutil.which("gcc")
    if gcc is None:
        pytest.skip("needs GCC")
    flags = [f"-march={processor}" if flag.startswith("-march") else flag for flag in library._FLAGS]
    command = [gcc, *flags, "-Wvector-operation-performance", "-fPIC", "-shared", str(library.SOURCE), "-lm"]
    done = subprocess.run([*command, "-o", str(tmp_path / "step.so")], capture_output=True, text=True, check=True)
    assert done.stderr.count("-Wvector-operation-performance") == 0
