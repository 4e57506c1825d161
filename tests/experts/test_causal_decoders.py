"""Pretrained causal models: our decoders give the logits that transformers gives, whatever the architecture."""

import copy
from collections.abc import Sequence
from typing import Any

import causal_networks
import pytest
import torch
from causal_networks import GENERIC, LEAN, VOCABULARY, network
from expert_models import ids
from torch import Tensor, nn
from transformers import MambaConfig, MambaForCausalLM

from interconnected_ai import GenerationConfig
from interconnected_ai.errors import EngineError
from interconnected_ai.experts.causal import CausalEngine, GenericDecoder, LeanDecoder, LlamaParts, why_not_lean
from interconnected_ai.experts.causal.generic_decoder import AdapterHooks, require_cuttable
from interconnected_ai.experts.torch_products import LAYOUTS, can_pack

PROMPTS = [ids(1, n, seed=n)[0].tolist() for n in (3, 11, 1, 6)]
WINDOW = 64


def lean(model: nn.Module, layout: str) -> LeanDecoder:
    if layout == "packed" and not can_pack(torch.zeros(1)):
        pytest.skip("oneDNN's operators are not there")
    return LeanDecoder(LlamaParts.of(model, LAYOUTS[layout]()), WINDOW)


def generic(model: nn.Module) -> GenericDecoder:
    return GenericDecoder(model, AdapterHooks(model), VOCABULARY, WINDOW)


