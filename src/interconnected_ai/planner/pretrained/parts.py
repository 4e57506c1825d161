"""Parts of a pretrained model that several families describe by the same keys of a `config.json`."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Literal

from interconnected_ai.planner.pretrained.attention import Attention, GroupedQueryAttention, LatentAttention
from interconnected_ai.planner.pretrained.blueprint import Blueprint, Experts
from interconnected_ai.planner.pretrained.settings import Settings

# No published model has a tenth of it; a typing error of three zeros should not fill the memory.
MAX_LAYERS = 1000


def blueprint_of(
    settings: Settings,
    attentions: list[Attention],
    experts: Experts,
    moe_layers: Iterable[int] | None = None,
    *,
    norm: Literal["rms", "float32 rms", "layer"] = "rms",
    head_bias: bool = False,
    tied: bool = False,
    dense_key: str = "intermediate_size",
    **more: Any,
) -> Blueprint:
    """The blueprint, after the checks that every family shares.

    moe_layers: None is all. tied: what the family assumes where the file is silent. dense_key: the width of its dense layers.
    """
    if experts.top_k > experts.num_experts:
        rule = f"a token cannot choose more than the {experts.num_experts} FFN experts there are"
        raise settings.wrong("num_experts_per_tok", rule)
    layers = frozenset(range(len(attentions)) if moe_layers is None else moe_layers)
    if not layers:
        raise settings.error("no layer has FFN experts: this config.json builds a dense model; plan it as one")
    has_dense = len(layers) + len(more.get("bare", ())) < len(attentions) or more.get("beside_experts", False)
    return Blueprint(
        model_type=settings.values["model_type"],
        vocab_size=settings.count("vocab_size"),
        d_model=settings.count("hidden_size"),
        attentions=tuple(attentions),
        experts=experts,
        moe_layers=layers,
        d_ff_dense=settings.count(dense_key) if has_dense else 0,
        tied=settings.flag("tie_word_embeddings", tied),
        norm=norm,
        head_bias=head_bias,
        **more,
    )


def n_layers_of(settings: Settings) -> int:
    """Layers of the model; no more than `MAX_LAYERS`."""
    n_layers = settings.count("num_hidden_layers")
    if n_layers > MAX_LAYERS:
        raise settings.wrong("num_hidden_layers", f"needs {MAX_LAYERS} or fewer")
    return n_layers


def heads_of(settings: Settings, head_dim: int | None = None, **more: Any) -> GroupedQueryAttention:
    """Grouped-query attention without a window. head_dim: what the family assumes where the file is silent."""
    kind = more.pop("kind", GroupedQueryAttention)
    n_heads = settings.count("num_attention_heads")
    kv_default = n_heads if settings.values["model_type"] in ("olmoe", "granitemoe") else None
    num_kv_heads = settings.count("num_key_value_heads", default=kv_default)
    if n_heads % num_kv_heads:
        raise settings.wrong("num_key_value_heads", f"needs a divisor of num_attention_heads = {n_heads}")
    if head_dim is None and not settings.has("head_dim"):
        head_dim, rest = divmod(settings.count("hidden_size"), n_heads)
        if rest:
            raise settings.wrong("hidden_size", f"needs a multiple of num_attention_heads = {n_heads}, or head_dim")
    size = settings.count("head_dim", default=head_dim)
    if size % 2:
        raise settings.error(f"head_dim = {size}: rotary positions need an even number; correct it or hidden_size")
    made: GroupedQueryAttention = kind(n_heads, num_kv_heads, size, **more)
    return made


def biased_heads_of(settings: Settings, head_dim: int | None = None, *, default: bool = False, **more: Any) -> Any:
    """Heads whose four matrices have biases where `attention_bias` says so."""
    bias = settings.flag("attention_bias", default)
    return heads_of(settings, head_dim, bias=bias, out_bias=bias, **more)


def with_norms(heads: GroupedQueryAttention) -> GroupedQueryAttention:
    """The same with a norm on each head's queries and keys."""
    return replace(heads, q_norm=heads.head_dim, k_norm=heads.head_dim)


def in_every_layer(
    settings: Settings, heads: GroupedQueryAttention, default: Callable[[int], bool] | None = None
) -> list[Attention]:
    """Those heads in every layer, with how far back each sees.

    `layer_types` decides; without it, `default` says which layers slide, and without that a `sliding_window` holds for all.
    """
    n_layers = n_layers_of(settings)
    types = settings.names("layer_types", n_layers, ("full_attention", "sliding_attention"))
    if types is not None:
        slides = [kind == "sliding_attention" for kind in types]
    else:
        slides = [default(n) if default else settings.has("sliding_window") for n in range(n_layers)]
    return [replace(heads, window=settings.count("sliding_window") if slide else None) for slide in slides]


