"""A pretrained model with an adapter: parity with transformers and PEFT, documents that do not see one another, refusals."""

from typing import Any

import pytest
import torch
from tiny_causal import VOCABULARY, tiny_llama
from torch import Tensor, nn
from transformers import (
    GemmaConfig,
    GemmaForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from interconnected_ai.config import AdapterConfig
from interconnected_ai.errors import ConfigError
from interconnected_ai.nn import AdaptedLinear, RMSNorm
from interconnected_ai.training.adapter import AdaptedNetwork, AdapterObjective
from interconnected_ai.training.adapter.network import GatedFeedForward

SMALL = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2, "initializer_range": 0.3,
}  # fmt: skip


def families() -> dict[str, Any]:
    """One tiny model of several architectures; Mistral's tokens see the last five alone."""
    torch.manual_seed(0)
    return {
        "llama": tiny_llama(),
        "qwen3": Qwen3ForCausalLM(Qwen3Config(**SMALL)),
        "mistral": MistralForCausalLM(MistralConfig(**SMALL, sliding_window=5)),
        "gemma": GemmaForCausalLM(GemmaConfig(**SMALL)),
    }


def adapted(network: Any, **shape: Any) -> AdaptedNetwork:
    """With an adapter that does something."""
    model = AdaptedNetwork(network, AdapterConfig(**shape), generator=torch.Generator().manual_seed(0))
    stir(model)
    return model.eval()


def stir(model: AdaptedNetwork) -> None:
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, AdaptedLinear):
                module.lora_b.copy_(0.1 * torch.randn(module.lora_b.shape, generator=random))


