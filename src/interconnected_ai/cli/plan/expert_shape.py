"""The shape of an expert from options."""

from typing import Any

import click

from interconnected_ai.config import ExpertConfig


def expert_shape(preset_name: str | None, flags: dict[str, int | None]) -> ExpertConfig:
    """The shape that the preset names, with the sizes that were given; without a preset the sizes alone."""
    from interconnected_ai.planner import expert_preset

    keys = {"vocab_size": "vocab_size", "d_model": "d_model", "layers": "n_layers", "heads": "n_heads", "d_ff": "d_ff"}
    given: dict[str, Any] = {keys[flag]: value for flag, value in flags.items() if flag in keys and value is not None}
    if preset_name:
        return expert_preset(preset_name).with_changes(**given)
    if "vocab_size" not in given:
        raise click.UsageError("give --vocab-size, or --preset Tiny, Small, Medium or Large")
    return ExpertConfig.from_mapping(given, source="plan")
