"""Workload: what one pass through a part of the system does, in products and in everything that is not a product."""

from collections.abc import Iterable
from dataclasses import dataclass

from interconnected_ai.config import BranchSpec
from interconnected_ai.planner.products import Product, backward_flops, forward_flops
from interconnected_ai.planner.system import SystemShape

# Distinct terms of a text for each of its tokens: 4 lengths of characters, 4 characters a token, and the words.
TERMS_PER_TOKEN = 16
_COUNTING = 150  # numbers moved for each of them while a text's terms are counted: hashing and sorting


@dataclass(frozen=True)
class Workload:
    """What a device has to do, forward and backward.

    products: every matrix product. moved_numbers: read or written outside of products in a forward pass (norms, gathers,
    residuals); activated_numbers: through GELU; num_ops: calls of a kernel, each with its own start-up cost.
    trains: whether a backward pass follows. updated_params: what the optimiser steps.
    """

    products: tuple[Product, ...] = ()
    moved_numbers: int = 0
    activated_numbers: int = 0
    num_ops: int = 0
    trains: bool = False
    updated_params: int = 0

    @property
    def forward_flops(self) -> int:
        """Of the forward pass."""
        return forward_flops(self.products)

    @property
    def backward_flops(self) -> int:
        """Of the backward pass; 0 without training."""
        return backward_flops(self.products) if self.trains else 0

    @property
    def flops(self) -> int:
        """Of both."""
        return self.forward_flops + self.backward_flops

    def __add__(self, other: "Workload") -> "Workload":
        """Both, one after the other."""
        if self.trains != other.trains and self.products and other.products:
            raise ValueError("work that trains and work that does not cannot be added up; keep them apart")
        return Workload(
            self.products + other.products,
            self.moved_numbers + other.moved_numbers,
            self.activated_numbers + other.activated_numbers,
            self.num_ops + other.num_ops,
            self.trains or other.trains,
            self.updated_params + other.updated_params,
        )


def encoder_work(shape: SystemShape, batch: int, seq: int, *, trains: bool = False) -> Workload:
    """The encoder on `batch` rows of `seq` positions. trains: its LoRA learns; else there is no backward pass, and a LoRA is
    folded into the weights."""
    encoder, positions = shape.encoder, batch * seq
    layers = shape.num_lora_layers if trains else 0
    per_block = positions * (16 * encoder.d_model + encoder.d_ff) + 3 * batch * encoder.n_heads * seq * seq
    # each adapter: dropout's mask and product, a scaled sum
    per_adapted = 5 * positions * sum(d_in + d_out for d_in, d_out in encoder.linears) // encoder.n_layers
    return Workload(
        shape.encoder_products(batch, seq, learns=trains),
        moved_numbers=encoder.n_layers * per_block + layers * per_adapted + 4 * positions * encoder.d_model,
        activated_numbers=encoder.n_layers * positions * encoder.d_ff,
        num_ops=encoder.n_layers * 30 + layers * 36 + 10,
        trains=layers > 0,
    )


def trunk_work(shape: SystemShape, num_tokens: int, batch: int, *, trains: bool = False) -> Workload:
    """The trunk on `num_tokens` packed tokens of `batch` rows."""
    config, d_model = shape.config, shape.d_model
    if config.pooling == "cls":
        num_tokens = batch
    if config.ffn == "dense":
        rows, ops = num_tokens, 10
        moved = 8 * num_tokens * d_model + num_tokens * shape.d_ff
    else:
        rows, ops = num_tokens * config.top_k, 25 + 4 * config.num_experts
        moved = 8 * num_tokens * d_model + rows * (5 * d_model + shape.d_ff) + 6 * num_tokens * config.num_experts
    return Workload(
        shape.trunk_products(num_tokens, batch),
        moved_numbers=config.num_moe_layers * moved + 4 * num_tokens * d_model,
        activated_numbers=config.num_moe_layers * rows * shape.d_ff,
        num_ops=config.num_moe_layers * ops + 12,
        trains=trains,
    )


