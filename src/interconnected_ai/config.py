"""What a system is, what it learns from and how: frozen, strict records that go to YAML or JSON and back.

Unknown keys are errors that name the nearest known key. Nothing here imports torch: a plan or `--help` reads these too.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from interconnected_ai.errors import ConfigError, nearest_first

Pooling = Literal["mean", "cls", "attention"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]
FeedForwardKind = Literal["moe", "dense"]
NormPlace = Literal["post", "pre"]

# Letters of any alphabet and digits, with `_` and `-` inside: a name becomes part of file names and tensor keys.
_SAFE_NAME = re.compile(r"^\w(?:[\w-]{0,62}\w)?$")
_RESERVED_NAMES = {"con", "prn", "aux", "nul", *(f"{d}{i}" for d in ("com", "lpt") for i in range(1, 10))}

# The document's three branches (Bio-Elec, Neuro-6G, IoBNT) and their class counts.
DOCUMENT_BRANCHES = (("Bio-Elec", 100), ("Neuro-6G", 50), ("IoBNT", 80))


class _Yaml(yaml.SafeLoader):
    """YAML as people write it: 1e-3 is a number (PyYAML follows YAML 1.1, where it is a string)."""


class _YamlOut(yaml.SafeDumper):
    """The same rules for writing: a label such as "1e5" gets quotes, or it would come back as a number."""


for _way in (_Yaml, _YamlOut):
    _way.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(?:\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
    )


class Record(BaseModel):
    """A frozen record: unknown keys and wrong types are errors, equal contents are equal."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True, allow_inf_nan=False)

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any], *, source: str = "settings") -> Self:
        """The record these settings describe; `ConfigError` names every key that is wrong, and the remedy."""
        if not isinstance(settings, Mapping):
            raise ConfigError(f"{source}: needs a mapping of keys to values, got {type(settings).__name__}")
        try:
            return cls.model_validate(dict(settings))
        except ValidationError as error:
            raise ConfigError(_explain(cls, error, source)) from error

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """The record in a YAML or JSON file."""
        return cls.from_mapping(settings_in(path), source=str(path))

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for JSON or YAML; `from_mapping` reads them back to an equal record."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """The record as YAML, keys in the order of their definition."""
        return yaml.dump(self.to_dict(), Dumper=_YamlOut, sort_keys=False, allow_unicode=True)

    def with_changes(self, **changes: Any) -> Self:
        """A copy with some settings changed, checked like a new record."""
        return self.from_mapping({**self.to_dict(), **changes})


class BranchSpec(Record):
    """A branch before it is built: its name and its classes.

    Give `labels` (the class names, in the order of the head's outputs), or `num_classes` alone and the labels are
    "0", "1", ….
    """

    name: str
    num_classes: Annotated[int, Field(ge=2)]
    labels: Annotated[tuple[str, ...], Field(strict=False)]

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, settings: Any) -> Any:
        if not isinstance(settings, Mapping):
            return settings
        filled = dict(settings)
        labels, num_classes = filled.get("labels"), filled.get("num_classes")
        if labels is None and isinstance(num_classes, int):
            filled["labels"] = tuple(str(i) for i in range(num_classes))
        elif isinstance(labels, list | tuple) and num_classes is None:
            filled["num_classes"] = len(labels)
        return filled

    @field_validator("name")
    @classmethod
    def _name_is_safe(cls, name: str) -> str:
        if not _SAFE_NAME.fullmatch(name) or name.casefold() in _RESERVED_NAMES:
            raise ValueError(
                f"branch name {name!r} is no safe file name; use 1 to 64 letters and digits, with '_' or '-' "
                "inside, such as 'bank-intents'"
            )
        return name

    @model_validator(mode="after")
    def _labels_are_distinct(self) -> Self:
        if len(self.labels) != self.num_classes:
            raise ValueError(
                f"branch {self.name!r}: {len(self.labels)} labels for num_classes={self.num_classes}; give one"
            )
        if len(set(self.labels)) != len(self.labels):
            twice = next(label for label in self.labels if self.labels.count(label) > 1)
            raise ValueError(f"branch {self.name!r}: label {twice!r} stands twice; labels must be distinct")
        return self


class SystemConfig(Record):
    """The shape of an `InterconnectedAISystem`. Defaults are the document's (`000_…`) where it names one.

    base_model_name: a Hugging Face encoder by hub id or folder; None is the embedded default encoder.
    top_k: FFN experts per token (the document's `k`, accepted as an alias).
    d_ff: hidden size of one FFN expert (or of the dense FFN); None is 4 × the encoder's d_model.
    ffn: what stands in the shared layers, FFN experts behind a token router, or one dense FFN (the twin for comparisons).
    lora_rank: rank of each branch's adapter on the pooled vector.
    encoder_lora_rank: rank of the one LoRA inside the encoder that all branches share; 0 leaves the encoder as it is.
    """

    base_model_name: str | None = None
    ffn: FeedForwardKind = "moe"
    num_experts: Annotated[int, Field(ge=2, le=128)] = 8
    top_k: Annotated[int, Field(ge=1, validation_alias=AliasChoices("top_k", "k"))] = 2
    num_moe_layers: Annotated[int, Field(ge=0, le=16)] = 2
    d_ff: Annotated[int, Field(ge=1)] | None = None
    pooling: Pooling = "mean"
    max_seq_len: Annotated[int, Field(ge=2)] = 128
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    lora_rank: Annotated[int, Field(ge=1)] = 8
    lora_alpha: Annotated[float, Field(gt=0.0)] = 16.0
    encoder_lora_rank: Annotated[int, Field(ge=0)] = 0
    encoder_lora_alpha: Annotated[float, Field(gt=0.0)] = 32.0
    branches: Annotated[tuple[BranchSpec, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.top_k > self.num_experts:
            raise ValueError(
                f"top_k={self.top_k} of num_experts={self.num_experts}: a token cannot choose more than there are"
            )
        names = [branch.name.casefold() for branch in self.branches]
        if len(set(names)) != len(names):
            twice = next(b.name for b in self.branches if names.count(b.name.casefold()) > 1)
            raise ValueError(f"branch {twice!r} stands twice (case does not count); branch names must be distinct")
        return self


class ExpertConfig(Record):
    """The shape of an `ExpertModel`. Defaults are the document's (`001_…`).

    d_ff: hidden size of the feed-forward block; None is 4 × d_model, as all the document's figures have it.
    norm: "post" is the document's Add & Norm; "pre" learns without a long warm-up and travels to GPT-2's format.
    tie_weights: the head uses the embedding's matrix instead of one of its own.
    """

    vocab_size: Annotated[int, Field(ge=1)]
    d_model: Annotated[int, Field(ge=1)] = 512
    n_layers: Annotated[int, Field(ge=1)] = 6
    n_heads: Annotated[int, Field(ge=1)] = 8
    d_ff: Annotated[int, Field(ge=1)] | None = None
    max_seq_len: Annotated[int, Field(ge=1)] = 2048
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    norm: NormPlace = "post"
    tie_weights: bool = False

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.d_model % self.n_heads:
            near = [n for n in range(1, self.d_model + 1) if not self.d_model % n]
            best = min(near, key=lambda n: abs(n - self.n_heads))
            raise ValueError(
                f"d_model={self.d_model} cannot be dealt out over n_heads={self.n_heads}; n_heads must divide it, "
                f"{best} would"
            )
        return self

    @property
    def inner(self) -> int:
        """Hidden size of the feed-forward block."""
        return self.d_ff or 4 * self.d_model

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.d_model // self.n_heads


class GenerationConfig(Record):
    """How a language model continues a prompt. The default samples from the model's own distribution.

    temperature: logits are divided by it; 0 is greedy (the likeliest token). top_k, top_p (nucleus, Holtzman et al. 2020),
    min_p (a token needs this share of the likeliest one's probability, Nguyen et al. 2024): what may be sampled; together
    they narrow one another, in this order. num_beams: beam search (greedy beams; sampling settings exclude it);
    length_penalty: scores of beams are divided by length ** length_penalty.
    repetition_penalty: logits of tokens seen in prompt or answer are divided by it where positive, multiplied where negative
    (Keskar et al. 2019). presence_penalty, frequency_penalty: taken from the logits of tokens in the answer, once, and for
    each time they stand there. stop: the answer ends before any of these strings. bad_words: strings that may not appear.
    logprobs: how many of the likeliest tokens' log probabilities to note at every step; 0 notes the chosen one's alone,
    None nothing. window: what happens beyond max_seq_len, "error" or "slide" (the oldest tokens are forgotten).
    """

    max_new_tokens: Annotated[int, Field(ge=1)] = 128
    temperature: Annotated[float, Field(ge=0.0, strict=False)] = 1.0
    top_k: Annotated[int, Field(ge=1)] | None = None
    top_p: Annotated[float, Field(gt=0.0, le=1.0, strict=False)] | None = None
    min_p: Annotated[float, Field(ge=0.0, le=1.0, strict=False)] | None = None
    num_beams: Annotated[int, Field(ge=1)] = 1
    length_penalty: Annotated[float, Field(strict=False)] = 1.0
    repetition_penalty: Annotated[float, Field(gt=0.0, strict=False)] = 1.0
    presence_penalty: Annotated[float, Field(ge=-2.0, le=2.0, strict=False)] = 0.0
    frequency_penalty: Annotated[float, Field(ge=-2.0, le=2.0, strict=False)] = 0.0
    stop: Annotated[tuple[str, ...], Field(strict=False)] = ()
    bad_words: Annotated[tuple[str, ...], Field(strict=False)] = ()
    logprobs: Annotated[int, Field(ge=0, le=100)] | None = None
    window: Literal["error", "slide"] = "error"

    @model_validator(mode="after")
    def _ways_agree(self) -> Self:
        if self.num_beams > 1:
            if self.temperature not in (0.0, 1.0):
                raise ValueError(
                    f"num_beams={self.num_beams} searches, temperature={self.temperature} samples; give one of them"
                )
            narrowing = [n for n in ("top_k", "top_p", "min_p") if getattr(self, n) is not None]
            if narrowing:
                raise ValueError(
                    f"num_beams={self.num_beams} searches, {narrowing[0]}={getattr(self, narrowing[0])} samples; give one"
                )
        if any(not text for text in (*self.stop, *self.bad_words)):
            raise ValueError("stop and bad_words hold an empty string, which stands everywhere; leave it out")
        return self


class CorpusConfig(Record):
    """The text that a language model learns from, and how much of it is held out.

    paths: text files, tables (.jsonl, .csv, .tsv, .parquet), folders of these, datasets on the hub as
    `hf:NAME[:CONFIG][#SPLIT]`, or `docs:LIBRARY`, the docstrings of an installed library. validation, test: sources of
    their own; without them whole documents are held out of `paths`. text: column or key of the text in tables.
    unit: what one document of a text file is.
    """

    paths: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
    validation: Annotated[tuple[str, ...], Field(strict=False)] = ()
    test: Annotated[tuple[str, ...], Field(strict=False)] = ()
    text: str = "text"
    unit: Literal["file", "paragraph", "line"] = "file"
    validation_fraction: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.05
    test_fraction: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.05
    split_seed: int = 0


class BranchData(Record):
    """One branch's rows: a file of its own (or a Hugging Face dataset), with a text and a label column.

    path: .csv, .tsv, .jsonl, .json, .parquet, a folder written by `datasets.save_to_disk`, or a dataset on the hub as
    `hf:NAME[:CONFIG][#SPLIT]` (its split `train` unless another is named). validation, test: sources of the same form;
    without them rows are held out of `path`.
    """

    name: str
    path: str
    text: str = "text"
    label: str = "label"
    validation: str | None = None
    test: str | None = None


class TableData(Record):
    """One table for all branches: a text column, and for each branch a column of labels (empty = no label there)."""

    path: str
    text: str = "text"
    labels: Annotated[dict[str, str], Field(min_length=1)]
    validation: str | None = None
    test: str | None = None


class DataConfig(Record):
    """Where the rows come from (one file per branch, or one table) and how many are held out, stratified by class."""

    branches: Annotated[tuple[BranchData, ...], Field(strict=False)] = ()
    table: TableData | None = None
    validation_fraction: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.1
    test_fraction: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.1
    split_seed: int = 0

    @model_validator(mode="after")
    def _says_one_source(self) -> Self:
        if bool(self.branches) == (self.table is not None):
            raise ValueError("give either data.branches (one file per branch) or data.table (a column per branch)")
        names = [source.name.casefold() for source in self.branches]
        if len(set(names)) != len(names):
            twice = next(s.name for s in self.branches if names.count(s.name.casefold()) > 1)
            raise ValueError(f"data names branch {twice!r} twice; put its rows into one file, or name another branch")
        return self


class LoopConfig(Record):
    """What every training has: how long, in which batches, how it is kept and watched.

    batch_size: rows in one optimiser step, over all processes and accumulation steps together.
    accumulation_steps: parts of a batch that a process computes one after another, for the same gradients in less memory.
    warmup_steps: linear warm-up before the cosine; at most a tenth of the run.
    patience: evaluations without a better score before the run stops; None never stops early.
    precision: "auto" probes the device: bfloat16 where it is clearly faster, else float32.
    """

    epochs: Annotated[int, Field(ge=1)] = 50
    batch_size: Annotated[int, Field(ge=1)] = 64
    accumulation_steps: Annotated[int, Field(ge=1)] = 1
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01
    gradient_clip: Annotated[float, Field(gt=0.0)] = 1.0
    warmup_steps: Annotated[int, Field(ge=0)] = 500
    patience: Annotated[int, Field(ge=1)] | None = 5
    seed: int = 0
    device: str = "auto"
    precision: Precision = "auto"
    checkpoint_every_steps: Annotated[int, Field(ge=1)] = 500
    keep_checkpoints: Annotated[int, Field(ge=1)] = 2
    monitors: Annotated[tuple[Literal["tensorboard", "wandb"], ...], Field(strict=False)] = ("tensorboard",)

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.batch_size % self.accumulation_steps:
            raise ValueError(
                f"batch_size={self.batch_size} must be a multiple of accumulation_steps={self.accumulation_steps}"
            )
        return self


class TrainingConfig(LoopConfig):
    """How a system is trained. Defaults are the document's (`000_…`).

    head_start_epochs: epochs in which adapters and heads alone learn, on pooled vectors of the untrained trunk, before the
        joint training: random heads would first pull the trunk the wrong way (Kumar et al. 2022, LP-FT). Cheap; 0 is off.
    patience: epochs without a better mean validation accuracy before the run stops; None never stops early.
    class_weights: "balanced" weighs classes by inverse frequency (square root), "none" treats rows alike.
    cache_features: keep the frozen encoder's outputs on disk (not possible while an encoder LoRA trains).
    feature_cache: folder for them; None is `features` in the run's folder.
    """

    head_start_epochs: Annotated[int, Field(ge=0)] = 0
    lr_moe: Annotated[float, Field(gt=0.0)] = 1e-4
    lr_adapter: Annotated[float, Field(gt=0.0)] = 5e-4
    lr_head: Annotated[float, Field(gt=0.0)] = 1e-3
    lr_encoder_lora: Annotated[float, Field(gt=0.0)] = 5e-4
    balance_loss_weight: Annotated[float, Field(ge=0.0)] = 0.01
    z_loss_weight: Annotated[float, Field(ge=0.0)] = 0.0
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    class_weights: Literal["balanced", "none"] = "balanced"
    cache_features: bool = True
    feature_cache: str | None = None


class ExpertTrainingConfig(LoopConfig):
    """How an expert is trained: AdamW (decay on matrices only), linear warm-up, cosine down to zero.

    batch_size: blocks of `seq_len` tokens in one optimiser step. seq_len: None is the model's max_seq_len.
    lr: None is 0.8 / d_model with pre-norm, 0.13 / d_model with post-norm.
    max_steps: an end before `epochs` are through; the cosine ends there too.
    evaluate_every_steps: None is once an epoch. evaluation_tokens: at most about this many are measured on at each.
    patience: evaluations without a lower validation loss before the run stops; None never stops early.
    gradient_checkpointing: keep a block's input alone and compute the block again in the backward pass.
    compile: torch.compile; pays on GPUs and long runs.
    samples: prompts that are continued at every evaluation, for people to read. sample_tokens: how far.
    """

    epochs: Annotated[int, Field(ge=1)] = 10
    batch_size: Annotated[int, Field(ge=1)] = 16
    max_steps: Annotated[int, Field(ge=1)] | None = None
    seq_len: Annotated[int, Field(ge=2)] | None = None
    lr: Annotated[float, Field(gt=0.0)] | None = None
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.1
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    patience: Annotated[int, Field(ge=1)] | None = None
    evaluate_every_steps: Annotated[int, Field(ge=1)] | None = None
    evaluation_tokens: Annotated[int, Field(ge=1)] = 65_536
    gradient_checkpointing: bool = False
    compile: bool = False
    samples: Annotated[tuple[str, ...], Field(strict=False)] = ()
    sample_tokens: Annotated[int, Field(ge=1)] = 40


class ExpertRunConfig(Record):
    """Everything `iai expert train` needs: the expert's folder, its text, its shape and its training.

    tokenizer: a tokenizer.json, or a folder that holds one, such as another expert's; None trains one on the text, of at
    most `model.vocab_size` tokens. The model's vocabulary is the tokenizer's own.
    """

    output: str
    text: CorpusConfig
    model: ExpertConfig
    tokenizer: str | None = None
    roles: Annotated[tuple[str, ...], Field(strict=False)] = ()
    training: ExpertTrainingConfig = ExpertTrainingConfig()


class RunConfig(Record):
    """Everything `iai train` needs: the folder to write, the system, the data and the training."""

    output: str
    system: SystemConfig = SystemConfig()
    data: DataConfig
    training: TrainingConfig = TrainingConfig()


def settings_in(path: str | Path) -> Any:
    """What a YAML or JSON file holds; `ConfigError` when it is absent, not UTF-8, or not valid."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if path.suffix == ".json" else yaml.load(text, Loader=_Yaml)
    except FileNotFoundError as error:
        raise ConfigError(f"no config at {path}; write one, or start from configs/ in the repository") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}; a config is a YAML or JSON file in UTF-8") from error
    except (json.JSONDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} is not valid {path.suffix or 'YAML'}: {error}") from error


def document_branches(num_branches: int) -> tuple[BranchSpec, ...]:
    """The first `num_branches` of the document's branches; beyond its three, `branch-4`, … with 100 classes each."""
    if num_branches < 0:
        raise ConfigError(f"num_branches={num_branches}: needs 0 or more")
    specs = [BranchSpec.from_mapping({"name": name, "num_classes": n}) for name, n in DOCUMENT_BRANCHES[:num_branches]]
    more = range(len(specs) + 1, num_branches + 1)
    return (*specs, *(BranchSpec.from_mapping({"name": f"branch-{i}", "num_classes": 100}) for i in more))


def _explain(record: type[Record], error: ValidationError, source: str) -> str:
    """One line per mistake: where, what was got, what is needed."""
    lines = []
    for mistake in error.errors():
        where = ".".join(str(part) for part in mistake["loc"]) or record.__name__
        if mistake["type"] == "extra_forbidden":
            known = _known_keys(record, mistake["loc"][:-1])
            nearest = ", ".join(nearest_first(str(mistake["loc"][-1]), known)[:5])
            lines.append(f"{source}: unknown key {where!r}; known, nearest first: {nearest}")
        elif mistake["type"] == "missing":
            lines.append(f"{source}: key {where!r} is missing")
        elif mistake["type"] == "value_error":
            lines.append(f"{source}: {where}: {mistake['ctx']['error']}")
        else:
            lines.append(f"{source}: {where} = {mistake['input']!r}: {mistake['msg']}")
    return "\n".join(lines)


def _known_keys(record: type[Record], path: tuple[int | str, ...]) -> list[str]:
    """The keys allowed at `path` inside `record`."""
    for part in path:
        if isinstance(part, int) or part not in record.model_fields:
            continue
        inner = _record_within(record.model_fields[part].annotation)
        if inner is None:
            return []
        record = inner
    return list(record.model_fields)


def _record_within(annotation: Any) -> type[Record] | None:
    """The record class inside an annotation such as `tuple[BranchSpec, ...]` or `TableData | None`."""
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return annotation
    return next((r for arg in getattr(annotation, "__args__", ()) if (r := _record_within(arg)) is not None), None)
