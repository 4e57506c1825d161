"""A pretrained MoE language model sized from its `config.json` alone: counts, bytes of each way to use it, split over devices.

What a family builds stands in `moe_families`.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from interconnected_ai.errors import ConfigError
from interconnected_ai.planner.moe_families import (
    Blueprint,
    GroupedQueryAttention,
    LatentAttention,
    Part,
    Settings,
    Weight,
    read_blueprint,
)
from interconnected_ai.planner.precision import BYTES, weight_bytes

FLOAT_PRECISIONS = ("float32", "bfloat16", "float16")

# MXFP4 (OCP Microscaling, 2023): 4 bits a number, and one 8-bit scale for 32 of them.
MXFP4_BYTES = 0.5 + 1 / 32

# AdamW: two float32 states, and a float32 master copy of a weight held in 16 bits (Rajbhandari et al. 2020, ZeRO, section 3.1).
ADAMW_BYTES, MASTER_BYTES = 8, 4

MOST_DEVICES = 1024


@dataclass(frozen=True)
class PretrainedMoE:
    """What a `config.json` says about a mixture of experts, and every count that follows from it.

    Counts are those of the model transformers builds, tied weights once. d_ff_expert: inner size of one routed FFN expert.
    top_k: routed FFN experts a token passes in each MoE layer; num_shared_experts: those that every token passes besides.
    num_kv_heads, head_dim: of the layers with softmax attention; with latent attention every head has its own keys, of
    head_dim numbers. precision: the stored weights' dtype. quantization: how a quantised checkpoint is stored, None for
    plain numbers. notes: what was assumed.
    """

    name: str
    model_type: str
    d_model: int
    n_layers: int
    num_moe_layers: int
    num_experts: int
    top_k: int
    num_shared_experts: int
    d_ff_expert: int
    vocab_size: int
    n_heads: int
    num_kv_heads: int
    head_dim: int
    tied_embeddings: bool
    precision: str
    quantization: str | None
    notes: tuple[str, ...]
    blueprint: Blueprint = field(repr=False)

    @cached_property
    def weights(self) -> tuple[Weight, ...]:
        """Every parameter tensor."""
        return self.blueprint.weights()

    @property
    def num_params(self) -> int:
        """All parameters."""
        return sum(weight.num_params for weight in self.weights)

    @property
    def num_active_params(self) -> int:
        """Parameters one token uses: all but the routed FFN experts it does not choose.

        Publishers differ: Qwen, Mixtral and OLMoE count the embedding, as here; gpt-oss and DeepSeek leave it out
        (`num_active_params_without_lookup`).
        """
        return self.num_params - self.num_moe_layers * (self.num_experts - self.top_k) * self.num_expert_params

    @property
    def num_active_params_without_lookup(self) -> int:
        """The same without the embedding, of which a token reads one row; a tied one is also the head, and stays."""
        return self.num_active_params - (0 if self.tied_embeddings else self.num_embedding_params)

    @property
    def num_embedding_params(self) -> int:
        """The token embedding, without the head."""
        return self._count("embedding")

    @property
    def num_head_params(self) -> int:
        """The output head; 0 when it is the embedding."""
        return self._count("head")

    @property
    def num_attention_params(self) -> int:
        """All attention layers, with their norms on queries, keys and latents."""
        return self._count("attention")

    @property
    def num_router_params(self) -> int:
        """All token routers, without the gates of shared experts."""
        return self._count("router")

    @property
    def num_shared_expert_params(self) -> int:
        """All FFN experts that every token passes, with their gates."""
        return self._count("shared expert")

    @property
    def num_expert_params_all(self) -> int:
        """All routed FFN experts of all layers."""
        return self._count("expert")

    @property
    def num_expert_params(self) -> int:
        """ONE routed FFN expert in one layer."""
        return self.num_expert_params_all // (self.num_moe_layers * self.num_experts)

    def kv_cache_bytes(
        self, seq_tokens: int, batch: int = 1, precision: str | None = None, *, expanded: bool = False
    ) -> int:
        """Bytes of transformers' `DynamicCache` after that many tokens: layers · batch · tokens · (key + value) · bytes.

        A sliding-window layer keeps its last window - 1 positions. Latent attention (DeepSeek) is cached compressed, as
        transformers does since August 2026 (its pull request 47761); `expanded` gives the keys and values of all heads that
        earlier versions cached. Qwen3-Next's linear layers keep a state of fixed size, in float32. precision: None for the
        config's.
        """
        precision = precision or self.precision
        _needs_float("KV cache precision", precision)
        _needs_counts(seq_tokens=seq_tokens, batch=batch)
        attentions = self.blueprint.attentions
        numbers = sum(attention.cached_numbers(seq_tokens, expanded=expanded) for attention in attentions)
        states = sum(attention.state_numbers() for attention in attentions)
        return batch * (numbers * int(BYTES[precision]) + 4 * states)

    def weights_bytes(self, precision: str | None = None, *, quantised_experts: bool = True) -> int:
        """Bytes of the loaded weights; in a floating-point precision those of the state_dict, tied weights once.

        int8 and int4 hold the matrices of attention, FFNs and experts with their scales; embedding, head, routers, norms and
        biases stay bfloat16. quantised_experts: False leaves the routed experts in bfloat16 too, as bitsandbytes does with
        transformers v5, whose fused experts are no `nn.Linear`.
        """
        precision = precision or self.precision
        _needs_precision(precision)
        return _held_bytes(self.weights, precision, quantised_experts) + self.buffer_bytes(precision)

    def buffer_bytes(self, precision: str) -> int:
        """Bytes of the numbers by which DeepSeek's kind of router balances its choice: saved, but no parameters."""
        kind = self.blueprint.experts.correction
        held = "float32" if kind == "float32" else precision if precision in FLOAT_PRECISIONS else "bfloat16"
        return self.num_moe_layers * self.num_experts * int(BYTES[held]) if kind else 0

    @property
    def stored_bytes(self) -> int | None:
        """Bytes of the checkpoint: exact for plain numbers and gpt-oss's MXFP4 experts, None for other quantisations."""
        if self.quantization is None:
            return self.weights_bytes(self.precision)
        if self.quantization != "mxfp4":
            return None
        packed = sum(weight.num_params for weight in self.weights if _is_expert_matrix(weight))
        return round(packed * MXFP4_BYTES + (self.num_params - packed) * BYTES[self.precision])

    def summary(self) -> dict[str, Any]:
        """Every size and count by name, for tables and JSON."""
        sizes = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "blueprint"}
        counts = [name for name, value in vars(type(self)).items() if isinstance(value, property)]
        return sizes | {name: getattr(self, name) for name in counts}

    def _count(self, part: Part) -> int:
        return sum(weight.num_params for weight in self.weights if weight.part == part)