def branches_work(shape: SystemShape, batch: int, tokens_per_text: int, *, trains: bool = False) -> Workload:
    """Adapters, heads, wide parts and (when training) losses of all branches on `batch` texts."""
    specs = shape.config.branches
    num_wide = sum(spec.num_terms > 0 for spec in specs)
    terms = batch * tokens_per_text * TERMS_PER_TOKEN
    return Workload(
        shape.head_products(batch),
        moved_numbers=sum(
            batch * (6 * shape.d_model + 8 * spec.num_classes) + _wide_numbers(spec.num_classes, spec.num_terms, terms)
            for spec in specs
        )
        + (_COUNTING * terms if num_wide else 0),
        num_ops=len(specs) * (22 if trains else 8) + num_wide * (8 if trains else 4),
        trains=trains,
    )


def _wide_numbers(num_classes: int, num_terms: int, terms: int) -> int:
    """Read and written for the terms of a batch in one wide part: looked up, weighed, and a row of weights for each."""
    return terms * (num_classes + 8) if num_terms else 0


def training_step(shape: SystemShape, batch: int, tokens_per_text: int, *, cached: bool) -> tuple[Workload, ...]:
    """One optimiser step of the joint training, as parts that are computed apart.

    cached: the frozen encoder's outputs are read from disk. Otherwise the encoder runs, without a backward pass where
    it is frozen and with one where its LoRA learns.
    """
    learns = shape.encoder_learns
    parts = [
        trunk_work(shape, batch * tokens_per_text, batch, trains=True),
        branches_work(shape, batch, tokens_per_text, trains=True),
    ]
    if learns or not cached:
        parts.insert(0, encoder_work(shape, batch, tokens_per_text, trains=learns))
    return (*parts, Workload(updated_params=shape.num_trainable_params, num_ops=12 * num_trained_tensors(shape)))


def answer(shape: SystemShape, batch: int, tokens_per_text: int) -> tuple[Workload, ...]:
    """One batch of texts through everything, for all branches."""
    return (
        encoder_work(shape, batch, tokens_per_text),
        trunk_work(shape, batch * tokens_per_text, batch),
        branches_work(shape, batch, tokens_per_text),
    )


def encode_rows(shape: SystemShape, num_rows: int, tokens_per_text: int, *, batch: int = 64) -> tuple[Workload, ...]:
    """One batch of `encode`: encoder and trunk without gradients (the caller multiplies by the number of batches)."""
    rows = min(num_rows, batch)
    return encoder_work(shape, rows, tokens_per_text), trunk_work(shape, rows * tokens_per_text, rows)


def added_branch_step(shape: SystemShape, batch: int, spec: BranchSpec, tokens_per_text: int) -> tuple[Workload, ...]:
    """One optimiser step of one branch on pooled vectors and words that were counted before."""
    num_classes, learnt = spec.num_classes, shape.num_branch_params(spec.num_classes, spec.num_terms)
    terms = batch * tokens_per_text * TERMS_PER_TOKEN
    return (
        Workload(
            shape.branch_products(batch, num_classes, alone=True),
            moved_numbers=batch * (6 * shape.d_model + 8 * num_classes)
            + _wide_numbers(num_classes, spec.num_terms, terms),
            num_ops=22,
            trains=True,
        ),
        Workload(updated_params=learnt, num_ops=12 * (4 + (spec.num_terms > 0))),
    )


def num_trained_tensors(shape: SystemShape) -> int:
    """Tensors that the joint training's optimiser steps, one after the other on a CPU."""
    per_layer = 7 if shape.is_moe else 6
    lora = 2 * len(shape.encoder.lora_linears(shape.config.encoder_lora_layers)) if shape.encoder_learns else 0
    pooling = shape.config.pooling == "attention"
    branches = sum(4 + (spec.num_terms > 0) for spec in shape.config.branches)
    return per_layer * shape.config.num_moe_layers + 2 + pooling + lora + branches


def total_flops(parts: Iterable[Workload]) -> int:
    """FLOPs of several parts, forward and backward."""
    return sum(part.flops for part in parts)
