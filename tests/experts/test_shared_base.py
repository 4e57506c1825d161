"""One base, many adapters: mixed rows are what they are alone, and adapters come and go while others generate."""

import threading
from pathlib import Path
from typing import Literal

import pytest
import torch
from expert_models import TEXTS
from tiny_llamas import LINEARS, tiny_adapter, tiny_llama

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import (
    AdapterError,
    ClosedError,
    ConfigError,
    IntegrityError,
    NotAModelError,
    UnknownNameError,
)
from interconnected_ai.experts import (
    AdapterWeights,
    CausalLM,
    ExpertCard,
    HeldOut,
    LowRank,
    SharedBase,
    measure,
    read_adapter,
    save_adapter,
)
from interconnected_ai.text import Tokenizer

VOCABULARY = 300
GREEDY = GenerationConfig(max_new_tokens=12, temperature=0.0, logprobs=0)
PROMPTS = ["The router", "Ёлка", "", "naïve café, 12 + 30", "x", "experts answer the question", "[1, 2", "Token to two"]
BASE = "ba" * 32


def shared(way: Literal["lean", "generic"] = "lean") -> SharedBase:
    tokenizer = Tokenizer.train(TEXTS, VOCABULARY)
    return SharedBase(CausalLM(tiny_llama()), tokenizer, name="tiny", sha256=BASE, way=way)


def different(number: int) -> AdapterWeights:
    """Of several ranks, and not all on the same layers."""
    linears = LINEARS[number % 3 :]
    return tiny_adapter(tiny_llama(), number, rank=1 + number % 4, linears=linears)


@pytest.fixture(scope="module", params=["lean", "generic"])
def full(request: pytest.FixtureRequest) -> SharedBase:
    base = shared(request.param)
    for number in range(7):
        base.add(f"a{number}", different(number))
    return base


MIXED = ["a0", "a1", None, "a2", "a3", "a0", "a4", "a5"]


def test_every_row_of_a_mixed_batch_is_what_it_is_alone(full: SharedBase) -> None:
    together = full.generate(PROMPTS, GREEDY, adapters=MIXED)
    for prompt, name, answer in zip(PROMPTS, MIXED, together, strict=True):
        (alone,) = full.generate([prompt], GREEDY, adapters=[name])
        assert answer.token_ids == alone.token_ids
        assert answer.text == alone.text
        for ours, wanted in zip(answer.steps, alone.steps, strict=True):
            assert ours.logprob == pytest.approx(wanted.logprob, abs=1e-4)
    assert len({answer.token_ids for answer in together}) == len(PROMPTS)


def test_logits_of_mixed_rows_are_those_of_merged_models(full: SharedBase) -> None:
    prompts = [full.token_ids(text) for text in PROMPTS]
    decoder = full.engine_with(MIXED).decoder()
    found = decoder.start(prompts, 40)
    again = decoder.step(torch.arange(5, 13))
    for row, (prompt, name) in enumerate(zip(prompts, MIXED, strict=True)):
        network = tiny_llama()
        if name is not None:
            for module, part in different(int(name[1:])).modules.items():
                network.get_submodule(module).weight.data += part.delta()
        with torch.no_grad():
            logits = network(torch.tensor([[*prompt, 5 + row]])).logits[0]
        assert torch.allclose(found[row], logits[-2], atol=1e-4)
        assert torch.allclose(again[row], logits[-1], atol=1e-4)


def test_one_adapter_for_all_prompts_may_be_named_once(full: SharedBase) -> None:
    once = full.generate(PROMPTS, GREEDY, adapters="a1")
    assert once == full.generate(PROMPTS, GREEDY, adapters=["a1"] * len(PROMPTS))


def test_sampling_beams_and_sliding_windows_keep_each_rows_adapter(full: SharedBase) -> None:
    asked = [
        GenerationConfig(max_new_tokens=8, temperature=1.0, top_k=20),
        GenerationConfig(max_new_tokens=6, num_beams=3, temperature=0.0),
        GenerationConfig(max_new_tokens=80, temperature=0.0, window="slide"),
    ]
    for config in asked:
        together = full.generate(PROMPTS[:3], config, adapters=["a0", None, "a3"], seed=5)
        for row, name in enumerate(["a0", None, "a3"]):
            alone = full.generate(PROMPTS[: row + 1], config, adapters=[name] * (row + 1), seed=5)[row]
            assert together[row].token_ids == alone.token_ids


