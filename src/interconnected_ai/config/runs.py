"""A whole run in one file: where it is written, what is built, what from, and how."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from interconnected_ai.config.data import CorpusConfig, DataConfig
from interconnected_ai.config.expert import ExpertConfig
from interconnected_ai.config.record import Place, Record
from interconnected_ai.config.system import SystemConfig
from interconnected_ai.config.training import ExpertTrainingConfig, TrainingConfig


class ExpertRunConfig(Record):
    """Everything `iai expert train` needs: the expert's folder, its text, its shape and its training.

    tokenizer: a tokenizer.json, or a folder that holds one, such as another expert's; None trains one on the text, of at
    most `model.vocab_size` tokens. The model's vocabulary is the tokenizer's own.
    init: an expert whose weights the training begins with, of the same shape but for dropout and window; its tokenizer is
    taken where none is named, and another one is refused. None begins with random weights.
    """

    output: Place
    text: CorpusConfig
    model: ExpertConfig
    tokenizer: Place | None = None
    init: Place | None = None
    roles: Annotated[tuple[str, ...], Field(strict=False)] = ()
    training: ExpertTrainingConfig = ExpertTrainingConfig()

    @field_validator("output")
    @classmethod
    def _names_a_folder(cls, output: str) -> str:
        if not Path(output).name or Path(output).name == "..":
            raise ValueError(f"{output!r} is the name of no new folder; give one, such as experts/mine")
        return output


class RunConfig(Record):
    """Everything `iai train` needs: the folder to write, the system, the data and the training."""

    output: Place
    system: SystemConfig = SystemConfig()
    data: DataConfig
    training: TrainingConfig = TrainingConfig()
