"""Mixtures of experts as GGUF files: llama.cpp chooses the experts and computes them as transformers does."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from interconnected_ai.errors import EngineError
from interconnected_ai.storage import read_gguf

xllamacpp = pytest.importorskip("xllamacpp")
gguf = pytest.importorskip("gguf")

from tests.experts import gguf_files as tiny  # noqa: E402

from interconnected_ai.experts import CausalLM, GgufModel, why_not_int4  # noqa: E402
from interconnected_ai.experts.engines.llama_server import LlamaServer, whole_answer  # noqa: E402
from interconnected_ai.experts.engines.token_gaps import Pieces  # noqa: E402
from interconnected_ai.experts.export.gguf_causal import write_causal_gguf  # noqa: E402
from interconnected_ai.text import GgufVocabulary  # noqa: E402

_GREEDY = {"n_predict": 16, "temperature": 0.0, "samplers": ["temperature"], "return_tokens": True, "n_probs": 1}
_CONFIGS: dict[str, tuple[Any, dict[str, Any]]] = {
    "mixtral": (transformers.MixtralConfig, {"num_local_experts": 4}),
    "qwen2_moe": (
        transformers.Qwen2MoeConfig,
        {"num_experts": 6, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 64, "norm_topk_prob": False},
    ),
    "qwen3_moe": (
        transformers.Qwen3MoeConfig,
        {"num_experts": 6, "moe_intermediate_size": 32, "norm_topk_prob": True, "head_dim": 16},
    ),
    "olmoe": (
        transformers.OlmoeConfig,
        {"num_experts": 6, "norm_topk_prob": False, "num_key_value_heads": 4},
    ),
    "granitemoe": (
        transformers.GraniteMoeConfig,
        {
            "num_local_experts": 6,
            "attention_multiplier": 0.3,
            "embedding_multiplier": 2.0,
            "residual_multiplier": 0.7,
            "logits_scaling": 0.5,
        },
    ),
}
families = pytest.mark.parametrize("family", _CONFIGS)


def mixture(family: str, **settings: Any) -> Any:
    """Two layers with random weights, whose logits are far apart."""
    config, more = _CONFIGS[family]
    shape = {
        "vocab_size": tiny.OWN.vocab_size, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256, "initializer_range": 0.3,
        "bos_token_id": None, "eos_token_id": tiny.OWN.end_id, "num_experts_per_tok": 2, "pad_token_id": None,
        "tie_word_embeddings": False,
    }  # fmt: skip
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config(**shape | more | settings)).eval()
    for parameter in model.parameters():
        if parameter.dim() == 1:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
        if parameter.dim() == 3:
            torch.nn.init.normal_(parameter, 0, 0.3)
    return model


def written(model: Any, place: Path, precision: str = "float32") -> Path:
    write_causal_gguf(model, tiny.entries(), place, precision=precision, entries={"general.name": "tiny"})
    return place


def answered(place: Path) -> Any:
    pieces = Pieces(GgufVocabulary.of(tiny.entries()).pieces)
    server = LlamaServer(xllamacpp, place, 2, 256, 1, pieces=pieces)
    (answer,) = server.complete({**_GREEDY, "prompt": tiny.PROMPT, "cache_prompt": False, "lora": server.lora(None)})
    return answer, whole_answer(answer, 0, 1, server.pieces)


@families
def test_llamacpp_foretells_what_transformers_foretells(family: str, tmp_path: Path) -> None:
    model = mixture(family)
    answer, steps = answered(written(model, tmp_path / "model.gguf"))
    assert tiny.is_greedy(model, tiny.PROMPT, answer["tokens"])
    wanted = tiny.logprobs(model, [*tiny.PROMPT, *answer["tokens"]])[len(tiny.PROMPT) - 1 :]
    noted = [(step.logprob, wanted[place, step.token_id].item()) for place, step in enumerate(steps) if step.logprob]
    assert len(noted) >= 4  # the others end within a character
    # llama.cpp's keys and values are in float16: where two experts are nearly alike they may turn the choice later on
    assert all(theirs == pytest.approx(ours, abs=0.03) for theirs, ours in noted[:8])


@families
@pytest.mark.parametrize("precision", ["float16", "q8_0", "q4_1"])
def test_quantised_experts_stay_near_and_routers_are_exact(family: str, precision: str, tmp_path: Path) -> None:
    model = mixture(family)
    place = written(model, tmp_path / "model.gguf", precision)
    answer, _ = answered(place)
    assert answer["tokens"]
    if precision == "float16":
        assert tiny.is_greedy(model, tiny.PROMPT, answer["tokens"], within=0.05)
    types = {tensor.name: tensor.type_name for tensor in read_gguf(place).tensors}
    named = {"float16": "F16", "q8_0": "Q8_0", "q4_1": "Q4_1"}[precision]
    assert all(
        types[f"blk.{layer}.ffn_{part}_exps.weight"] == named for layer in (0, 1) for part in ("gate", "up", "down")
    )
    assert types["blk.0.ffn_gate_inp.weight"] == types["blk.1.ffn_gate_inp.weight"] == "F32"


def test_what_llamacpp_would_compute_otherwise_is_refused(tmp_path: Path) -> None:
    cases = [
        ("qwen3_moe", {"norm_topk_prob": False}, "always scales"),
        ("qwen2_moe", {"norm_topk_prob": True}, "never scales"),
        ("olmoe", {"clip_qkv": 8.0}, "clip_qkv"),
        ("olmoe", {"num_key_value_heads": 2}, "num_key_value_heads"),
        ("qwen3_moe", {"attention_bias": True}, "attention_bias"),
        ("qwen3_moe", {"mlp_only_layers": [0]}, "mlp_only_layers"),
    ]
    for family, settings, told in cases:
        with pytest.raises(EngineError, match=told):
            written(mixture(family, **settings), tmp_path / "model.gguf")
    assert not list(tmp_path.iterdir())


def test_a_mixture_in_a_file_is_refused_on_torch_by_its_name(tmp_path: Path) -> None:
    place = written(mixture("mixtral"), tmp_path / "model.gguf")
    assert why_not_int4(GgufModel.read(place)) == "it is a mixture of experts"
    with pytest.raises(EngineError, match="mixture of experts"):
        CausalLM.from_pretrained(place)