def test_extending_and_going_back_keep_the_adapters(full: SharedBase) -> None:
    decoder = full.engine_with(["a0", "a2"]).decoder()
    decoder.start([[5, 6, 7], [8, 9]], 12)
    steps = [decoder.step(torch.tensor(pair)) for pair in ((3, 4), (5, 6), (7, 8))]
    decoder.rewind(3)
    extended = decoder.extend(torch.tensor([[3, 5, 7], [4, 6, 8]]))
    assert torch.allclose(extended, torch.stack(steps, dim=1), atol=1e-4)
    state = decoder.state(0, 4)
    resumed = full.engine_with("a0").decoder()
    known = resumed.start([[5, 6, 7, 3]], 12, states=[state])
    assert torch.allclose(known[0], steps[0][0], atol=1e-4)


def test_bytes_are_those_of_the_base_and_of_each_adapter() -> None:
    base = shared()
    alone = base.num_bytes
    assert alone == base.base_num_bytes > 0
    base.add("a", different(0))
    base.add("b", different(1))
    sizes = base.adapter_num_bytes
    assert sizes == {"a": different(0).num_bytes, "b": different(1).num_bytes}
    assert base.num_bytes == alone + sum(sizes.values())
    base.remove("a")
    assert base.num_bytes == alone + sizes["b"]
    assert base.adapters == ("b",)


def test_one_folder_under_two_names_is_in_memory_once(tmp_path: Path) -> None:
    save_adapter(different(0), tmp_path / "a", ExpertCard(base="tiny", base_sha256=BASE))
    base = shared()
    alone = base.num_bytes
    base.add("one", tmp_path / "a")
    base.add("two", tmp_path / "a")
    assert base.num_bytes == alone + different(0).num_bytes


def test_an_adapter_of_another_base_is_refused_by_hash_and_by_shape(tmp_path: Path) -> None:
    base = shared()
    save_adapter(different(0), tmp_path / "a", ExpertCard(base="other", base_sha256="0f" * 32))
    with pytest.raises(AdapterError, match=r"another base: other .*0f0f.* this is tiny .*baba"):
        base.add("a", tmp_path / "a")
    save_adapter(different(0), tmp_path / "b", ExpertCard(base="unhashed"))
    base.add("b", tmp_path / "b")
    wrong = AdapterWeights({"model.layers.0.self_attn.q_proj": LowRank(torch.ones(2, 31), torch.ones(32, 2), 1.0)})
    with pytest.raises(AdapterError, match="does not fit"):
        base.add("c", wrong)
    absent = AdapterWeights({"model.layers.2.self_attn.q_proj": LowRank(torch.ones(2, 32), torch.ones(32, 2), 1.0)})
    with pytest.raises(AdapterError, match="has no module"):
        base.add("c", absent)
    norm = AdapterWeights({"model.norm": LowRank(torch.ones(2, 32), torch.ones(32, 2), 1.0)})
    with pytest.raises(AdapterError, match="has no module"):
        base.add("c", norm)
    assert base.adapters == ("b",)


def test_a_rewritten_folder_answers_after_a_reload_and_not_before(tmp_path: Path) -> None:
    card = ExpertCard(base="tiny", base_sha256=BASE)
    save_adapter(different(0), tmp_path / "a", card)
    base = shared()
    base.add("a", tmp_path / "a")
    assert not base.reload("a")
    old = base.generate(PROMPTS[:1], GREEDY, adapters="a")
    save_adapter(different(1), tmp_path / "a", card)
    assert base.generate(PROMPTS[:1], GREEDY, adapters="a") == old
    assert base.reload("a")
    base.add("wanted", different(1))
    wanted = base.generate(PROMPTS[:1], GREEDY, adapters="wanted")
    assert base.generate(PROMPTS[:1], GREEDY, adapters="a") == wanted != old
    (tmp_path / "a" / "adapter_model.safetensors").write_bytes(b"cut")
    with pytest.raises(IntegrityError):
        base.reload("a")
    assert base.generate(PROMPTS[:1], GREEDY, adapters="a") == wanted
    with pytest.raises(ConfigError, match="came from memory"):
        base.reload("wanted")


def test_names_that_are_wrong_are_told() -> None:
    base = shared()
    base.add("numpy", different(0))
    with pytest.raises(UnknownNameError, match="'numpi'; known, nearest first: 'numpy'"):
        base.generate(["x"], GREEDY, adapters=["numpi"])
    with pytest.raises(UnknownNameError):
        base.remove("torch")
    with pytest.raises(ConfigError, match="is in already"):
        base.add("numpy", different(1))
    with pytest.raises(ConfigError, match="1 adapters for 2 prompts"):
        base.generate(["x", "y"], GREEDY, adapters=["numpy"])
    with pytest.raises(NotAModelError):
        base.add("nothing", "/nowhere/at/all")


