"""A mixture of experts out of dense models of one family: one checkpoint copied, or fine-tuned siblings mixed.

One dense model becomes experts that are all alike (sparse upcycling, Komatsuzaki et al. 2022); several siblings bring an FFN
each, and the rest of the network is their mean (branch-train-mix, Sukhbaatar et al. 2024).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from interconnected_ai.errors import ConfigError, NotAModelError, UnknownNameError
from interconnected_ai.hub import ONE_NETWORK, local_folder
from interconnected_ai.surgery.analysis.prompts import hidden_means
from interconnected_ai.surgery.anatomy.families import FAMILIES, Family
from interconnected_ai.surgery.anatomy.ffn import weights_in
from interconnected_ai.surgery.model import MoE
from interconnected_ai.surgery.opening import tokenizer_in
from interconnected_ai.surgery.settings import need_count, need_list, need_number, need_texts

_ROUTER_STD = 0.02
_MOST_EXPERTS = 4096  # four times what any published mixture has in a layer
_ALIKE = 1e-5  # of a mean's length: below it the difference of two means is rounding
_NOISE = "the difference of their mean hidden states is nothing but rounding, and a router pointed by it is noise."


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
    Raises `ConfigError` for models that do not fit together, for siblings or prompts that are the same, since nothing could
    tell their experts apart, `NotAModelError` for a folder without a model, and `UnknownNameError` for a family without a
    mixture.
    """
    _check_settings(num_experts, top_k, noise, seed)
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
            weights = weights_in(source).to(layer.read(expert).up).copy()
            if noise:
                for tensor in weights.tensors().values():
                    tensor += noise * tensor.std() * torch.randn(tensor.shape, generator=generator).to(tensor)
            moe.replace(layer.number, expert, weights)
        rows = layer.matrix
        rows.copy_(torch.randn(rows.shape, generator=generator) * _ROUTER_STD)
    if prompts is not None:
        _point(moe, prompts, num_experts)
    moe.settle_opened()
    return moe


def _dense(source: Any) -> Any:
    if isinstance(source, nn.Module):
        return source
    from transformers import AutoModelForCausalLM

    folder = local_folder(source)
    if not (folder / "config.json").is_file():
        raise NotAModelError(
            f"no config.json in {folder}; needs the folder of a dense Hugging Face model, or its hub id as owner/name"
        )
    with ONE_NETWORK:
        return AutoModelForCausalLM.from_pretrained(folder, dtype="auto")


def _family(model: Any) -> Family:
    model_type = model.config.model_type
    for family in FAMILIES:
        if model_type in family.dense:
            return family
    known = [name for family in FAMILIES for name in family.dense]
    raise UnknownNameError("dense family to make a mixture of", model_type, known)


def _check_settings(num_experts: int, top_k: int, noise: float, seed: int) -> None:
    need_count("num_experts", num_experts)
    if num_experts > _MOST_EXPERTS:
        raise ConfigError(f"num_experts = {num_experts}: no layer has as many; needs {_MOST_EXPERTS} or fewer")
    need_count("top_k", top_k)
    need_number("noise", noise, above=-1e-300, up_to=1e3)
    need_count("seed", seed, 0)


def _check(dense: Sequence[Any], num_experts: int, top_k: int, prompts: Sequence[Sequence[str]] | None) -> None:
    shapes = [{name: tuple(tensor.shape) for name, tensor in model.state_dict().items()} for model in dense]
    if any(shape != shapes[0] for shape in shapes):
        raise ConfigError("the dense models have different shapes; siblings come from one base model")
    if not 1 <= top_k <= num_experts or num_experts < len(dense):
        raise ConfigError(
            f"num_experts = {num_experts}, top_k = {top_k}: needs 1 ≤ top_k ≤ num_experts, and an expert for each of "
            f"{len(dense)} models"
        )
    _check_siblings(dense)
    if prompts is not None:
        _check_prompts(need_list("prompts", prompts), len(dense))
    mlp = dense[0].model.layers[0].mlp
    if any(isinstance(part, nn.Linear) and part.bias is not None for part in mlp.modules()):
        raise ConfigError("the dense FFN has biases, for which these mixtures have no place")


def _check_siblings(dense: Sequence[Any]) -> None:
    for number, model in enumerate(dense):
        for before, other in enumerate(dense[:number]):
            theirs = other.state_dict()
            if all(torch.equal(tensor, theirs[name]) for name, tensor in model.state_dict().items()):
                raise ConfigError(
                    f"siblings {before} and {number} are the same model: a router could learn nothing that tells their experts "
                    "apart. Give one of them alone (copies grow apart with noise=), or siblings that learnt different texts"
                )


def _check_prompts(prompts: Sequence[Any], number: int) -> None:
    if len(prompts) != number:
        raise ConfigError(f"prompts for {len(prompts)} models; needs one list of texts for each of the {number}")
    for which, texts in enumerate(prompts):
        need_texts(texts, f"prompts of sibling {which}")
        if not any(text.strip() for text in texts):
            raise ConfigError(f"prompts of sibling {which} hold no text; give some of what it was trained on")
        twin = next((before for before in range(which) if set(prompts[before]) == set(texts)), None)
        if twin is not None:
            raise ConfigError(
                f"siblings {twin} and {which} have the same prompts: {_NOISE} Give each sibling texts of its own domain, or "
                "leave prompts out"
            )


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
    with ONE_NETWORK:
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
        rows = layer.matrix
        centred = means - means.mean(dim=0, keepdim=True) if len(prompts) > 1 else means
        if float(centred.norm(dim=1).min()) <= _ALIKE * float(means.norm(dim=1).mean()):
            raise ConfigError(
                f"layer {layer.number} sees the prompts of all siblings alike: {_NOISE} Give texts that differ more, or leave "
                "prompts out"
            )
        centred = centred / centred.norm(dim=1, keepdim=True).clamp_min(1e-12)
        for expert in range(num_experts):
            rows[expert] += centred[expert % len(prompts)].to(rows)
