"""Which encoder a run computes with where its config names none: one that can read the language of the rows."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from interconnected_ai.arguments import checked
from interconnected_ai.branches import EMBEDDED_ENCODER, Encoder, known_as
from interconnected_ai.config import MULTILINGUAL_ENCODER, NO_FIRST_STEPS, FirstSteps, RunConfig, with_first_steps
from interconnected_ai.data import Remark, Splits
from interconnected_ai.text import language_of

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
_READ_ENGLISH_ONLY = (EMBEDDED_ENCODER, f"sentence-transformers/{EMBEDDED_ENCODER}")


@checked
def reads_english_only(encoder: str | None) -> bool:
    """Whether this encoder is known to read no other language. encoder: as `SystemConfig` has it, or its own name."""
    return encoder in _READ_ENGLISH_ONLY


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
    on with the encoder that it began with,
    whatever rows have been added.
    """
    kept = Path(config.output) / "run.yaml"
    began = EncoderChoice.of_begun(RunConfig.from_file(kept)) if resume and kept.is_file() else None
    name = config.system.base_model_name
    if name is not None and began is not None:
        return replace(began, base_model_name=name, reason="as the config says")
    if encoder is not None:
        chosen = (encoder.name, "as given") if name is None else (name, "as the config says")
        return EncoderChoice(*chosen, NO_FIRST_STEPS)
    if name is not None:
        return EncoderChoice(name, "as the config says")
    if began is not None:
        return began
    return encoder_by_language(splits.train.texts)


@checked
def with_encoder(config: RunConfig, choice: EncoderChoice) -> RunConfig:
    """The config with this encoder named, a folder by its whole path, so that what is saved says what it was trained on; and
    with its LoRA's rank and first steps as the choice has them, where `training.encoder_steps` leaves them open.
    """
    system = config.system.with_changes(base_model_name=known_as(choice.base_model_name))
    system, training = with_first_steps(system, config.training, choice.first_steps)
    return config.with_changes(system=system.to_dict(), training=training.to_dict())