def close(ours: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(ours, wanted, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def _require_same(decoder: Any, model: nn.Module, prompts: Sequence[Sequence[int]]) -> None:
    """Prompts, steps, rows that leave and come twice, several tokens at once: each as transformers computes it anew."""
    forward, rows = causal_networks.logits_of(model), [list(prompt) for prompt in prompts]
    logits = decoder.start(prompts, 30)
    spread = 0.0
    for number in range(9):
        wanted = torch.stack([forward(torch.tensor([row]))[0, -1] for row in rows])
        close(logits, wanted)
        spread = max(spread, float(wanted.std()))
        if number in (3, 6):
            order = [len(rows) - 1, 0, len(rows) - 1][: max(1, 3 - number // 3)]
            decoder.select(order)
            rows = [list(rows[place]) for place in order]
        token_ids = ids(len(rows), seed=number)
        rows = [[*row, token] for row, token in zip(rows, token_ids.tolist(), strict=True)]
        logits = decoder.step(token_ids)
    more = ids(len(rows), 6, seed=77)
    wanted = torch.cat(
        [forward(torch.tensor([row + new]))[:, -6:] for row, new in zip(rows, more.tolist(), strict=True)]
    )
    close(decoder.extend(more), wanted)
    assert spread > 0.1


@pytest.mark.parametrize("prompts", [PROMPTS[1:2], PROMPTS], ids=["one", "several"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", LEAN)
def test_the_lean_decoder_gives_transformers_logits(name: str, layout: str, prompts: list[list[int]]) -> None:
    model = network(name)
    assert why_not_lean(model) == ""
    _require_same(lean(model, layout), model, prompts)


@pytest.mark.parametrize("prompts", [PROMPTS[1:2], PROMPTS], ids=["one", "several"])
@pytest.mark.parametrize("name", [*GENERIC, "mistral, window of 5"])
def test_the_generic_decoder_gives_transformers_logits(name: str, prompts: list[list[int]]) -> None:
    model = network(name)
    assert name not in GENERIC or why_not_lean(model)
    _require_same(generic(model), model, prompts)


class Deltas:
    """Adapters of rows in ten lines: B · A of each row's adapter, if it has one for the module."""

    def __init__(self, of_rows: Sequence[dict[str, tuple[Tensor, Tensor]]]) -> None:
        self.of_rows = list(of_rows)
        self.asked: set[str] = set()

    def add(self, name: str, hidden: Tensor, out: Tensor) -> Tensor:
        self.asked.add(name)
        assert hidden.shape[:2] == out.shape[:2]
        assert len(out) == len(self.of_rows)
        for row, known in enumerate(self.of_rows):
            if name in known:
                a, b = known[name]
                out[row] += hidden[row] @ a.T @ b.T
        return out

    def select(self, rows: Sequence[int]) -> None:
        self.of_rows = [self.of_rows[row] for row in rows]


class Copying(Deltas):
    """The same, in a tensor of its own."""

    def add(self, name: str, hidden: Tensor, out: Tensor) -> Tensor:
        return super().add(name, hidden, out.clone())


def linears(model: nn.Module) -> dict[str, nn.Module]:
    return {name: part for name, part in model.named_modules() if type(part).__name__ in ("Linear", "Conv1D")}


def adapter(model: nn.Module, seed: int) -> dict[str, tuple[Tensor, Tensor]]:
    generator, found = torch.Generator().manual_seed(seed), {}
    for name, part in linears(model).items():
        if name == "lm_head" and model.config.tie_word_embeddings:  # merged it would change the embedding too
            continue
        d_out, d_in = part.weight.shape if isinstance(part, nn.Linear) else part.weight.T.shape
        found[name] = (
            0.2 * torch.randn(2, d_in, generator=generator), 0.2 * torch.randn(d_out, 2, generator=generator),
        )  # fmt: skip
    return found


def merged(model: nn.Module, deltas: dict[str, tuple[Tensor, Tensor]]) -> nn.Module:
    model = copy.deepcopy(model)
    with torch.no_grad():
        for name, part in linears(model).items():
            if name in deltas:
                a, b = deltas[name]
                part.weight += b @ a if isinstance(part, nn.Linear) else (b @ a).T
    return model


@pytest.mark.parametrize("kind", [Deltas, Copying])
@pytest.mark.parametrize("num_rows", [2, 6])
@pytest.mark.parametrize(
    ("name", "way"),
    [("llama", "plain"), ("llama", "packed"), ("qwen3", "packed"), ("gpt2", "generic"), ("llama", "generic")],
)
def test_rows_of_one_batch_answer_each_with_its_own_adapter(
    name: str, way: str, num_rows: int, kind: type[Deltas]
) -> None:
    model = network(name)
    known = [{}, adapter(model, 1), adapter(model, 2)]
    prompts = [ids(1, 3 + row % 4, seed=row)[0].tolist() for row in range(num_rows)]
    of_rows = [known[(row + 1) % 3] for row in range(num_rows)]
    decoder = generic(model) if way == "generic" else lean(model, way)
    adapters = kind(of_rows)
    logits = decoder.start(prompts, 20, adapters=adapters)
    alone = [generic(merged(model, deltas)) for deltas in of_rows]
    wanted = torch.cat([one.start([prompt], 20) for one, prompt in zip(alone, prompts, strict=True)])
    for number in range(4):
        close(logits, wanted)
        if number == 1:
            decoder.select([1, 0, *range(2, num_rows - 1)])
            alone = [alone[1], alone[0], *alone[2 : max(2, num_rows - 1)]]
        token_ids = ids(len(alone), seed=number)
        logits = decoder.step(token_ids)
        wanted = torch.cat([one.step(token_ids[row : row + 1]) for row, one in enumerate(alone)])
    more = ids(len(alone), 3, seed=9)
    wanted = torch.cat([one.extend(more[row : row + 1]) for row, one in enumerate(alone)])
    close(decoder.extend(more), wanted)
    assert adapters.asked == set(linears(model))


def test_adapters_of_one_generation_are_not_those_of_the_next() -> None:
    model = network("gpt2")
    decoder = generic(model)
    plain = decoder.start(PROMPTS, 20)
    assert not torch.allclose(decoder.start(PROMPTS, 20, adapters=Deltas([adapter(model, 1)] * 4)), plain, atol=1e-2)
    close(decoder.start(PROMPTS, 20), plain)


def test_of_a_prompt_the_last_logits_alone_are_computed() -> None:
    model, seen = network("gpt2"), []
    model.lm_head.register_forward_hook(lambda head, given, out: seen.append(out.shape))
    decoder = generic(model)
    decoder.start(PROMPTS, 20)
    decoder.extend(ids(4, 3))
    assert seen == [(4, 1, VOCABULARY), (4, 3, VOCABULARY)]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["llama", "mistral, window of 5", "qwen3", "gpt2"])
def test_on_a_gpu_the_answers_are_the_same(name: str) -> None:
    config = GenerationConfig(max_new_tokens=12, temperature=0.0)
    on_cpu, on_gpu = CausalEngine(network(name)), CausalEngine(network(name).cuda())
    wanted = [answer.token_ids for answer in on_cpu(PROMPTS, config)]
    assert [answer.token_ids for answer in on_gpu(PROMPTS, config)] == wanted


def test_a_model_with_a_running_state_is_refused() -> None:
    with pytest.raises(EngineError, match=r"MambaForCausalLM remembers .* llamacpp"):
        require_cuttable(MambaForCausalLM(MambaConfig(vocab_size=8, hidden_size=8, num_hidden_layers=1, state_size=2)))


def test_models_of_other_shapes_say_why_they_are_not_lean() -> None:
    assert "GPT2LMHeadModel is none of LlamaForCausalLM" in why_not_lean(network("gpt2"))
    assert "'dynamic'" in why_not_lean(network("llama, dynamic rope"))
    model: Any = network("llama")
    model.model.layers[1].mlp.up_proj = nn.Sequential(model.model.layers[1].mlp.up_proj)
    assert why_not_lean(model) == "its mlp.up_proj is a Sequential, not a linear layer"
    model = network("llama")
    model.config.hidden_act = "gelu"
    assert "'gelu', not silu" in why_not_lean(model)
