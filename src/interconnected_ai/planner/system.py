"""A branches system, counted: the parameters of its parts and the matrix products of its passes, without building it.

Every count equals the built object's (`InterconnectedAISystem`, `DenseSystem`); tests build it and compare.
"""

import math
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from interconnected_ai.config import MANY_ROWS, MOST_WIDE_WEIGHTS, BranchSpec, SystemConfig
from interconnected_ai.errors import ConfigError
from interconnected_ai.planner.encoders import EncoderShape, encoder_shape
from interconnected_ai.planner.products import Product

# The document compares a dense network of 20B parameters with an MoE of 11.8B (`000_…`, key results).
DENSE_OVER_MOE = 20.0 / 11.8
_TERMS_PER_ROOT_OF_ROWS = 500


@dataclass(frozen=True)
class SystemShape:
    """A system before it is built: its config, and its encoder's shape.

    encoder_settled: its LoRA learns before the joint training, which finds it as it stands then.
    """

    config: SystemConfig
    encoder: EncoderShape
    encoder_settled: bool = False

    @classmethod
    def of(
        cls, config: SystemConfig, *, encoder: EncoderShape | None = None, encoder_settled: bool = False
    ) -> "SystemShape":
        """The shape of the system a config describes; the encoder is looked up by `base_model_name`."""
        return cls(config, encoder or encoder_shape(config.base_model_name), encoder_settled)

    @property
    def encoder_learns(self) -> bool:
        """Whether a LoRA in the encoder learns in the joint training."""
        return self.config.encoder_lora_rank > 0 and not self.encoder_settled

    @property
    def before(self) -> "SystemShape | None":
        """What learns before the joint training: the encoder's LoRA, and a direction for each class, much as heads do."""
        if not self.config.encoder_lora_rank or not self.encoder_settled:
            return None
        branches = [spec.with_changes(num_terms=0).to_dict() for spec in self.config.branches]
        alone = self.config.with_changes(num_moe_layers=0, wide_terms=0, branches=branches)
        return replace(self, config=alone, encoder_settled=False)

    @property
    def d_model(self) -> int:
        """Width of the token vectors."""
        return self.encoder.d_model

    @property
    def d_ff(self) -> int:
        """Hidden size of one FFN expert, or of the dense FFN."""
        return self.config.d_ff or 4 * self.d_model

    @property
    def is_moe(self) -> bool:
        """Whether FFN experts stand in the layers."""
        return self.config.ffn == "moe" and self.config.num_moe_layers > 0

    # Parameters

    @cached_property
    def num_params(self) -> dict[str, int]:
        """Parameters of each part, under the keys of `InterconnectedAISystem.get_num_params`."""
        counts = {
            "encoder": self.encoder.num_params,
            "encoder_lora": self.encoder.num_lora_params(
                self.config.encoder_lora_rank, self.config.encoder_lora_layers
            ),
            "trunk": self.num_trunk_params,
            **{spec.name: self.num_branch_params(spec.num_classes, spec.num_terms) for spec in self.config.branches},
        }
        return {**counts, "total": sum(counts.values())}

    @property
    def num_trunk_params(self) -> int:
        """The layers, the pooling and the layer norm after it: what all branches share and the joint training learns."""
        pooling = self.d_model if self.config.pooling == "attention" else 0
        return self.config.num_moe_layers * self.num_layer_params + pooling + 2 * self.d_model

    @property
    def num_layer_params(self) -> int:
        """One layer: its norm, and either router and experts or the dense FFN."""
        if self.config.ffn == "dense":
            return 2 * self.d_model + ffn_params(self.d_model, self.d_ff)
        num_experts = self.config.num_experts
        return 2 * self.d_model + num_experts * (self.d_model + ffn_params(self.d_model, self.d_ff))

    @property
    def num_trainable_params(self) -> int:
        """What the joint training learns: everything but the encoder's own weights, and a LoRA there that stands already."""
        standing = self.num_params["encoder_lora"] if self.encoder_settled else 0
        return self.num_params["total"] - self.num_params["encoder"] - standing

    @property
    def num_shared_params(self) -> int:
        """What all branches share: the encoder, its LoRA and the trunk."""
        return sum(self.num_params[part] for part in ("encoder", "encoder_lora", "trunk"))

    @property
    def num_active_params(self) -> int:
        """What one token passes through: all but the experts that it was not sent to (all branches answer)."""
        total = self.num_params["total"]
        if not self.is_moe:
            return total
        idle = self.config.num_experts - self.config.top_k
        return total - self.config.num_moe_layers * idle * ffn_params(self.d_model, self.d_ff)

    @property
    def num_lora_layers(self) -> int:
        """How many of the encoder's blocks its LoRA is in."""
        if not self.config.encoder_lora_rank:
            return 0
        return self.config.encoder_lora_layers or self.encoder.n_layers

    @property
    def num_folded_params(self) -> int:
        """Weights that are kept a second time, with the encoder's LoRA folded into them, while it does not learn."""
        if not self.config.encoder_lora_rank:
            return 0
        return sum(d_in * d_out for d_in, d_out in self.encoder.lora_linears(self.config.encoder_lora_layers))

    @property
    def fixed_bytes(self) -> int:
        """What trained branches keep beside their weights: 12 bytes a term (hash, rarity), and each class's direction."""
        return sum(self.num_fixed_bytes(spec.num_classes, spec.num_terms) for spec in self.config.branches)

    def num_fixed_bytes(self, num_classes: int, num_terms: int) -> int:
        """The same of one branch."""
        return 12 * num_terms + 4 * self.d_model * num_classes

    def with_expected_terms(self, rows_per_branch: int) -> "SystemShape":
        """The same system with wide parts as large as so many rows will make them, where a branch has none yet."""
        branches = [
            spec.with_changes(
                num_terms=spec.num_terms or expected_terms(rows_per_branch, spec.num_classes, self.config.wide_terms)
            ).to_dict()
            for spec in self.config.branches
        ]
        return replace(self, config=self.config.with_changes(branches=branches))

    def num_branch_params(self, num_classes: int, num_terms: int = 0) -> int:
        """One branch: a LoRA adapter on the pooled vector, a linear head, and a wide part of so many terms."""
        return 2 * self.config.lora_rank * self.d_model + (self.d_model + 1 + num_terms) * num_classes

    # Matrix products

    def encoder_products(self, batch: int, seq: int, *, learns: bool = True) -> tuple[Product, ...]:
        """The encoder's, on `batch` rows of `seq` positions; its own weights are frozen, its LoRA learns or is folded in.

        A longer `seq` counts as the encoder's own limit, at which `Encoder` cuts texts.
        """
        seq = min(seq, self.encoder.max_seq_len)
        rank, layers = self.config.encoder_lora_rank if learns else 0, self.config.encoder_lora_layers
        return self.encoder.products(batch, seq, lora_rank=rank, lora_layers=layers)

    def trunk_products(self, num_tokens: int, batch: int) -> tuple[Product, ...]:
        """The trunk's on `num_tokens` real tokens (packed: padding is not computed) of `batch` rows.

        With "cls" pooling one position of each row is all there is. An attention pooling's scores are products with a
        vector, which `torch.utils.flop_counter` does not count; its weighted sum is, over the padded batch.
        """
        if self.config.pooling == "cls":
            num_tokens = batch
        make = self._moe_products if self.config.ffn == "moe" else self._dense_products
        layers = tuple(product for _ in range(self.config.num_moe_layers) for product in make(num_tokens))
        if self.config.pooling != "attention":
            return layers
        seq = -(-num_tokens // batch)
        learns_before = self.config.num_moe_layers > 0 or self.encoder_learns
        # The token vectors need a gradient only if something that learns made them.
        weight: Literal["none", "frozen"] = "none" if learns_before else "frozen"
        return (*layers, Product("pooling", 1, seq, self.d_model, batch, weight, input_grad=True))

    def branch_products(
        self, batch: int, num_classes: int, *, num_alike: int = 1, alone: bool = False
    ) -> tuple[Product, ...]:
        """Those of so many branches of as many classes on `batch` pooled vectors.

        alone: the branch learns on a finished trunk, nothing before it does.
        """
        d_model, rank = self.d_model, self.config.lora_rank
        return (
            Product("adapter", batch, d_model, rank, num_alike, "trained", input_grad=not alone),
            Product("adapter", batch, rank, d_model, num_alike, "trained", input_grad=True),
            Product("head", batch, d_model, num_classes, num_alike, "trained", input_grad=True),
        )

    def head_products(self, batch: int) -> tuple[Product, ...]:
        """Those of all branches: each answers for every row."""
        alike = Counter(spec.num_classes for spec in self.config.branches)
        return tuple(p for classes, n in alike.items() for p in self.branch_products(batch, classes, num_alike=n))

    def _moe_products(self, num_tokens: int) -> tuple[Product, ...]:
        config, rows = self.config, num_tokens * self.config.top_k
        spread = min(config.num_experts, max(rows, 1))
        return (
            Product("router", num_tokens, self.d_model, config.num_experts, 1, "trained", True),
            Product("moe", rows, self.d_model, self.d_ff, 1, "trained", True, spread),
            Product("moe", rows, self.d_ff, self.d_model, 1, "trained", True, spread),
            Product("moe", 1, config.top_k, self.d_model, num_tokens, "none", True),  # the weighted sum over the k
        )

    def _dense_products(self, num_tokens: int) -> tuple[Product, ...]:
        return (
            Product("dense", num_tokens, self.d_model, self.d_ff, 1, "trained", True),
            Product("dense", num_tokens, self.d_ff, self.d_model, 1, "trained", True),
        )

    # Others like it

    def dense_twin(self) -> "SystemShape":
        """The same system with dense FFNs of 20 : 11.8 of the MoE layers' parameters, see `dense_twin`."""
        return replace(self, config=dense_twin(self.config, self.d_model))

    def with_branch(self, spec: BranchSpec) -> "SystemShape":
        """The same system and one more branch."""
        branches = [*(b.to_dict() for b in self.config.branches), spec.to_dict()]
        return replace(self, config=self.config.with_changes(branches=branches))


def expected_terms(num_rows: int, num_classes: int, most: int) -> int:
    """About how many terms a branch's rows will teach it: their number grows with the root of the rows (Heaps' law).

    Counted on BANKING77 and CLINC150: 460 to 540 · √rows up to 1,000 rows, and 235 to 270 · √rows above, where those of one
    row are left out. Longer texts have more.
    """
    share = _TERMS_PER_ROOT_OF_ROWS * (1.0 if num_rows <= MANY_ROWS else 0.5)
    return min(round(share * math.sqrt(num_rows)), most, MOST_WIDE_WEIGHTS // num_classes)


def ffn_params(d_model: int, d_ff: int) -> int:
    """A feed-forward block with biases: two matrices, two biases."""
    return 2 * d_model * d_ff + d_ff + d_model


def dense_twin(config: SystemConfig, d_model: int) -> SystemConfig:
    """The config of an MoE system's twin: its dense FFNs have 20 : 11.8 of the MoE layers' parameters.

    That is the document's ratio. It stands for whole systems there; encoder, adapters and heads are the same in
    both twins, so it is taken of what differs. Raises `ConfigError` for a system without MoE layers.
    """
    if config.ffn != "moe" or not config.num_moe_layers:
        raise ConfigError(f"a dense twin needs MoE layers to replace, got {config.num_moe_layers} {config.ffn} layers")
    moe_layer = config.num_experts * (d_model + ffn_params(d_model, config.d_ff or 4 * d_model))
    return config.with_changes(ffn="dense", d_ff=round((moe_layer * DENSE_OVER_MOE - d_model) / (2 * d_model + 1)))