def tokens(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(3, VOCABULARY, shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("family", families())
def test_an_untouched_adapter_leaves_the_hidden_states_as_transformers_has_them(family: str) -> None:
    ids = tokens(2, 12)
    with torch.no_grad():
        wanted = families()[family].eval().base_model(input_ids=ids).last_hidden_state
        found = AdaptedNetwork(families()[family], AdapterConfig()).eval().hidden(ids)
    torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("family", families())
def test_changing_one_document_changes_no_other_documents_loss(family: str) -> None:
    objective = AdapterObjective(adapted(families()[family]))
    documents = torch.tensor([[0] * 7 + [1] * 12 + [2] * 5, [0] * 3 + [1] * 20 + [2]])
    ids = tokens(2, 25)
    before = losses(objective, ids, documents)
    for row, document in ((0, 0), (0, 1), (0, 2), (1, 1)):
        changed = ids.clone()
        inside = documents[row] == document
        changed[row, :-1][inside] = tokens(int(inside.sum()), seed=9)
        others = torch.ones_like(documents, dtype=torch.bool)
        others[row] = ~inside
        others[:, :-1] &= others[:, 1:]  # what foretells a changed token loses or wins by it
        after = losses(objective, changed, documents)
        assert float((after - before)[others].abs().max()) <= 1e-6
        assert float((after - before)[row][inside].abs().max()) > 1e-3


def losses(objective: AdapterObjective, ids: Tensor, documents: Tensor) -> Tensor:
    """(batch, seq) nats of every token, each counted by itself."""
    inputs, targets = ids[:, :-1], ids[:, 1:]
    found = torch.zeros_like(inputs, dtype=torch.float32)
    with torch.no_grad():
        for place in range(inputs.numel()):
            alone = torch.full_like(targets, -1).flatten()
            alone[place] = targets.flatten()[place]
            found.view(-1)[place] = objective(inputs, alone.view_as(targets), documents)
    return found


@pytest.mark.parametrize("family", families())
def test_a_packed_documents_hidden_states_are_those_it_has_alone(family: str) -> None:
    model = adapted(families()[family])
    documents = torch.tensor([[0] * 7 + [1] * 12 + [2] * 5])
    ids = tokens(1, 24)
    with torch.no_grad():
        together = model.hidden(ids, documents)[0]
        alone = [model.hidden(part)[0] for part in ids.split([7, 12, 5], dim=1)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # which PEFT asks for
def test_gradients_are_pefts_own() -> None:
    peft = pytest.importorskip("peft")
    model = adapted(tiny_llama(), rank=4, alpha=12.0).train()
    other = peft.get_peft_model(
        tiny_llama(), peft.LoraConfig(r=4, lora_alpha=12, target_modules="all-linear", task_type="CAUSAL_LM")
    ).train()
    theirs = {name.removeprefix("base_model.model."): module for name, module in other.named_modules()}
    assert set(model.names) == {name for name, module in theirs.items() if hasattr(module, "lora_A")}
    for name, (a, b) in model.pairs().items():
        with torch.no_grad():
            theirs[name].lora_A["default"].weight.copy_(a)
            theirs[name].lora_B["default"].weight.copy_(b)
    ids = tokens(3, 17)
    nats = AdapterObjective(model)(ids[:, :-1], ids[:, 1:], torch.zeros(3, 16, dtype=torch.long))
    (nats / 48).backward()
    logits = other(input_ids=ids[:, :-1]).logits
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
    loss.backward()
    torch.testing.assert_close(nats / 48, loss)
    for name in model.names:
        layer = model.network.get_submodule(name)
        torch.testing.assert_close(layer.lora_a.grad, theirs[name].lora_A["default"].weight.grad, atol=1e-5, rtol=1e-3)
        torch.testing.assert_close(layer.lora_b.grad, theirs[name].lora_B["default"].weight.grad, atol=1e-5, rtol=1e-3)


def test_short_documents_gradients_in_bfloat16_are_those_of_the_plain_product() -> None:
    grads = []
    for window in (None, 64):  # a window, though never reached, does not change what is computed
        model = adapted(tiny_llama(dtype=torch.bfloat16)).train()
        ids = tokens(2, 17)
        documents = torch.tensor([[0] * 9 + [1] * 7] * 2)
        if window is not None:
            model._by_document = False
        AdapterObjective(model)(ids[:, :-1], ids[:, 1:], documents).backward()
        grads.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    cosine = nn.functional.cosine_similarity(grads[0], grads[1], dim=0)
    assert float(cosine) > 0.99


def test_only_the_adapter_has_gradients_and_lean_bricks_stand_in_for_llamas_own() -> None:
    model = adapted(tiny_llama()).train()
    ids = tokens(1, 9)
    AdapterObjective(model)(ids[:, :-1], ids[:, 1:], torch.zeros(1, 8, dtype=torch.long)).backward()
    learnt = {name.rpartition(".")[2] for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert learnt == {"lora_a", "lora_b"}
    kinds = [type(module) for module in model.modules()]
    assert kinds.count(RMSNorm) == 5
    assert kinds.count(GatedFeedForward) == 2
    assert not any("gemma" in type(m).__name__.lower() for m in model.modules())


def test_gradient_checkpointing_computes_the_same_gradients() -> None:
    grads = []
    for less in (False, True):
        model = adapted(tiny_llama()).train()
        model.remember_less(less)
        ids = tokens(2, 9)
        AdapterObjective(model)(ids[:, :-1], ids[:, 1:], torch.tensor([[0] * 5 + [1] * 3] * 2)).backward()
        grads.append([p.grad for p in model.parameters() if p.grad is not None])
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other)


def test_without_its_adapter_the_model_is_the_base() -> None:
    model, ids = adapted(tiny_llama()), tokens(1, 8)
    with torch.no_grad():
        base = tiny_llama().eval().base_model(input_ids=ids).last_hidden_state
        assert not torch.allclose(model.hidden(ids), base, atol=1e-3)
        with model.without_adapter():
            torch.testing.assert_close(model.hidden(ids), base, atol=1e-5, rtol=1e-4)
        assert not torch.allclose(model.hidden(ids), base, atol=1e-3)


def test_targets_choose_layers_by_the_end_of_their_names() -> None:
    model = adapted(tiny_llama(), targets=("q_proj", "mlp.down_proj"))
    assert set(model.names) == {
        f"model.layers.{layer}.{name}" for layer in (0, 1) for name in ("self_attn.q_proj", "mlp.down_proj")
    }
    with pytest.raises(ConfigError, match=r"names 'qkv_proj'.*it has down_proj, gate_proj"):
        adapted(tiny_llama(), targets=("qkv_proj",))


def test_bases_that_cannot_be_packed_or_change_their_logits_are_refused() -> None:
    recurrent = MambaForCausalLM(
        MambaConfig(vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=1, state_size=4, pad_token_id=0)
    )
    with pytest.raises(ConfigError, match=r"mamba.*lets documents in one block see one another"):
        AdaptedNetwork(recurrent, AdapterConfig())
    scaled = tiny_llama()
    scaled.config.logits_scaling = 4.0
    with pytest.raises(ConfigError, match=r"changes its logits \(logits_scaling\)"):
        AdaptedNetwork(scaled, AdapterConfig())
    convolutions = GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, n_embd=16, n_layer=1, n_head=2, n_positions=32))
    with pytest.raises(ConfigError, match="no linear layers to adapt"):
        AdaptedNetwork(convolutions, AdapterConfig())
