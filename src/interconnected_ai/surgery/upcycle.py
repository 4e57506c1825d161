"""A mixture of experts out of dense models of one family: one checkpoint copied, or fine-tuned siblings mixed.

One dense model becomes experts that are all alike (sparse upcycling, Komatsuzaki et al. 2022); several siblings bring an FFN
each, and the rest of the network is their mean (branch-train-mix, Sukhbaatar et al. 2024).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.hub import local_folder
from interconnected_ai.surgery.analysis.prompts import hidden_means
from interconnected_ai.surgery.anatomy.families import FAMILIES, Family
from interconnected_ai.surgery.anatomy.ffn import weights_in
from interconnected_ai.surgery.model import MoE
from interconnected_ai.surgery.opening import tokenizer_in

_ROUTER_STD = 0.02


@torch.no_grad()
def upcycle(
    sources: Any,
    num_experts: int = 8,
    top_k: int = 2,
    *,
    prompts: Sequence[Sequence[str]] | None = None,
    tokenizer: Any = None,
    noise: float = 0.0,
    seed: int = 0,
) -> MoE:
    """The MoE of a dense model, or of several siblings: expert i is the FFN of sibling i mod their number.

    prompts: texts for each sibling, whose mean hidden states become its experts' router rows; None draws rows at random. noise:
    random numbers added to the experts, as a part of each tensor's spread, so that copies can grow apart. With copies of one
    model and no noise the outputs are the dense model's, up to rounding.
    Raises `ConfigError` for models that do not fit together, `UnknownNameError` for a family without a mixture.
    """
    dense = [_dense(source) for source in (sources if isinstance(sources, list | tuple) else [sources])]
    family = _family(dense[0])
    _check(dense, num_experts, top_k, prompts)
    if tokenizer is None and isinstance(sources, str):
        tokenizer = tokenizer_in(local_folder(sources))
    model = _empty(dense[0], family, num_experts, top_k)
    generator = torch.Generator().manual_seed(seed)
    _copy_shared(model, dense)
    moe = MoE(model.eval(), tokenizer)
    for layer in moe.layers:
        for expert in range(num_experts):
            source = dense[expert % len(dense)].model.layers[layer.number].mlp
            weights = weights_in(source).to(layer.read(expert).gate).copy()
            if noise:
                for tensor in weights.tensors().values():
                    tensor += noise * tensor.std() * torch.randn(tensor.shape, generator=generator).to(tensor)
            moe.replace(layer.number, expert, weights)
        rows: Any = layer.router.weight
        rows.copy_(torch.randn(rows.shape, generator=generator) * _ROUTER_STD)
    if prompts is not None:
        _point(moe, prompts, num_experts)
    moe.settle_opened()
    return moe


def _dense(source: Any) -> Any:
    if isinstance(source, nn.Module):
        return source
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(local_folder(source), dtype="auto")


def _family(model: Any) -> Family:
    model_type = model.config.model_type
    for family in FAMILIES:
        if model_type in family.dense:
            return family
    known = [name for family in FAMILIES for name in family.dense]
    raise UnknownNameError("dense family to make a mixture of", model_type, known)


def _check(dense: Sequence[Any], num_experts: int, top_k: int, prompts: Sequence[Sequence[str]] | None) -> None:
    shapes = [{name: tuple(tensor.shape) for name, tensor in model.state_dict().items()} for model in dense]
    if any(shape != shapes[0] for shape in shapes):
        raise ConfigError("the dense models have different shapes; siblings come from one base model")
    if not 1 <= top_k <= num_experts or num_experts < len(dense):
        raise ConfigError(
            f"num_experts = {num_experts}, top_k = {top_k}: needs 1 ≤ top_k ≤ num_experts, and an expert for each of "
            f"{len(dense)} models"
        )
    if prompts is not None and len(prompts) != len(dense):
        raise ConfigError(f"prompts for {len(prompts)} models; needs one list of texts for each of the {len(dense)}")
    mlp = dense[0].model.layers[0].mlp
    if any(isinstance(part, nn.Linear) and part.bias is not None for part in mlp.modules()):
        raise ConfigError("the dense FFN has biases, for which these mixtures have no place")


def _empty(dense: Any, family: Family, num_experts: int, top_k: int) -> Any:
    """The family's MoE with the dense model's sizes."""
    from transformers import AutoConfig, AutoModelForCausalLM

    told = dense.config.to_dict()
    kept = {
        key: value for key, value in told.items() if key not in ("model_type", "architectures", "transformers_version")
    }
    sizes = {
        family.count_keys[0]: num_experts,
        "num_experts_per_tok": top_k,
        "moe_intermediate_size": told["intermediate_size"],
        "norm_topk_prob": True,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
    }
    known = AutoConfig.for_model(family.model_types[0])
    settings = {key: value for key, value in {**kept, **sizes}.items() if hasattr(known, key)}
    config = AutoConfig.for_model(family.model_types[0], **settings)
    return AutoModelForCausalLM.from_config(config, dtype=dense.dtype)


def _copy_shared(model: Any, dense: Sequence[Any]) -> None:
    """All tensors outside the FFNs: the mean over siblings."""
    own = dict(model.named_parameters())
    given = [dict(each.named_parameters()) for each in dense]
    for name, parameter in own.items():
        if ".mlp." in name:
            continue
        if name not in given[0]:
            raise ConfigError(
                f"the dense model has no {name}; it is not of the family that {type(model).__name__} mixes"
            )
        mean: Tensor = torch.stack([each[name].float() for each in given]).mean(dim=0)
        parameter.copy_(mean.to(parameter.dtype))


def _point(moe: MoE, prompts: Sequence[Sequence[str]], num_experts: int) -> None:
    """Each sibling's experts get its texts' mean hidden state, less the mean over all siblings, as their row."""
    found = [hidden_means(moe, texts) for texts in prompts]
    for layer in moe.layers:
        means = torch.stack([each[layer.number].mean() for each in found])
        rows: Any = layer.router.weight
        centred = means - means.mean(dim=0, keepdim=True) if len(prompts) > 1 else means
        centred = centred / centred.norm(dim=1, keepdim=True).clamp_min(1e-12)
        for expert in range(num_experts):
            rows[expert] += centred[expert % len(prompts)].to(rows)