def read_pretrained(source: str | Path | Mapping[str, Any]) -> PretrainedMoE:
    """The model in a `config.json`, in a folder that holds one, or in its contents as a mapping.

    Keys are read under each name that transformers 4 and 5 save them. `ConfigError` names a file that is absent or no JSON, an
    architecture nobody here knows, and every key that is missing or cannot be.
    """
    values, name, where = _read(source)
    blueprint, settings = read_blueprint(values, where), Settings(values, where)
    precision, quantization = _stored_precision(settings), _quantization(settings)
    kinds = (GroupedQueryAttention, LatentAttention)
    heads = next((attention for attention in blueprint.attentions if isinstance(attention, kinds)), None)
    if heads is None:
        raise settings.wrong("layer_types", "needs a layer of full attention")
    grouped = isinstance(heads, GroupedQueryAttention)
    return PretrainedMoE(
        name=name,
        model_type=blueprint.model_type,
        d_model=blueprint.d_model,
        n_layers=len(blueprint.attentions),
        num_moe_layers=len(blueprint.moe_layers),
        num_experts=blueprint.experts.num_experts,
        top_k=blueprint.experts.top_k,
        num_shared_experts=blueprint.experts.num_shared,
        d_ff_expert=blueprint.experts.d_ff,
        vocab_size=blueprint.vocab_size,
        n_heads=heads.n_heads,
        num_kv_heads=heads.num_kv_heads if isinstance(heads, GroupedQueryAttention) else heads.n_heads,
        head_dim=heads.head_dim if isinstance(heads, GroupedQueryAttention) else heads.d_nope + heads.d_rope,
        tied_embeddings=blueprint.tied,
        precision=precision or "bfloat16",
        quantization=quantization,
        notes=tuple(_notes(settings, precision, quantization, grouped)),
        blueprint=blueprint,
    )


