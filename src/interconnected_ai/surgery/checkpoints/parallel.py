"""Experts spread over devices: what transformers and DeepSpeed are told about an edited model.

Both load the folder that `MoE.save` wrote. What can be spread is an ordinary checkpoint: one number of experts for all layers,
nothing closed, no adapters.
"""

from typing import Any

from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.surgery.model import MoE
from interconnected_ai.surgery.settings import need_count

# DeepSpeed's AutoEP knows these by preset; others train under ZeRO with the MoE block as one leaf.
_AUTOEP_PRESETS = {
    "Mixtral": "mixtral",
    "Qwen2-MoE": "qwen3_moe",
    "Qwen3-MoE": "qwen3_moe",
    "Qwen3.5-MoE": "qwen3_5_moe",
    "DeepSeek-V2": "deepseek_v2",
    "DeepSeek-V3": "deepseek_v3",
}


def transformers_plan(moe: MoE, num_devices: int) -> dict[str, Any]:
    """Arguments of `transformers.distributed.DistributedConfig`: each device holds its part of the experts and its own batch.

    All else is sharded by FSDP2 over the same devices. Raises `ConfigError` where the experts cannot be shared evenly.
    """
    check_spreadable(moe, num_devices)
    return {"fsdp_size": num_devices, "ep_size": num_devices}


def deepspeed_config(moe: MoE, num_devices: int, way: str = "autoep") -> dict[str, Any]:
    """A DeepSpeed configuration. way: "autoep" spreads the experts (ZeRO 2), "zero3" shards every tensor, a block as one leaf.

    With ZeRO 3 a block must be one leaf: which experts a process calls differs, and the gathers of their parameters
    would wait for each other for ever. AutoEP replaces parameters before there is an optimiser: add an "optimizer" to the
    configuration, or give `deepspeed.initialize` a callable; see `let_autoep_ask_transformers` too. Raises `ConfigError` for a
    family that AutoEP does not know.
    """
    common = {
        "bf16": {"enabled": True},
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": 1.0,
    }
    if way == "zero3":
        block = moe.layers.all[0].place.block
        name = f"{type(block).__module__}.{type(block).__qualname__}"
        return common | {"zero_optimization": {"stage": 3, "leaf_module": {"classes": [name]}}}
    if way != "autoep":
        raise UnknownNameError("way to spread", way, ("autoep", "zero3"))
    check_spreadable(moe, num_devices)
    preset = _AUTOEP_PRESETS.get(moe.family.name)
    if preset is None:
        raise ConfigError(
            f"DeepSpeed's AutoEP has no preset for {moe.family.name} (it has {', '.join(_AUTOEP_PRESETS)}); use "
            f"way='zero3', or "
            "transformers' own expert parallelism (transformers_plan)"
        )
    return common | {
        "zero_optimization": {"stage": 2},
        "expert_parallel": {"enabled": True, "autoep_size": num_devices, "preset_model": preset},
    }


def let_autoep_ask_transformers() -> None:
    """Let DeepSpeed's AutoEP find what a model records of its routers, where transformers keeps that by model.

    DeepSpeed 0.19 asks by the class's name and with a default, as it could before; transformers 5.23 answers a model alone,
    and AutoEP ends in a TypeError. Call it before `deepspeed.initialize`; where nothing is to be done it does nothing.
    """
    from transformers.utils import output_capturing

    registry = getattr(output_capturing, "_CAN_RECORD_REGISTRY", None)
    if isinstance(registry, dict) and type(registry) is not dict:
        registry.__class__ = type("ByModelOrName", (_ByModelOrName, type(registry)), {})


class _ByModelOrName(dict[str, Any]):
    """Answers to a model as transformers asks, and to its class's name with a default as AutoEP does."""

    def __setitem__(self, key: Any, recorded: Any) -> None:
        dict.__setitem__(self, _class_name(key), recorded)

    def get(self, key: Any, default: Any = None) -> Any:
        """What is recorded of it, else the default, else an empty mapping."""
        return dict.get(self, _class_name(key)) or ({} if default is None else default)


def _class_name(key: Any) -> str:
    return key if isinstance(key, str) else str(key.__class__)


def check_spreadable(moe: MoE, num_devices: int) -> None:
    """Raise `ConfigError` unless that many devices can share the experts evenly."""
    need_count("num_devices", num_devices)
    if not moe.uniform or not moe.plain:
        raise ConfigError(
            "layers with different numbers of experts, closed experts, rules, adapters and packed experts cannot be "
            "spread; merge "
            "adapters, let experts in, or spread the model before you edit it"
        )
    num_experts = moe.layers.all[0].num_experts
    if num_experts % num_devices:
        divisors = [n for n in range(1, num_experts + 1) if num_experts % n == 0]
        raise ConfigError(
            f"{num_experts} experts cannot be shared by {num_devices} devices evenly; take one of {divisors}, or "
            f"insert or remove "
            f"experts to a multiple of {num_devices}"
        )
