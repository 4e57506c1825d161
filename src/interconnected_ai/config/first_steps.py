"""Whether an encoder learns before all else: what the settings of a system and of its training leave open."""

from interconnected_ai.config.system import SystemConfig
from interconnected_ai.config.training import TrainingConfig

MULTILINGUAL_ENCODER = "multilingual"
"""Name of the embedded encoder that reads any language."""

LEARNING_RANK, LEARNING_STEPS = 16, 300
"""Of the LoRA in that encoder, and how long it learns first: measured on held-out rows, see docs/log.md."""

ROWS_OF_A_FIRST_STEP, MOST_FIRST_EPOCHS = 32, 4


def with_first_steps(system: SystemConfig, training: TrainingConfig) -> tuple[SystemConfig, TrainingConfig]:
    """Both with `training.encoder_steps` as a number: some for the embedded multilingual encoder, whose LoRA of rank 16 they
    teach, none for another, nor where the system asks for a LoRA itself.
    """
    if training.encoder_steps is not None:
        return system, training
    if system.base_model_name != MULTILINGUAL_ENCODER or system.encoder_lora_rank:
        return system, training.with_changes(encoder_steps=0)
    return (
        system.with_changes(encoder_lora_rank=LEARNING_RANK),
        training.with_changes(encoder_steps=LEARNING_STEPS),
    )


def num_first_steps(training: TrainingConfig, num_rows: int) -> int:
    """How many of `training.encoder_steps` there are for so many rows: four epochs are the most."""
    return min(training.encoder_steps or 0, MOST_FIRST_EPOCHS * -(-num_rows // ROWS_OF_A_FIRST_STEP))