def _read(source: str | Path | Mapping[str, Any]) -> tuple[Mapping[str, Any], str, str]:
    """The contents, a name for the model, and what to call the file in complaints."""
    if isinstance(source, Mapping):
        return source, str(source.get("_name_or_path") or source.get("model_type")), "config"
    path = Path(source)
    try:
        path = path / "config.json" if path.is_dir() else path
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            f"no config.json at {path}; download it from the model's page, without the weights"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}; a config.json is a small JSON file in UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not JSON: {error}; take the config.json from the model's page") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds a JSON {type(values).__name__}; a config.json is an object of keys and values")
    name = path.resolve().parent.name if path.name == "config.json" else path.stem
    return values, str(values.get("_name_or_path") or name), str(path)


def _stored_precision(settings: Settings) -> str | None:
    """The stored weights' dtype: `dtype`, which transformers 4 called `torch_dtype`."""
    given = {key: settings.values[key] for key in ("dtype", "torch_dtype") if settings.has(key)}
    key, value = next(iter(given.items()), ("dtype", None))
    if any(other != value for other in given.values()):
        raise settings.error(f"{given} contradict each other; keep the one that the weights have")
    name = value.removeprefix("torch.") if isinstance(value, str) else value
    if given and name not in FLOAT_PRECISIONS:
        raise settings.wrong(key, f"needs one of {', '.join(FLOAT_PRECISIONS)}")
    return name if isinstance(name, str) else None


def _quantization(settings: Settings) -> str | None:
    """How a quantised checkpoint is stored."""
    described = settings.values.get("quantization_config")
    if described is None:
        return None
    if not isinstance(described, Mapping):
        raise settings.wrong("quantization_config", "needs an object with a quant_method")
    method = described.get("quant_method") or ("bitsandbytes" if "load_in_4bit" in described else None)
    if not isinstance(method, str):
        raise settings.error("quantization_config has no quant_method, such as 'mxfp4', 'fp8' or 'gptq'; add it")
    return method


def _notes(settings: Settings, precision: str | None, quantization: str | None, grouped: bool) -> Iterator[str]:
    """What was assumed about the model."""
    if precision is None:
        yield "the config.json names no dtype: weights are taken as bfloat16"
    if quantization:
        yield f"the checkpoint is stored in {quantization}; weights are counted in the precision each row names"
    if not grouped:
        yield "the KV cache holds compressed latents, as in transformers since August 2026; earlier versions expanded them"
    for key in ("num_nextn_predict_layers", "num_mtp_layers"):
        if settings.values.get(key):
            yield f"{key} = {settings.values[key]}: layers that predict further tokens are not built, nor counted"


def _needs_counts(**values: object) -> None:
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(f"{name} = {value!r}: needs a whole number of at least 1")


def _needs_precision(precision: str) -> None:
    if precision not in BYTES:
        raise ConfigError(f"precision = {precision!r}: needs one of {', '.join(BYTES)}")


def _needs_float(what: str, precision: str) -> None:
    if precision not in FLOAT_PRECISIONS:
        raise ConfigError(f"{what} = {precision!r}: needs one of {', '.join(FLOAT_PRECISIONS)}")


def _is_expert_matrix(weight: Weight) -> bool:
    return weight.part == "expert" and len(weight.shape) == 3


def _held_bytes(weights: Iterable[Weight], precision: str, quantised_experts: bool = True) -> int:
    """Bytes of these weights in a precision; int8 and int4 hold only matrices, see `PretrainedMoE.weights_bytes`."""
    packed, plain = 0, 0
    for weight in weights:
        if (weight.linear and weight.part != "head") or (quantised_experts and _is_expert_matrix(weight)):
            packed += weight.num_params
        else:
            plain += weight.num_params
    rest = precision if precision in FLOAT_PRECISIONS else "bfloat16"
    return weight_bytes(packed, precision, scales=True) + weight_bytes(plain, rest)


@dataclass(frozen=True)
class Load:
    """What is asked of a model. See `size_ways`."""

    batch: int
    seq_tokens: int
    precision: str
    gradient_precision: str
    lora_rank: int
    single_expert_layers: int
    checkpointing: bool

    @property
    def tokens(self) -> int:
        """Tokens in one step on one device."""
        return self.batch * self.seq_tokens

    @property
    def computing(self) -> str:
        """The precision of activations and of weights that learn."""
        return self.precision if self.precision in FLOAT_PRECISIONS else "bfloat16"

    @property
    def each(self) -> int:
        """Bytes of a number in that precision."""
        return int(BYTES[self.computing])