def latent_in_every_layer(settings: Settings) -> list[Attention]:
    """DeepSeek's attention in every layer; a null `q_lora_rank` (V2-Lite) means one plain query matrix."""
    return [latent_of(settings)] * n_layers_of(settings)


def latent_of(settings: Settings, kind: type[LatentAttention] = LatentAttention, **more: Any) -> LatentAttention:
    """DeepSeek's attention, or a kind of it."""
    if "q_lora_rank" not in settings.values:
        raise settings.error("key 'q_lora_rank' is missing; give a number, or null for one plain query matrix")
    if settings.count("qk_rope_head_dim") % 2:
        raise settings.wrong("qk_rope_head_dim", "rotary positions need an even number")
    n_heads = settings.count("num_attention_heads")
    if settings.count("num_key_value_heads", default=n_heads) != n_heads:
        raise settings.wrong("num_key_value_heads", f"needs num_attention_heads = {n_heads}: latents serve all heads")
    return kind(
        n_heads=n_heads,
        q_rank=settings.count("q_lora_rank") if settings.has("q_lora_rank") else None,
        kv_rank=settings.count("kv_lora_rank"),
        d_nope=settings.count("qk_nope_head_dim"),
        d_rope=settings.count("qk_rope_head_dim"),
        d_value=settings.count("v_head_dim"),
        bias=settings.flag("attention_bias", False),
        **more,
    )


def experts_of(settings: Settings, *keys: str, d_ff: str = "intermediate_size", **more: Any) -> Experts:
    """The routed FFN experts, their number under one of these keys."""
    top_k = more.pop("top_k", ("num_experts_per_tok",))
    return Experts(settings.count(*keys), settings.count(*top_k), settings.count(d_ff), **more)


def qwen_experts_of(settings: Settings) -> Experts:
    """Routed FFN experts beside one for every token, behind a sigmoid gate."""
    d_ff_shared = settings.count("shared_expert_intermediate_size")
    shared = {"num_shared": 1, "d_ff_shared": d_ff_shared, "shared_gate": True, "shared": "shared_expert"}
    return experts_of(settings, "num_experts", d_ff="moe_intermediate_size", **shared)


def deepseek_experts_of(settings: Settings, key: str, *, groups: bool, **more: Any) -> Experts:
    """Routed FFN experts beside some for every token. groups: the router chooses groups of them first."""
    num_shared, d_ff = settings.count("n_shared_experts", at_least=0), settings.count("moe_intermediate_size")
    more_sizes = {"num_shared": num_shared, "d_ff_shared": num_shared * d_ff, "float32_router": True, **more}
    experts = experts_of(settings, "n_routed_experts", key, d_ff="moe_intermediate_size", **more_sizes)
    num_groups, chosen = (settings.count(name, default=1) for name in ("n_group", "topk_group"))
    size, rest = divmod(experts.num_experts, num_groups)
    if groups and (rest or (experts.correction and size < 2)):
        raise settings.wrong("n_group", f"needs equal groups of two or more out of {experts.num_experts} FFN experts")
    if groups and (chosen > num_groups or experts.top_k > chosen * size):
        rule = f"{chosen} of {num_groups} groups of {size} FFN experts cannot give a token {experts.top_k}"
        raise settings.wrong("topk_group", rule)
    return experts


def sparse_layers(settings: Settings, default: int = 0) -> list[int]:
    """MoE layers: those that `mlp_layer_types` calls sparse, else all after the first `first_k_dense_replace`."""
    types = settings.names("mlp_layer_types", n_layers_of(settings), ("dense", "sparse"))
    if types is None:
        first = settings.count("first_k_dense_replace", at_least=0, default=default)
        return list(range(first, n_layers_of(settings)))
    return [n for n, kind in enumerate(types) if kind == "sparse"]


def every_step(settings: Settings) -> list[int]:
    """Qwen's MoE layers: every `decoder_sparse_step`-th, without those in `mlp_only_layers`."""
    step, dense = settings.count("decoder_sparse_step", default=1), settings.layers("mlp_only_layers")
    return [n for n in range(n_layers_of(settings)) if n not in dense and (n + 1) % step == 0]


def after_dense(settings: Settings) -> range:
    """DeepSeek's MoE layers: all after the first `first_k_dense_replace`."""
    return range(settings.count("first_k_dense_replace", at_least=0), n_layers_of(settings))