def test_what_is_closed_says_so_and_a_begun_answer_ends() -> None:
    base = shared()
    base.add("a", different(0))
    stream = base.engine_with("a").stream([base.token_ids("x")], GREEDY)
    first = next(stream)
    base.close()
    assert (first, *stream)[-1] is not None
    assert len(stream.result()[0].token_ids) > 0
    for call in (lambda: base.generate(["x"], GREEDY, adapters=[None]), lambda: base.add("b", different(1))):
        with pytest.raises(ClosedError):
            call()
    assert base.num_bytes == 0
    base.close()


def test_adapters_come_and_go_while_others_generate(tmp_path: Path) -> None:
    card = ExpertCard(base="tiny", base_sha256=BASE)
    base = shared()
    for number in range(3):
        base.add(f"stays{number}", different(number))
    names = ["stays0", None, "stays1", "stays2"]
    wanted = base.generate(PROMPTS[:4], GREEDY, adapters=names)
    save_adapter(different(4), tmp_path / "moving", card)
    base.add("moving", tmp_path / "moving")
    failures: list[BaseException] = []
    done = threading.Event()

    def generating() -> None:
        try:
            for _ in range(6):
                assert base.generate(PROMPTS[:4], GREEDY, adapters=names) == wanted
        except BaseException as error:  # noqa: BLE001 (told in the main thread)
            failures.append(error)

    def changing(own: int) -> None:
        try:
            while not done.is_set():
                base.add(f"new{own}", different(5))
                base.generate(PROMPTS[:2], GREEDY, adapters=[f"new{own}", "stays0"])
                base.remove(f"new{own}")
                base.reload("moving")
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    readers = [threading.Thread(target=generating) for _ in range(3)]
    writers = [threading.Thread(target=changing, args=(own,)) for own in range(2)]
    for thread in readers + writers:
        thread.start()
    for number in range(4):
        save_adapter(different(4 + number % 2), tmp_path / "moving", card)
    for thread in readers:
        thread.join()
    done.set()
    for thread in writers:
        thread.join()
    assert not failures
    assert set(base.adapters) == {"stays0", "stays1", "stays2", "moving"}


def test_a_held_answer_keeps_an_adapter_that_was_taken_out(tmp_path: Path) -> None:
    base = shared()
    base.add("a", different(0))
    wanted = base.generate(["x"], GREEDY, adapters="a")
    engine = base.engine_with("a")
    base.remove("a")
    assert engine([base.token_ids("x")], GREEDY) == wanted
    save_adapter(different(0), tmp_path / "a", ExpertCard())
    weights = base.prepared(read_adapter(tmp_path / "a"))
    assert base.prepared(read_adapter(tmp_path / "a")) is weights


@pytest.mark.parametrize("linears", [LINEARS, (*LINEARS, "lm_head")])
def test_what_is_measured_is_the_merged_model_and_the_base_stays_itself(linears: tuple[str, ...]) -> None:
    base = shared()
    held = HeldOut.of(TEXTS, base.tokenizer)
    alone = measure(base.model_with(AdapterWeights({})), held, seq_len=16).nats
    weights = tiny_adapter(tiny_llama(), 3, linears=LINEARS)
    merged = tiny_llama()
    if "lm_head" in linears:
        generator = torch.Generator().manual_seed(9)
        head = LowRank(torch.randn(2, 32, generator=generator), torch.randn(300, 2, generator=generator), 0.1)
        weights = AdapterWeights(dict(weights.modules) | {"lm_head": head})
        merged.lm_head.weight = torch.nn.Parameter(merged.lm_head.weight.detach().clone())
    for name, part in weights.modules.items():
        merged.get_submodule(name).weight.data += part.delta()
    prepared = weights.prepared(torch.device("cpu"), torch.float32)
    found = measure(base.model_with(prepared), held, seq_len=16)
    assert found.nats == pytest.approx(measure(CausalLM(merged), held, seq_len=16).nats, rel=1e-5)
    assert measure(base.model_with(AdapterWeights({})), held, seq_len=16).nats == pytest.approx(alone, rel=1e-9)
    assert found.nats != pytest.approx(alone, rel=1e-3)