@dataclass(frozen=True)
class TrainingWay:
    """One way to use or train a model, with the bytes it takes on a device that holds everything.

    num_trainable_params: with adapters, theirs. expert_bytes: the share of weights, gradients and optimiser states that
    belongs to routed FFN experts. gathered_bytes: what FSDP holds undivided on each device while a layer computes.
    """

    name: str
    load: Load
    num_trainable_params: int
    weights_bytes: int
    gradient_bytes: int
    optimizer_bytes: int
    activation_bytes: int
    kv_cache_bytes: int
    expert_bytes: int
    gathered_bytes: int
    notes: tuple[str, ...] = ()

    @property
    def state_bytes(self) -> int:
        """What stays from step to step: weights, gradients and optimiser states."""
        return self.weights_bytes + self.gradient_bytes + self.optimizer_bytes

    @property
    def total_bytes(self) -> int:
        """Everything at the peak of a step."""
        return self.state_bytes + self.activation_bytes + self.kv_cache_bytes

    @property
    def num_passes(self) -> int:
        """How often a step goes through the layers: forward, backward, and once more with gradient checkpointing."""
        return 1 if self.name == "inference" else 2 + self.load.checkpointing


@dataclass(frozen=True)
class Adapters:
    """LoRA matrices (Hu et al. 2021), (d_in, rank) and (rank, d_out) beside each adapted matrix; float32, as PEFT makes them.

    Bytes are those kept for the backward pass, by layer number: token_bytes for each token, layer_bytes whatever the tokens.
    after_attention: they stand in the FFN experts. in_experts: they belong to all of those, and go where those go.
    """

    num_params: int = 0
    token_bytes: Mapping[int, float] = field(default_factory=dict)
    layer_bytes: Mapping[int, int] = field(default_factory=dict)
    after_attention: bool = False
    in_experts: bool = False


def _attention_adapters(model: PretrainedMoE, load: Load) -> Adapters:
    """On every `nn.Linear` of attention; each copies its input to float32, unless it is float32 and shared already."""
    copied = load.computing != "float32"
    num_params, kept = 0, dict.fromkeys(range(model.n_layers), 0.0 if copied else 4.0 * model.d_model)
    for weight in model.weights:
        if weight.part == "attention" and weight.linear and len(weight.shape) == 2 and weight.layer is not None:
            d_out, d_in = weight.shape
            num_params += load.lora_rank * (d_in + d_out)
            kept[weight.layer] += 4 * (d_in * copied + load.lora_rank)
    return Adapters(num_params, kept)


def _expert_adapters(model: PretrainedMoE, load: Load) -> Adapters:
    """On all routed experts through PEFT's `target_parameters`, which builds each layer's whole adapted stack."""
    d, f, stack = model.d_model, model.d_ff_expert, model.num_experts * 3 * model.d_model * model.d_ff_expert
    in_layer = model.num_experts * load.lora_rank * (2 * d + 3 * f)  # gate and up share one matrix
    layers = sorted(model.blueprint.moe_layers)
    kept = dict.fromkeys(layers, float(model.top_k * load.each * (d + f)))
    fixed = dict.fromkeys(layers, load.each * (stack + in_layer))
    return Adapters(in_layer * len(layers), kept, fixed, after_attention=True, in_experts=True)


def _single_expert_adapters(model: PretrainedMoE, load: Load) -> Adapters:
    """On gate, up and down of one FFN expert, which sees its fair share of the tokens."""
    d, f, rank = model.d_model, model.d_ff_expert, load.lora_rank
    layers = sorted(model.blueprint.moe_layers)[: load.single_expert_layers]
    kept = dict.fromkeys(layers, model.top_k / model.num_experts * 4 * (2 * d + f + 3 * rank))
    return Adapters(3 * rank * (d + f) * len(layers), kept, after_attention=True)


def _kept_in_layer(model: PretrainedMoE, load: Load, number: int, *, full: bool, router: bool) -> tuple[float, float]:
    """Bytes a token leaves in this layer for the backward pass: in its attention, and in what follows."""
    blueprint, each, d = model.blueprint, load.each, model.d_model
    norm = blueprint.norm_kept_bytes(each, full=full)
    attention = norm + each * d * full + blueprint.attentions[number].kept_bytes(load.seq_tokens, each, full=full)
    if number in blueprint.moe_layers:
        return attention, norm + blueprint.experts.kept_bytes(d, each, full=full, router=router)
    return attention, norm + each * (d * full + blueprint.d_ff_dense * (3 + full))


