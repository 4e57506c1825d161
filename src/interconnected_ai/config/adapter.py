"""A low-rank adapter on a shared base: what it is made of, how it is trained, and a whole run in one file."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from interconnected_ai.config.data import CorpusConfig
from interconnected_ai.config.record import Place, Record
from interconnected_ai.config.training import LoopConfig, Rate


class AdapterConfig(Record):
    """The shape of a LoRA adapter (Hu et al. 2021): (alpha / rank) · B · A beside the linear layers that it adapts.

    alpha: None is 2 × rank. dropout: of what the adapter reads. targets: layers by the last part of their name, such as
    q_proj; none given are all linear layers but the head.
    """

    rank: Annotated[int, Field(ge=1, le=4096)] = 16
    alpha: Annotated[float, Field(gt=0.0)] | None = None
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    targets: Annotated[tuple[str, ...], Field(strict=False)] = ()


class ChatsConfig(Record):
    """The conversations that an adapter learns to answer: JSONL, JSON or Parquet in OpenAI's, ShareGPT's or Alpaca's form.

    validation: sources of their own; without them a share of `paths` is held out. too_long: what becomes of a conversation
    longer than a block.
    """

    paths: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
    validation: Annotated[tuple[str, ...], Field(strict=False)] = ()
    validation_fraction: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.05
    too_long: Literal["truncate", "refuse"] = "truncate"


class PreferencesConfig(ChatsConfig):
    """Pairs of a better and a worse answer that an adapter learns from (DPO, Rafailov et al. 2023); the base is its reference.

    beta: how dear it is to leave the base; higher stays nearer to it.
    """

    beta: Annotated[float, Field(gt=0.0, le=100.0)] = 0.1


class AdapterTrainingConfig(LoopConfig):
    """How an adapter is trained: AdamW, linear warm-up, cosine down to zero.

    batch_size: blocks of `seq_len` tokens in one optimiser step; a block holds as many documents as fit, none of which sees
    another. seq_len: None is 512, or the base's window where that is shorter. lr: of rank 16; other ranks want much the same.
    max_steps: an end before `epochs` are through; the cosine ends there too.
    evaluate_every_steps: None is once an epoch. evaluation_tokens: at most about this many are measured on at each;
    test_tokens: and in the end, with and without the adapter.
    patience: evaluations without a lower validation loss before the run stops; None never stops early.
    gradient_checkpointing: keep a layer's input alone and compute the layer again in the backward pass.
    """

    epochs: Annotated[int, Field(ge=1)] = 3
    batch_size: Annotated[int, Field(ge=1, le=2**24)] = 4
    max_steps: Annotated[int, Field(ge=1)] | None = None
    seq_len: Annotated[int, Field(ge=2)] | None = None
    lr: Rate = 1e-3
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.0
    warmup_steps: Annotated[int, Field(ge=0)] = 10
    patience: Annotated[int, Field(ge=1)] | None = None
    evaluate_every_steps: Annotated[int, Field(ge=1)] | None = None
    evaluation_tokens: Annotated[int, Field(ge=1)] = 16_384
    test_tokens: Annotated[int, Field(ge=1)] = 65_536
    checkpoint_every_steps: Annotated[int, Field(ge=1)] = 100
    gradient_checkpointing: bool = False


class AdapterRunConfig(Record):
    """Everything `iai expert adapt` needs: the adapter's folder, its base, what it learns from, its shape and its training.

    base: smollm2, a folder, a GGUF file or a hub id. base_bits: 4 keeps the base's linear layers in four bits (NF4) while the
    adapter learns. text, chats or preferences: one of the three. init: an adapter of the same base and rank whose matrices the
    training begins with; not of preferences, whose reference is the base alone.
    """

    output: Place
    base: str
    text: CorpusConfig | None = None
    chats: ChatsConfig | None = None
    preferences: PreferencesConfig | None = None
    init: Place | None = None
    adapter: AdapterConfig = AdapterConfig()
    base_bits: Literal[4] | None = None
    training: AdapterTrainingConfig = AdapterTrainingConfig()

    @field_validator("output")
    @classmethod
    def _names_a_folder(cls, output: str) -> str:
        if not Path(output).name or Path(output).name == "..":
            raise ValueError(f"{output!r} is the name of no new folder; give one, such as experts/mine")
        return output

    @model_validator(mode="after")
    def _learns_from_one_kind(self) -> Self:
        if sum(part is not None for part in (self.text, self.chats, self.preferences)) != 1:
            raise ValueError(
                "give one of text (documents to go on with), chats (conversations to answer) and preferences (better and worse "
                "answers)"
            )
        return self

    @model_validator(mode="after")
    def _begins_where_its_reference_does(self) -> Self:
        if self.init is not None and self.preferences is not None:
            raise ValueError(
                f"init={self.init!r} with preferences: what they teach is measured against the base alone; merge that "
                "adapter into its base (iai expert export --to safetensors) and adapt the result, or leave init out"
            )
        return self
