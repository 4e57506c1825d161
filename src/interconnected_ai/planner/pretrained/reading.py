"""From a `config.json` to a `PretrainedMoE`."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from interconnected_ai.errors import ConfigError
from interconnected_ai.mixtures import text_config_of
from interconnected_ai.planner.precision import FLOAT_PRECISIONS
from interconnected_ai.planner.pretrained.attention import GroupedQueryAttention, LatentAttention
from interconnected_ai.planner.pretrained.families import read_blueprint
from interconnected_ai.planner.pretrained.model import PretrainedMoE
from interconnected_ai.planner.pretrained.settings import Settings

_WRAPPED = "its config stands inside another"


def read_pretrained(source: str | Path | Mapping[str, Any]) -> PretrainedMoE:
    """The model in a `config.json`, in a folder that holds one, or in its contents as a mapping.

    Keys are read under each name that transformers 4 and 5 save them. `ConfigError` names a file that is absent or no JSON, an
    architecture nobody here knows, and every key that is missing or cannot be.
    """
    values, name, where = _read(source)
    values = _of_language_model(values, where)
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


def _of_language_model(values: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """A wrapper's language model, with what the wrapper says of all its parts."""
    text = text_config_of(values, where)
    if text is values:
        return values
    common = {
        key: values[key] for key in ("dtype", "torch_dtype", "quantization_config") if values.get(key) is not None
    }
    return {**common, **{key: value for key, value in text.items() if value is not None}, _WRAPPED: True}


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
    if _WRAPPED in settings.values:
        yield "the language model of a wrapper: its parts for pictures and sound are not counted"
    for key in ("num_nextn_predict_layers", "num_mtp_layers"):
        if settings.values.get(key):
            yield f"{key} = {settings.values[key]}: layers that predict further tokens are not built, nor counted"
