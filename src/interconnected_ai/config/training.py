"""How weights come to be: what every training has, and what a system's and an expert's have besides."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from interconnected_ai.config.record import Place, Record

Precision = Literal["auto", "float32", "bfloat16", "float16"]
Watch = Literal["accuracy", "macro_f1", "loss"]
Rate = Annotated[float, Field(gt=0.0, le=1e30)]  # beyond it a step of float32 is no number
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class LoopConfig(Record):
    """What every training has: how long, in which batches, how it is kept and watched.

    batch_size: rows in one optimiser step, over all processes and accumulation steps together.
    accumulation_steps: parts of a batch that a process computes one after another, for the same gradients in less memory.
    warmup_steps: linear warm-up before the cosine; at most a tenth of the run.
    patience: evaluations without a better score before the run stops; None never stops early.
    precision: "auto" probes the device: bfloat16 where it is clearly faster, else float32.
    """

    epochs: Annotated[int, Field(ge=1)] = 50
    batch_size: Annotated[int, Field(ge=1, le=2**24)] = 64
    accumulation_steps: Annotated[int, Field(ge=1)] = 1
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01
    gradient_clip: Annotated[float, Field(gt=0.0)] = 1.0
    warmup_steps: Annotated[int, Field(ge=0)] = 500
    patience: Annotated[int, Field(ge=1)] | None = 5
    seed: Seed = 0
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
    """How a system is trained. Defaults are the document's (`000_…`), but for what heads and words that begin as a regression
    leave to learn: few epochs, and a higher rate of the trunk (docs/log.md).

    ridge: heads and wide parts begin as multinomial logistic regression with this penalty (1 / C of scikit-learn, of vectors of
        length 1), on pooled vectors of the untrained trunk, and in an added branch: random heads would first pull the trunk the
        wrong way (Kumar et al. 2022, LP-FT). None leaves it out.
    refit: solve that regression once more on training and validation rows together, in the end, where descent was not surely
        better, by two standard errors of the validation rows' accuracy; temperature, threshold and the card's metrics stay
        those of the weights that had not learnt these rows.
    class_names: whether that regression learns the name of a class as one more row of it; names without a word, such as "M17",
        are left out.
    head_start_epochs: epochs of descent in which adapters, heads and wide parts alone learn, after that and before the joint
        training.
    encoder_steps: most optimiser steps (of 32 rows, six epochs or 400,000 tokens at the longest) in which the encoder's LoRA
        learns before all else, at `lr_encoder`, and stands from then on; 0 lets a LoRA that there is learn in the joint
        training, at `lr_encoder_lora`. None is, where texts have no more than 32 tokens in the mean, 400 for the embedded
        multilingual encoder and 1,000 for the English one if a class has 8 rows or more, as a mean, and 50 or more can all be
        read within those tokens; both get a LoRA of rank 32 for it. 0 elsewhere (docs/log.md).
    encoder_rdrop: weight of how far two readings of a row under other dropout masks are apart, in those steps (R-Drop, Wu et
        al. 2021), which then read each row twice; 0 reads it once. None is 2 where the English encoder learns first by default
        on classes of fewer than 50 rows, else 0.
    watch: what of the validation rows decides which epoch is kept and when the run stops: mean accuracy over the branches, mean
        macro-F1 (rare classes count like others), or mean loss (confidence counts). Of equal epochs the first is kept.
    patience: epochs in which that got no better before the run stops; None never stops early.
    lr_wide, wide_decay: learning rate and weight decay of the branches' wide parts. wide_scale: how long the words of a text
        are beside its pooled vector; None is chosen for each branch by cross-validation on its rows, or by their number where
        the encoder has learnt them first.
    words_dropout: share of a batch's rows whose words are left out in a step of the joint training, so that the trunk learns.
    class_weights: "balanced" weighs classes by inverse frequency (square root), "none" treats rows alike.
    cache_features: keep the frozen encoder's outputs on disk (not possible while an encoder LoRA trains).
    feature_cache: folder for them; None is `features` in the run's folder.
    baseline: measure counted words with a linear classifier (TF-IDF, scikit-learn) on the test rows too, after the training.
    """

    epochs: Annotated[int, Field(ge=1)] = 8
    ridge: Annotated[float, Field(gt=0.0)] | None = 0.1
    refit: bool = True
    class_names: bool = True
    head_start_epochs: Annotated[int, Field(ge=0)] = 0
    lr_moe: Rate = 3e-4
    lr_adapter: Rate = 5e-4
    lr_head: Rate = 1e-3
    lr_wide: Rate = 2e-4
    lr_encoder_lora: Rate = 5e-4
    encoder_steps: Annotated[int, Field(ge=0)] | None = None
    encoder_rdrop: Annotated[float, Field(ge=0.0, le=100.0)] | None = None
    lr_encoder: Rate = 7e-4
    wide_scale: Annotated[float, Field(gt=0.0)] | None = None
    words_dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.5
    wide_decay: Annotated[float, Field(ge=0.0)] = 0.0
    balance_loss_weight: Annotated[float, Field(ge=0.0)] = 0.01
    z_loss_weight: Annotated[float, Field(ge=0.0)] = 0.0
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    class_weights: Literal["balanced", "none"] = "balanced"
    watch: Watch = "accuracy"
    cache_features: bool = True
    feature_cache: Place | None = None
    baseline: bool = True


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
    batch_size: Annotated[int, Field(ge=1, le=2**24)] = 16
    max_steps: Annotated[int, Field(ge=1)] | None = None
    seq_len: Annotated[int, Field(ge=2)] | None = None
    lr: Rate | None = None
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.1
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    patience: Annotated[int, Field(ge=1)] | None = None
    evaluate_every_steps: Annotated[int, Field(ge=1)] | None = None
    evaluation_tokens: Annotated[int, Field(ge=1)] = 65_536
    gradient_checkpointing: bool = False
    compile: bool = False
    samples: Annotated[tuple[str, ...], Field(strict=False)] = ()
    sample_tokens: Annotated[int, Field(ge=1)] = 40
