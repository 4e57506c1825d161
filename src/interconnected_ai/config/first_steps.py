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

    layers: as `SystemConfig.encoder_lora_layers`. rdrop: as `TrainingConfig.encoder_rdrop`.
    """

    rank: int = 0
    alpha: float = 32.0
    steps: int = 0
    layers: int | None = None
    rdrop: float | None = None

    @classmethod
    def of(cls, system: SystemConfig, training: TrainingConfig) -> "FirstSteps":
        """Those of a training that has begun with these settings, by whichever version of this package."""
        rank, alpha, layers = system.encoder_lora_rank, system.encoder_lora_alpha, system.encoder_lora_layers
        return cls(rank, alpha, training.encoder_steps or 0, layers, training.encoder_rdrop)


NO_FIRST_STEPS = FirstSteps()
# measured on held-out rows, see docs/log.md
_OF_THE_MULTILINGUAL = FirstSteps(rank=32, alpha=64.0, steps=400)
_OF_THE_ENGLISH = FirstSteps(rank=32, alpha=64.0, steps=1_000)
_OF_THE_ENGLISH_ON_FEW_ROWS = FirstSteps(rank=32, alpha=64.0, steps=1_000, rdrop=2.0)
_MANY_ROWS_OF_A_CLASS, _FEW_ROWS_OF_A_CLASS = 50, 8
SHORT_TEXT = 32
"""Tokens, as a mean over all texts, up to which an encoder gains by learning first."""


def first_steps_on(
    system: SystemConfig, *, num_rows: int, num_classes: int, tokens_per_text: float
) -> FirstSteps | None:
    """Those that pay for an embedded encoder on such rows, `NO_FIRST_STEPS` where none do; None for another encoder and for one
    whose LoRA the settings ask for, of which `with_first_steps` is to tell.

    Texts that are short, such as requests, are what they pay on. The English encoder, which was made to part sentences, needs
    some rows of a class (as a mean over all branches' classes), few of which are read twice a step (`encoder_rdrop`); many
    must be short enough to be read once over within `MOST_FIRST_TOKENS`. num_rows: labelled rows of all branches.
    """
    english = system.base_model_name is None or system.base_model_name in ENGLISH_ENCODERS
    multilingual = system.base_model_name == MULTILINGUAL_ENCODER
    if system.encoder_lora_rank or not (english or multilingual):
        return None
    if tokens_per_text > SHORT_TEXT:
        return NO_FIRST_STEPS
    if multilingual:
        return _OF_THE_MULTILINGUAL
    if num_rows >= _MANY_ROWS_OF_A_CLASS * num_classes:
        return _OF_THE_ENGLISH if num_rows * tokens_per_text <= MOST_FIRST_TOKENS else NO_FIRST_STEPS
    return _OF_THE_ENGLISH_ON_FEW_ROWS if num_rows >= _FEW_ROWS_OF_A_CLASS * num_classes else NO_FIRST_STEPS


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
    rdrop = known.rdrop if training.encoder_rdrop is None else training.encoder_rdrop
    return system, training.with_changes(encoder_steps=known.steps, encoder_rdrop=rdrop)


def readings_of_a_row(training: TrainingConfig) -> int:
    """How often a first step reads each of its rows."""
    return 2 if training.encoder_rdrop else 1


def num_first_steps(training: TrainingConfig, steps_per_epoch: int, tokens_of_a_step: float) -> int:
    """How many of `training.encoder_steps` there are: six epochs are the most, and some 400,000 tokens.

    tokens_of_a_step: of all its rows together, as a mean.
    """
    within = max(1, int(MOST_FIRST_TOKENS / max(1.0, readings_of_a_row(training) * tokens_of_a_step)))
    return min(training.encoder_steps or 0, MOST_FIRST_EPOCHS * steps_per_epoch, within)
