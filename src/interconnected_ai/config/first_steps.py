"""Whether an encoder learns before all else: what the settings of a system and of its training leave open."""

from dataclasses import dataclass

from interconnected_ai.config.system import SystemConfig
from interconnected_ai.config.training import TrainingConfig

MULTILINGUAL_ENCODER = "multilingual"
"""Name of the embedded encoder that reads any language."""

EMBEDDED_ENCODER = "all-MiniLM-L6-v2"
"""Name of the embedded encoder that reads English: the default where nothing else decides."""

ENGLISH_ENCODERS = (EMBEDDED_ENCODER, f"sentence-transformers/{EMBEDDED_ENCODER}")
"""The names that a config may have for it."""

ROWS_OF_A_FIRST_STEP, MOST_FIRST_EPOCHS = 32, 6
MOST_FIRST_TOKENS = 400_000
"""That all first steps read together: long texts get fewer of them, so that they take no longer than short ones."""


@dataclass(frozen=True)
class FirstSteps:
    """The LoRA that learns, and in how many steps at the most: rank 0 is none, 0 steps leave it to the joint training.

    layers: as `SystemConfig.encoder_lora_layers`.
    """

    rank: int = 0
    alpha: float = 32.0
    steps: int = 0
    layers: int | None = None

    @classmethod
    def of(cls, system: SystemConfig, training: TrainingConfig) -> "FirstSteps":
        """Those of a training that has begun with these settings, by whichever version of this package."""
        steps = training.encoder_steps or 0
        return cls(system.encoder_lora_rank, system.encoder_lora_alpha, steps, system.encoder_lora_layers)


NO_FIRST_STEPS = FirstSteps()
# measured on held-out rows, see docs/log.md
_OF_THE_MULTILINGUAL = FirstSteps(rank=32, alpha=64.0, steps=400)
_OF_THE_ENGLISH = FirstSteps(rank=32, alpha=64.0, steps=1_000)
_MANY_ROWS_OF_A_CLASS = 50


def first_steps_on(
    system: SystemConfig, *, num_rows: int, num_classes: int, tokens_per_text: float
) -> FirstSteps | None:
    """Those that pay for the embedded English encoder on such rows, None where `with_first_steps` is to tell.

    It was made to part sentences, and gains where each class has many rows (50, as a mean over all branches' classes) that are
    short enough to be read once over within `MOST_FIRST_TOKENS`. num_rows: labelled rows of all branches.
    """
    english = system.base_model_name is None or system.base_model_name in ENGLISH_ENCODERS
    if not english or system.encoder_lora_rank or num_rows < _MANY_ROWS_OF_A_CLASS * num_classes:
        return None
    return _OF_THE_ENGLISH if num_rows * tokens_per_text <= MOST_FIRST_TOKENS else None


def with_first_steps(
    system: SystemConfig, training: TrainingConfig, known: FirstSteps | None = None
) -> tuple[SystemConfig, TrainingConfig]:
    """Both with `training.encoder_steps` as a number: some for the embedded multilingual encoder, with a LoRA for it, none for
    another, nor where the system asks for a LoRA itself.

    known: what to take in place of that where the settings leave it open, such as `first_steps_on`.
    """
    if training.encoder_steps is not None:
        return system, training
    if known is None:
        pays = system.base_model_name == MULTILINGUAL_ENCODER and not system.encoder_lora_rank
        known = _OF_THE_MULTILINGUAL if pays else NO_FIRST_STEPS
    if known.rank and not system.encoder_lora_rank:
        system = system.with_changes(
            encoder_lora_rank=known.rank,
            encoder_lora_alpha=known.alpha,
            encoder_lora_layers=system.encoder_lora_layers or known.layers,
        )
    return system, training.with_changes(encoder_steps=known.steps)


def num_first_steps(training: TrainingConfig, steps_per_epoch: int, tokens_of_a_step: float) -> int:
    """How many of `training.encoder_steps` there are: six epochs are the most, and some 400,000 tokens.

    tokens_of_a_step: of all its rows together, as a mean.
    """
    within = max(1, int(MOST_FIRST_TOKENS / max(1.0, tokens_of_a_step)))
    return min(training.encoder_steps or 0, MOST_FIRST_EPOCHS * steps_per_epoch, within)