def _kept_by_layers(
    model: PretrainedMoE, load: Load, adapters: Adapters, *, full: bool, router: bool
) -> Iterator[float]:
    """Bytes each layer keeps for the backward pass, which ends at the first weight that learns."""
    in_attention = full or not (router or adapters.after_attention)
    first = 0 if full else min(adapters.token_bytes, default=min(model.blueprint.moe_layers))
    for number in range(model.n_layers):
        attention, rest = _kept_in_layer(model, load, number, full=full, router=router)
        reached = (attention if number > first or in_attention else 0.0) + rest
        own = load.tokens * adapters.token_bytes.get(number, 0.0) + adapters.layer_bytes.get(number, 0)
        yield load.tokens * reached + own if number >= first else 0.0


def _activation_bytes(
    model: PretrainedMoE, load: Load, adapters: Adapters, *, full: bool = False, router: bool = False
) -> int:
    """The peak of activations in a training step; `size_ways` says how it is counted."""
    tokens, each, d = load.tokens, load.each, model.d_model
    layers = list(_kept_by_layers(model, load, adapters, full=full, router=router))
    # logits, their log-softmax and its gradient (both float32)
    head = model.blueprint.norm_kept_bytes(each, full=full) + each * d * full + model.vocab_size * (each + 8)
    if not load.checkpointing:
        return round(sum(layers) + tokens * head)
    inputs = tokens * model.n_layers * each * d
    return round(inputs + max(tokens * head, tokens * each * model.vocab_size + max(layers)))


def _learning_bytes(load: Load, num_params: int) -> tuple[int, int, int]:
    """Weights, gradients and optimiser states of the model's own parameters that learn."""
    optimizer = ADAMW_BYTES + (0 if load.computing == "float32" else MASTER_BYTES)
    return num_params * load.each, num_params * int(BYTES[load.gradient_precision]), num_params * optimizer


def _gathered_bytes(model: PretrainedMoE, load: Load, learns: Callable[[Weight], bool], quantised_experts: bool) -> int:
    """Embedding and head, two layers' weights (one computes, the next is fetched) and one layer's gradients."""
    layers: dict[int | None, list[Weight]] = {}
    for weight in model.weights:
        layers.setdefault(weight.layer, []).append(weight)
    outside = _held_bytes(layers.pop(None), load.precision, quantised_experts)
    largest = max(layers.values(), key=lambda weights: sum(weight.num_params for weight in weights))
    gradients = sum(weight.num_params for weight in largest if learns(weight)) * int(BYTES[load.gradient_precision])
    return outside + 2 * _held_bytes(largest, load.precision, quantised_experts) + gradients


def _way(
    model: PretrainedMoE,
    load: Load,
    name: str,
    *notes: str,
    learns: Callable[[Weight], bool] = lambda weight: False,
    adapters: Adapters | None = None,
    quantised_experts: bool = True,
) -> TrainingWay:
    """A way to train. learns: which of the model's own weights do."""
    adapters = adapters or Adapters()
    frozen = [weight for weight in model.weights if not learns(weight)]
    frozen_experts = [weight for weight in frozen if weight.part == "expert"]
    learning = [weight for weight in model.weights if learns(weight)]
    num_learning = sum(weight.num_params for weight in learning)
    num_in_experts = sum(weight.num_params for weight in learning if weight.part == "expert")
    weights, gradients, optimizer = _learning_bytes(load, num_learning)
    in_experts = sum(_learning_bytes(load, num_in_experts)) + 16 * adapters.num_params * adapters.in_experts
    held = _held_bytes(frozen, load.precision, quantised_experts) + model.buffer_bytes(load.computing)
    return TrainingWay(
        name=name,
        load=load,
        num_trainable_params=num_learning + adapters.num_params,
        weights_bytes=weights + held + 4 * adapters.num_params,
        gradient_bytes=gradients + 4 * adapters.num_params,
        optimizer_bytes=optimizer + ADAMW_BYTES * adapters.num_params,
        activation_bytes=_activation_bytes(model, load, adapters, full=not frozen, router=bool(learning)),
        kv_cache_bytes=0,
        expert_bytes=_held_bytes(frozen_experts, load.precision, quantised_experts) + in_experts,
        gathered_bytes=_gathered_bytes(model, load, learns, quantised_experts),
        notes=notes,
    )


