"""Settings that cure: new learning rates, a router that spreads its tokens, and how changes are told."""

from collections.abc import Mapping
from typing import Any

from interconnected_ai.config import TrainingConfig
from interconnected_ai.doctor import thresholds as limit
from interconnected_ai.doctor.history import History

DEFAULTS = TrainingConfig()
_LIVELY, _HEALS = 10.0, 0.05
_RATES = {
    "moe": "lr_moe",
    "adapter": "lr_adapter",
    "head": "lr_head",
    "wide": "lr_wide",
    "encoder_lora": "lr_encoder_lora",
}


def lower_rates(history: History) -> dict[str, Any]:
    """Rates far above the document's come down to the level of the others, or to the document's; else all to a tenth.

    A level is the rate over the document's: what is up to ten times of it has been seen to train well.
    """
    training = history.config.training
    levels = {name: getattr(training, name) / getattr(DEFAULTS, name) for name in _rates_in_use(history)}
    worst = max(levels.values())
    if worst <= 1:
        return {f"training.{name}": _rounded(getattr(training, name) / 10) for name in levels}
    wrong = [name for name, level in levels.items() if level > max(1.0, min(_LIVELY, worst / 10))]
    level = max([1.0, *(level for name, level in levels.items() if name not in wrong)])
    return {f"training.{name}": _rounded(level * getattr(DEFAULTS, name)) for name in wrong}


def raise_rates(history: History) -> dict[str, Any]:
    """Rates far below the document's come up to it; else all grow by as much as was left to learn, three to ten times."""
    training = history.config.training
    levels = {name: getattr(training, name) / getattr(DEFAULTS, name) for name in _rates_in_use(history)}
    if min(levels.values()) < 1 / _LIVELY:
        return {f"training.{name}": getattr(DEFAULTS, name) for name, level in levels.items() if level < 1}
    learnt = max(0.01, 1 - history.loss_left)  # falls about in proportion to the rates, as long as they are too low
    factor = min(_LIVELY, max(3.0, 1 / learnt))
    return {f"training.{name}": _rounded(factor * getattr(training, name)) for name in levels}


def _rates_in_use(history: History) -> list[str]:
    """The rates that this run has: there is one for the encoder's LoRA only where it has one."""
    logged = [setting for group, setting in _RATES.items() if len(history.curve(f"rate/{group}"))]
    return logged or ["lr_moe", "lr_adapter", "lr_head"]


def lowered_trunk_rate(training: TrainingConfig) -> float:
    """The document's rate for the trunk, or a tenth of one that is lower already."""
    usual = DEFAULTS.lr_moe
    return usual if training.lr_moe > usual else _rounded(training.lr_moe / 10)


def raised_balance(weight: float) -> float:
    """Five times the weight, at least 0.05, within the 0.1 from which it drowns the task.

    The document's 0.01 keeps routers even and hardly heals: with an encoder whose vectors share a direction, dead experts
    stayed dead over 290 steps with 0.01, and were alive again with 0.05.
    """
    return max(weight, min(limit.BALANCE_WEIGHT.value, max(_HEALS, _rounded(weight * 5))))


def more_balance(history: History) -> dict[str, Any]:
    """A higher balance weight; where that is at its limit fewer experts; and a router whose logits stay small."""
    system, training = history.config.system, history.config.training
    changes: dict[str, Any] = {}
    raised = raised_balance(training.balance_loss_weight)
    if raised > training.balance_loss_weight:
        changes["training.balance_loss_weight"] = raised
    elif system.num_experts > max(2, system.top_k):
        changes["system.num_experts"] = max(2, system.top_k, system.num_experts // 2)
    if not training.z_loss_weight:
        changes["training.z_loss_weight"] = 0.001  # ST-MoE's (Zoph et al. 2022)
    if training.lr_moe > limit.TRUNK_RATE.value:
        changes["training.lr_moe"] = lowered_trunk_rate(training)
    return changes


def rates_in_words(training: TrainingConfig) -> str:
    """The run's learning rates."""
    return f"lr_moe {training.lr_moe:g}, lr_adapter {training.lr_adapter:g}, lr_head {training.lr_head:g}"


def listed(changes: Mapping[str, Any]) -> str:
    """Changes in words: name=value, …"""
    shown = {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in changes.items()}
    return ", ".join(f"{name.partition('.')[2]}={value}" for name, value in shown.items())


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")
