"""Which encoder a run computes with where its config names none: one that can read the language of the rows."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from interconnected_ai.arguments import checked
from interconnected_ai.branches import Encoder, known_as
from interconnected_ai.config import (
    EMBEDDED_ENCODER,
    ENGLISH_ENCODERS,
    MULTILINGUAL_ENCODER,
    NO_FIRST_STEPS,
    FirstSteps,
    RunConfig,
    expected_tokens,
    first_steps_on,
    with_first_steps,
)
from interconnected_ai.data import Remark, Rows, Splits
from interconnected_ai.text import language_of
from interconnected_ai.training.parallelism import spreads_weights

_SAMPLE = 2_000
_MOST_FOREIGN = 1 / 20  # rows in other languages that the English encoder is left with


@dataclass(frozen=True)
class EncoderChoice:
    """base_model_name: as `SystemConfig` has it, None for the embedded default. reason: in words, with what was counted.
    first_steps: what it learns before all else, where the config leaves that open; None is what `with_first_steps` says.
    """

    base_model_name: str | None
    reason: str
    first_steps: FirstSteps | None = None

    @classmethod
    def of_begun(cls, began: RunConfig) -> Self:
        """That of a run which has begun with this config, by whichever version of this package."""
        return cls(began.system.base_model_name, "as this run began", FirstSteps.of(began.system, began.training))

    def __str__(self) -> str:
        return f"{self.base_model_name or EMBEDDED_ENCODER} ({self.reason})"


@checked
def encoder_by_language(texts: Sequence[str]) -> EncoderChoice:
    """all-MiniLM-L6-v2 where the texts are English, "multilingual" where more than a twentieth of them are not.

    Looks at some 2,000 texts, evenly over all; texts without letters do not count.
    """
    languages = Counter(language_of(text) for text in texts[:: max(1, len(texts) // _SAMPLE)])
    del languages["none"]
    known, english = languages.total(), languages["English"]
    if known - english <= _MOST_FOREIGN * known:
        return EncoderChoice(None, f"{english} of {known} texts looked at are in English")
    most_first = sorted(languages.items(), key=lambda item: (-item[1], item[0]))
    shares = ", ".join(f"{count} in {_NAMES.get(language, language)}" for language, count in most_first)
    return EncoderChoice(MULTILINGUAL_ENCODER, f"of {known} texts looked at {shares}")


_NAMES = {"other": "other languages"}


@checked
def reads_english_only(encoder: str | None) -> bool:
    """Whether this encoder is known to read no other language. encoder: as `SystemConfig` has it, or its own name."""
    return encoder in ENGLISH_ENCODERS


@checked
def language_remark(encoder: str | None, texts: Sequence[str]) -> Remark | None:
    """What to know where texts are in languages that the encoder does not read; None where all is well or not known."""
    if not reads_english_only(encoder) or (wanted := encoder_by_language(texts)).base_model_name is None:
        return None
    remedy = f"Answers will be poor: train a system with base_model_name: {wanted.base_model_name} for such texts"
    return Remark("encoder reads the language", f"{encoder} reads English only; {wanted.reason}", remedy)


@checked
def encoder_of_run(
    config: RunConfig, splits: Splits, *, encoder: Encoder | None = None, resume: bool = False
) -> EncoderChoice:
    """The encoder that a run computes with: the one its config names, else the one that reads its training rows.

    encoder: at hand already, it stays, and learns nothing unless the config says so. resume: the run in `config.output` goes
    on with the encoder that it began with, whatever rows have been added.
    """
    kept = Path(config.output) / "run.yaml"
    began = EncoderChoice.of_begun(RunConfig.from_file(kept)) if resume and kept.is_file() else None
    name = config.system.base_model_name
    if name is not None and began is not None:
        return replace(began, base_model_name=name, reason="as the config says")
    if encoder is not None:
        chosen = (encoder.name, "as given") if name is None else (name, "as the config says")
        return EncoderChoice(*chosen, NO_FIRST_STEPS)
    if name is None and began is not None:
        return began
    choice = encoder_by_language(splits.train.texts) if name is None else EncoderChoice(name, "as the config says")
    return learning_first_where_it_pays(choice, config, splits.train)


@checked
def learning_first_where_it_pays(choice: EncoderChoice, config: RunConfig, train: Rows) -> EncoderChoice:
    """The choice with its first steps, where the config leaves them open and the encoder is an embedded one: those that pay on
    these rows (`first_steps_on`), or none where this launch spreads weights over processes.
    """
    if config.training.encoder_steps is not None or config.system.encoder_lora_rank:
        return choice
    system = config.system.with_changes(base_model_name=choice.base_model_name)
    labels = [train.of(name)[1] for name in train.branch_names]
    num_rows, num_classes = sum(map(len, labels)), sum(len(set(each)) for each in labels)
    read = (min(expected_tokens(len(text)), system.max_seq_len) for text in train.texts)
    tokens = sum(read) / max(1, len(train))
    pays = first_steps_on(system, num_rows=num_rows, num_classes=num_classes, tokens_per_text=tokens)
    if pays is None:
        return choice
    if not pays.steps:
        return replace(choice, first_steps=pays)
    if spreads_weights():
        pays, why = NO_FIRST_STEPS, "it does not learn first, for which each process would need all of its weights"
    else:
        why = f"it learns the classes first: {num_rows:,} rows of {num_classes}"
    return replace(choice, reason=f"{choice.reason}; {why}", first_steps=pays)


@checked
def with_encoder(config: RunConfig, choice: EncoderChoice) -> RunConfig:
    """The config with this encoder named, a folder by its whole path, so that what is saved says what it was trained on; and
    with its LoRA's rank and first steps as the choice has them, where `training.encoder_steps` leaves them open.
    """
    system = config.system.with_changes(base_model_name=known_as(choice.base_model_name))
    system, training = with_first_steps(system, config.training, choice.first_steps)
    return config.with_changes(system=system.to_dict(), training=training.to_dict())