def _inference(model: PretrainedMoE, load: Load) -> TrainingWay:
    """Weights, the KV cache, and the largest layer while the whole text is read at once."""
    largest = max(sum(_kept_in_layer(model, load, n, full=False, router=False)) for n in range(model.n_layers))
    last_logits = load.batch * model.vocab_size * (load.each + 4)
    way = _way(model, load, "inference", *_inference_notes(model, load))
    return replace(
        way,
        activation_bytes=round(load.tokens * (largest + 3 * load.each * model.d_model) + last_logits),
        kv_cache_bytes=model.kv_cache_bytes(load.seq_tokens, load.batch, load.computing),
    )


def _gb(num_bytes: float) -> str:
    return f"{num_bytes / 1e9:,.1f} GB"


def _inference_notes(model: PretrainedMoE, load: Load) -> Iterator[str]:
    yield from _frozen_notes(load)
    if model.quantization and model.stored_bytes:
        yield f"the {model.quantization} checkpoint takes {_gb(model.stored_bytes)}; kernels that run it as it is need no more"
    windows = [a.window for a in model.blueprint.attentions if isinstance(a, GroupedQueryAttention) and a.window]
    if windows:
        yield f"{len(windows)} of {model.n_layers} layers cache only their last {max(windows) - 1} positions"


def _frozen_notes(load: Load) -> Iterator[str]:
    if load.precision not in FLOAT_PRECISIONS:
        yield f"{load.precision} experts need a library that quantises fused experts; bitsandbytes leaves them in bfloat16"


def _full_notes(load: Load) -> Iterator[str]:
    if load.precision not in FLOAT_PRECISIONS:
        yield f"{load.precision} weights cannot learn: counted in bfloat16"


def _router_notes(model: PretrainedMoE, load: Load) -> Iterator[str]:
    yield from _frozen_notes(load)
    if model.top_k == 1:
        yield "with one chosen expert and renormalised weights (Mixtral) the router gets no gradient from the text"


def size_ways(
    model: PretrainedMoE,
    *,
    batch: int = 1,
    seq_tokens: int = 2048,
    precision: str | None = None,
    gradient_precision: str | None = None,
    lora_rank: int = 16,
    single_expert_layers: int | None = None,
    checkpointing: bool = True,
) -> tuple[TrainingWay, ...]:
    """Every way to use or train the model, on one device.

    - inference: weights, the KV cache of `seq_tokens`, and the largest layer of a prefill over them.
    - full: every parameter learns.
    - lora: adapters on every `nn.Linear` of attention (q, k, v, o; DeepSeek's q_a, q_b, kv_a, kv_b, o).
    - lora with experts: adapters on all routed experts' gate-and-up and down, nothing else (PEFT's `target_parameters`).
    - single-expert lora: adapters on gate, up and down of one FFN expert in `single_expert_layers` layers.
    - qlora: lora over int4 weights as it is today, routed experts in bfloat16 (bitsandbytes sees only `nn.Linear`).
    - qlora with 4-bit experts: the same as one would hope.
    - router-only: the token routers learn and nothing else.

    batch: rows on one device. precision: of frozen weights, None for the config's; over int8 or int4 activations are bfloat16,
    and full training is counted in bfloat16. gradient_precision: of the model's own weights, None for the activations'.
    single_expert_layers: None for all MoE layers. checkpointing: keep each layer's input and compute the rest again (Chen et
    al. 2016).

    Training takes weights + gradients + AdamW's two float32 states + a float32 master copy of each 16-bit weight that learns
    (Rajbhandari et al. 2020, ZeRO, section 3.1). Adapters are float32 throughout, and need no copy.

    Activations are what transformers' layers keep for the backward pass, tensor by tensor, with its default backends
    (grouped_mm experts, fused attention; plain attention in gpt-oss): without checkpointing the sum over layers; with it all
    layers' inputs and the larger of the head and one layer (the scheme of Korthikanti et al. 2022, sections 4 and 5). The head
    keeps logits, their float32 log-softmax and its gradient. A frozen matrix keeps no input. Temporary tensors inside a layer,
    the allocator's gaps and, in batches with padding, keys and values repeated for every head come on top.
    """
    precision = precision or model.precision
    layers = model.num_moe_layers if single_expert_layers is None else single_expert_layers
    _needs_precision(precision)
    _needs_counts(batch=batch, seq_tokens=seq_tokens, lora_rank=lora_rank, single_expert_layers=layers)
    if layers > model.num_moe_layers:
        raise ConfigError(
            f"single_expert_layers = {layers}: there are {model.num_moe_layers} MoE layers; ask for fewer"
        )
    load = Load(batch, seq_tokens, precision, "", lora_rank, layers, checkpointing)
    load = replace(load, gradient_precision=gradient_precision or load.computing)
    _needs_float("gradient_precision", load.gradient_precision)

    int4, own = replace(load, precision="int4"), replace(load, precision=load.computing)
    attention, experts = _attention_adapters(model, load), _expert_adapters(model, load)
    stack = max(experts.layer_bytes.values())
    peft = f"PEFT builds each layer's whole adapted expert stack: {_gb(stack)} a layer, of all layers without checkpointing"
    frozen = tuple(_frozen_notes(load))
    left = sum(weight.num_params for weight in model.weights if _is_expert_matrix(weight)) * 2
    today = f"bitsandbytes turns only nn.Linear into 4 bits: {_gb(left)} of fused experts stay bfloat16"
    hoped = "hoped for: plain transformers with bitsandbytes gives the row 'qlora'; this needs 4-bit fused experts"
    return (
        _inference(model, load),
        _way(model, own, "full", *_full_notes(load), learns=lambda weight: True),
        _way(model, load, "lora", *frozen, adapters=attention),
        _way(model, load, "lora with experts", *frozen, peft, adapters=experts),
        _way(model, load, "single-expert lora", *frozen, adapters=_single_expert_adapters(model, load)),
        _way(model, int4, "qlora", today, adapters=attention, quantised_experts=False),
        _way(model, int4, "qlora with 4-bit experts", hoped, adapters=attention),
        _way(model, load, "router-only", *_router_notes(model, load), learns=lambda weight: weight.part == "router"),
    )


