"""What PEFT's `adapter_config.json` says of a LoRA adapter: ranks, scales, modules; what isn't computed is refused."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interconnected_ai.errors import AdapterError, IntegrityError
from interconnected_ai.storage import read_json

SETTINGS = "adapter_config.json"

# Settings of PEFT that leave a trained adapter's sum as it is, or that are read below.
_HARMLESS = frozenset({
    "alpha_pattern", "auto_mapping", "base_model_name_or_path", "corda_config", "ensure_weight_tying", "eva_config",
    "exclude_modules", "fan_in_fan_out", "inference_mode", "init_lora_weights", "layers_pattern", "layers_to_transform",
    "loftq_config", "lora_alpha", "lora_dropout", "lora_ga_config", "megatron_core", "peft_type", "peft_version",
    "qalora_group_size", "r", "rank_pattern", "revision", "runtime_config", "target_modules", "task_type", "use_rslora",
    "velora_config",
})  # fmt: skip
_REFUSED = {
    "use_dora": "DoRA scales whole columns of the base",
    "modules_to_save": "it holds whole modules beside the low-rank matrices",
    "lora_bias": "its low-rank matrices have biases",
    "trainable_token_indices": "it changes single rows of the embedding",
    "layer_replication": "it repeats layers of the base",
    "target_parameters": "it adapts parameters that are no linear layer",
    "alora_invocation_tokens": "it works from an invocation on (aLoRA)",
    "use_qalora": "it pools its input (QALoRA)",
    "arrow_config": "it routes among adapters (Arrow)",
    "use_bdlora": "its matrices are block-diagonal",
}
_CHANGE_THE_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")  # ways to begin, after which the base is another one


@dataclass(frozen=True)
class LoRASettings:
    """Ranks and scales as PEFT reads them: a module's pattern, else the adapter's own.

    target_modules: names or their ends, or one regular expression over whole names; None is whatever there are tensors of.
    """

    rank: int
    alpha: float
    rank_pattern: Mapping[str, int]
    alpha_pattern: Mapping[str, float]
    use_rslora: bool
    target_modules: str | tuple[str, ...] | None
    exclude_modules: str | tuple[str, ...] | None
    base: str | None

    @classmethod
    def read(cls, folder: Path) -> "LoRASettings":
        """Of an adapter's folder. Raises `AdapterError` for what is no plain LoRA, `IntegrityError` for what cannot be."""
        path = folder / SETTINGS
        return cls.of(read_json(path), path)

    @classmethod
    def of(cls, content: Mapping[str, Any], path: Path) -> "LoRASettings":
        """The same of what the file holds."""
        _refuse_others(content, path)
        try:
            return cls(
                rank=int(content["r"]),
                alpha=float(content["lora_alpha"]),
                rank_pattern={_pattern(key): int(rank) for key, rank in (content.get("rank_pattern") or {}).items()},
                alpha_pattern={_pattern(key): float(a) for key, a in (content.get("alpha_pattern") or {}).items()},
                use_rslora=bool(content.get("use_rslora", False)),
                target_modules=_names(content.get("target_modules")),
                exclude_modules=_names(content.get("exclude_modules")),
                base=content.get("base_model_name_or_path") or None,
            )
        except (KeyError, TypeError, ValueError, AttributeError, re.error) as error:
            raise IntegrityError(
                f"{path} is no config of a LoRA adapter: {type(error).__name__}: {error}; restore it from a copy"
            ) from error

    def rank_of(self, module: str) -> int:
        """The rank that the config gives a module."""
        return self.rank_pattern.get(_matching(self.rank_pattern, module), self.rank)

    def scale_of(self, module: str) -> float:
        """alpha / rank, or alpha / √rank with rank-stabilised scaling (Kalajdzievski 2023)."""
        rank = self.rank_of(module)
        alpha = self.alpha_pattern.get(_matching(self.alpha_pattern, module), self.alpha)
        return alpha / (rank**0.5 if self.use_rslora else rank)

    def targets(self, module: str) -> bool:
        """Whether PEFT would put an adapter there."""
        if self.exclude_modules is not None and _is_named(module, self.exclude_modules):
            return False
        targets = self.target_modules
        return targets is None or targets == "all-linear" or _is_named(module, targets)


def as_peft_config(
    shapes: Mapping[str, tuple[int, float]], *, base: str | None, dropout: float = 0.0
) -> dict[str, Any]:
    """`adapter_config.json` of modules with these ranks and scales: the commonest as the adapter's own, others as patterns."""
    alphas = {name: _short(scale * rank) for name, (rank, scale) in shapes.items()}
    ranks = {name: rank for name, (rank, _) in shapes.items()}
    rank, alpha = _commonest(list(ranks.values())), _commonest(list(alphas.values()))
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": dropout,
        "rank_pattern": {f"^{re.escape(name)}": r for name, r in ranks.items() if r != rank},
        "alpha_pattern": {f"^{re.escape(name)}": a for name, a in alphas.items() if a != alpha},
        "target_modules": list(shapes),
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "modules_to_save": None,
        "use_dora": False,
        "use_rslora": False,
    }


def _refuse_others(content: Mapping[str, Any], path: Path) -> None:
    method = content.get("peft_type")
    if method != "LORA":
        raise AdapterError(f"{path} describes the method {method!r}; needed is LORA, so train a LoRA adapter instead")
    if (bias := content.get("bias", "none")) != "none":
        raise _refused(path, "bias", bias, "it changes biases of the base")
    start = content.get("init_lora_weights", True)
    if isinstance(start, str) and start.lower().startswith(_CHANGE_THE_BASE):
        remedy = "save it with PEFT's path_initial_model_for_weight_conversion, which makes a plain adapter of it"
        raise _refused(
            path, "init_lora_weights", start, f"it stands on a base that was changed when it began; {remedy}"
        )
    for name, value in content.items():
        if value and name not in _HARMLESS and name != "bias":
            raise _refused(path, name, value, _REFUSED.get(name, "this version doesn't know the setting"))


def _refused(path: Path, name: str, value: object, reason: str) -> AdapterError:
    return AdapterError(
        f"{path}: {name}={value!r} is not computed here: {reason}. Merge the adapter into its base with PEFT and open the "
        "merged folder, or train a plain LoRA adapter"
    )


def _pattern(key: str) -> str:
    re.compile(key)
    return key


def _names(found: Any) -> str | tuple[str, ...] | None:
    if found is None:
        return None
    if isinstance(found, str):
        return _pattern(found) if found != "all-linear" else found
    return tuple(str(name) for name in found)


def _is_named(module: str, wanted: str | Sequence[str]) -> bool:
    """As PEFT's `check_target_module_exists`: one expression over the whole name, or names and ends of names."""
    if isinstance(wanted, str):
        return re.fullmatch(wanted, module) is not None
    return any(module == name or module.endswith(f".{name}") for name in wanted)


def _matching(patterns: Mapping[str, object], module: str) -> str:
    """As PEFT's `get_pattern_key`: the first pattern that the end of the name matches."""
    return next((key for key in patterns if re.match(rf"(.*\.)?({key})$", module)), module)


def _commonest(values: Sequence[Any]) -> Any:
    return max(dict.fromkeys(values), key=values.count)


def _short(alpha: float) -> int | float:
    return int(alpha) if float(alpha).is_integer() else alpha