@dataclass(frozen=True)
class Split:
    """A model on several devices. traffic_bytes: what each device sends in one step."""

    kind: Literal["expert parallelism", "fsdp"]
    num_devices: int
    bytes_per_device: int
    traffic_bytes: int
    fits: bool

    def __str__(self) -> str:
        """The split in words."""
        if self.num_devices == 1:
            return f"one device ({_gb(self.bytes_per_device)})"
        name = "FSDP" if self.kind == "fsdp" else self.kind
        return f"{name} over {self.num_devices} devices ({_gb(self.bytes_per_device)} each)"


@dataclass(frozen=True)
class SplitPlan:
    """The rows for 1..N devices, the one to take (None when nothing fits) and the reason in words."""

    way: TrainingWay
    device_memory_bytes: int
    rows: tuple[Split, ...]
    best: Split | None
    advice: str


def _splits(model: PretrainedMoE, way: TrainingWay, memory: int, devices: Iterable[int]) -> Iterator[Split]:
    """For each number of devices expert parallelism, where it divides the experts, and FSDP."""
    rest = way.total_bytes - way.expert_bytes
    sent = way.load.tokens * model.top_k * model.d_model * way.load.each * 2 * model.num_moe_layers * way.num_passes
    gathers = way.weights_bytes * min(way.num_passes, 2) + way.gradient_bytes
    for n in devices:
        away = (n - 1) / n
        if model.num_experts % n == 0:
            held = rest + -(-way.expert_bytes // n)
            yield Split("expert parallelism", n, held, round(sent * away), held <= memory)
        if n > 1:
            held = way.total_bytes - way.state_bytes + -(-way.state_bytes // n) + way.gathered_bytes
            yield Split("fsdp", n, held, round(gathers * away), held <= memory)


def _best(rows: Iterable[Split]) -> Split | None:
    """The lowest expert parallelism that fits, else the smallest FSDP."""
    fitting = [row for row in rows if row.fits]
    return min(fitting, key=lambda row: (row.kind == "fsdp", row.num_devices), default=None)


def _reason(way: TrainingWay, best: Split, rows: tuple[Split, ...]) -> str:
    """Why to take this split."""
    if best.num_devices == 1:
        return f"{best} holds it: every split would only add traffic"
    if best.kind == "fsdp":
        rest = way.total_bytes - way.expert_bytes
        return f"{best}: no expert parallelism fits, as what it leaves undivided takes {_gb(rest)} on each device"
    more = [row for row in rows if row.kind == best.kind and row.num_devices > best.num_devices]
    grows = f", over {more[0].num_devices} devices {_gb(more[0].traffic_bytes)}" if more else ""
    return (
        f"{best} is the lowest that fits, and all-to-all traffic grows with it: "
        f"each device sends {_gb(best.traffic_bytes)} a step{grows}"
    )


_UNTIL_QLORA = ("full", "lora with experts", "lora")
_ONE_OR_NONE = ("inference", "single-expert lora", "router-only")

# What to try instead, nearest first: in words, for which ways, the way to take (None for the same), changes to its load.
_CHANGES: tuple[tuple[str, tuple[str, ...], str | None, dict[str, Any]], ...] = (
    ("gradient checkpointing", (*_UNTIL_QLORA, *_ONE_OR_NONE, "qlora"), None, {"checkpointing": True}),
    ("batch 1", (*_UNTIL_QLORA, *_ONE_OR_NONE, "qlora"), None, {"batch": 1}),
    ("int8 weights, experts too", _ONE_OR_NONE, None, {"precision": "int8"}),
    ("int4 weights, experts too", _ONE_OR_NONE, None, {"precision": "int4"}),
    ("lora", ("full", "lora with experts"), "lora", {}),
    ("qlora", _UNTIL_QLORA, "qlora", {}),
    ("qlora with 4-bit experts", (*_UNTIL_QLORA, "qlora"), "qlora with 4-bit experts", {}),
    ("int4 weights, experts too, and batch 1", _ONE_OR_NONE, None, {"precision": "int4", "batch": 1}),
    ("qlora with 4-bit experts and batch 1", (*_UNTIL_QLORA, "qlora"), "qlora with 4-bit experts", {"batch": 1}),
)


def _changed(model: PretrainedMoE, way: TrainingWay) -> Iterator[tuple[str, TrainingWay]]:
    """Ways that take less, the one most like this first, and the change in words."""
    for words, names, name, changes in _CHANGES:
        if way.name in names:
            ways = size_ways(model, **{**vars(way.load), **changes})
            other = next(candidate for candidate in ways if candidate.name == (name or way.name))
            if other.total_bytes < way.total_bytes:
                yield words, other


def _nearest_change(model: PretrainedMoE, way: TrainingWay, memory: int, max_devices: int) -> str:
    """What does not fit, the nearest change that does, and how many devices would do without it."""
    least = min(_splits(model, way, memory, range(1, max_devices + 1)), key=lambda row: row.bytes_per_device)
    lines = [f"nothing fits {_gb(memory)}: {way.name} takes at least {least}"]
    for words, other in _changed(model, way):
        best = _best(_splits(model, other, memory, range(1, max_devices + 1)))
        if best:
            lines.append(f"nearest change that fits: {words} on {best}")
            break
    enough = next(
        (row for row in _splits(model, way, memory, range(max_devices + 1, MOST_DEVICES + 1)) if row.fits), None
    )
    lines += [f"{'or ' if len(lines) > 1 else ''}more devices: {enough}"] if enough else []
    lines += ["no change tried here fits: take devices with more memory"] if len(lines) == 1 else []
    return "; ".join(lines)


def split_over(model: PretrainedMoE, way: TrainingWay, device_memory_bytes: int, max_devices: int) -> SplitPlan:
    """How 1..`max_devices` devices of that memory share the model in this way, and which split to take.

    Expert parallelism over n devices (n divides num_experts): routed experts / n, everything else on each. FSDP: weights,
    gradients and states / n, and `gathered_bytes` more. Each device has its own `batch` in both: activations and cache are not
    divided.

    Taken is the lowest expert parallelism that fits, because its traffic grows with n: a token is sent to its experts and
    back, 2 · top_k · d_model numbers in each MoE layer and pass, of which (n - 1) / n leave the device. Without one, the
    smallest FSDP; without that, `advice` names the nearest change that fits. device_memory_bytes: what is free for the model.
    """
    _needs_counts(device_memory_bytes=device_memory_bytes, max_devices=max_devices)
    if max_devices > MOST_DEVICES:
        raise ConfigError(f"max_devices = {max_devices}: needs {MOST_DEVICES} or fewer")
    rows = tuple(_splits(model, way, device_memory_bytes, range(1, max_devices + 1)))
    best = _best(rows)
    advice = _reason(way, best, rows) if best else _nearest_change(model, way, device_memory_bytes, max_devices)
    return SplitPlan(way, device_memory_bytes, rows, best, advice)
