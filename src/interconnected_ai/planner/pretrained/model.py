"""A pretrained mixture of experts: every count that follows from its `config.json`."""

from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

from interconnected_ai.planner.checks import require_count
from interconnected_ai.planner.precision import BYTES, FLOAT_PRECISIONS
from interconnected_ai.planner.pretrained.blueprint import Blueprint
from interconnected_ai.planner.pretrained.flops import mixing_flops, weight_flops
from interconnected_ai.planner.pretrained.load import require_float, require_precision
from interconnected_ai.planner.pretrained.weights import Part, Weight, held_bytes, is_expert_matrix

# MXFP4 (OCP Microscaling, 2023): 4 bits a number, and one 8-bit scale for 32 of them.
MXFP4_BYTES = 0.5 + 1 / 32


@dataclass(frozen=True)
class PretrainedMoE:
    """What a `config.json` says about a mixture of experts, and every count that follows from it.

    Counts are those of the model transformers builds, tied weights once. d_ff_expert: inner size of one routed FFN expert.
    top_k: routed FFN experts a token passes in each MoE layer; num_shared_experts: those that every token passes besides.
    num_kv_heads, head_dim: of the layers with softmax attention; with latent attention every head has its own keys, of
    head_dim numbers. precision: the stored weights' dtype. quantization: how a quantised checkpoint is stored, None for
    plain numbers. notes: what was assumed.
    """

    name: str
    model_type: str
    d_model: int
    n_layers: int
    num_moe_layers: int
    num_experts: int
    top_k: int
    num_shared_experts: int
    d_ff_expert: int
    vocab_size: int
    n_heads: int
    num_kv_heads: int
    head_dim: int
    tied_embeddings: bool
    precision: str
    quantization: str | None
    notes: tuple[str, ...]
    blueprint: Blueprint = field(repr=False)

    @cached_property
    def weights(self) -> tuple[Weight, ...]:
        """Every parameter tensor."""
        return self.blueprint.weights()

    @property
    def num_params(self) -> int:
        """All parameters."""
        return sum(weight.num_params for weight in self.weights)

    @property
    def num_active_params(self) -> int:
        """Parameters one token uses: all but the routed FFN experts it does not choose.

        Publishers differ: Qwen, Mixtral and OLMoE count the embedding, as here; gpt-oss and DeepSeek leave it out
        (`num_active_params_without_lookup`).
        """
        return self.num_params - self.num_moe_layers * (self.num_experts - self.top_k) * self.num_expert_params

    @property
    def num_active_params_without_lookup(self) -> int:
        """The same without the embedding, of which a token reads one row; a tied one is also the head, and stays."""
        return self.num_active_params - (0 if self.tied_embeddings else self.num_embedding_params)

    @property
    def num_embedding_params(self) -> int:
        """The token embedding, without the head."""
        return self._count("embedding")

    @property
    def num_head_params(self) -> int:
        """The output head; 0 when it is the embedding."""
        return self._count("head")

    @property
    def num_attention_params(self) -> int:
        """All attention layers, with their norms on queries, keys and latents."""
        return self._count("attention")

    @property
    def num_router_params(self) -> int:
        """All token routers, without the gates of shared experts."""
        return self._count("router")

    @property
    def num_shared_expert_params(self) -> int:
        """All FFN experts that every token passes, with their gates."""
        return self._count("shared expert")

    @property
    def num_expert_params_all(self) -> int:
        """All routed FFN experts of all layers."""
        return self._count("expert")

    @property
    def num_expert_params(self) -> int:
        """ONE routed FFN expert in one layer."""
        return self.num_expert_params_all // (self.num_moe_layers * self.num_experts)

    def kv_cache_bytes(
        self, seq_tokens: int, batch: int = 1, precision: str | None = None, *, expanded: bool = False
    ) -> int:
        """Bytes of transformers' `DynamicCache` after that many tokens: layers · batch · tokens · (key + value) · bytes.

        A sliding-window layer keeps its last window - 1 positions. Latent attention (DeepSeek) is cached compressed, as
        transformers does since August 2026 (its pull request 47761); `expanded` gives the keys and values of all heads that
        earlier versions cached. Qwen3-Next's linear layers keep a state of fixed size, in float32. precision: None for the
        config's.
        """
        precision = precision or self.precision
        require_float("KV cache precision", precision)
        require_count("seq_tokens", seq_tokens)
        require_count("batch", batch)
        attentions = self.blueprint.attentions
        numbers = sum(attention.cached_numbers(seq_tokens, expanded=expanded) for attention in attentions)
        states = sum(attention.state_numbers() for attention in attentions)
        return batch * (numbers * int(BYTES[precision]) + 4 * states)

    def forward_flops(self, num_tokens: int, cached_tokens: int = 0, batch: int = 1) -> int:
        """FLOPs of reading so many tokens behind those in the cache, in each row, and of the logits that follow the last one.

        A prompt is `forward_flops(prompt)`, an answer's token `forward_flops(1, so_far)`. As `torch.utils.flop_counter` counts:
        products alone, with the experts that tokens choose. Of positions those count that see each other: a window's, a
        chunk's, those that an indexer chooses. States of linear attention and Mamba are counted token by token.
        """
        require_count("num_tokens", num_tokens)
        require_count("cached_tokens", cached_tokens, least=0)
        require_count("batch", batch)
        layers, head = weight_flops(self.weights, self.blueprint)
        return batch * (num_tokens * layers + mixing_flops(self.blueprint, num_tokens, cached_tokens) + head)

    def weights_bytes(self, precision: str | None = None, *, quantised_experts: bool = True) -> int:
        """Bytes of the loaded weights; in a floating-point precision those of the state_dict, tied weights once.

        int8 and int4 hold the matrices of attention, FFNs and experts with their scales; embedding, head, routers, norms and
        biases stay bfloat16. quantised_experts: False leaves the routed experts in bfloat16 too, as bitsandbytes does with
        transformers v5, whose fused experts are no `nn.Linear`.
        """
        precision = precision or self.precision
        require_precision(precision)
        return held_bytes(self.weights, precision, quantised_experts) + self.buffer_bytes(precision)

    def buffer_bytes(self, precision: str) -> int:
        """Bytes of the numbers by which DeepSeek's kind of router balances its choice: saved, but no parameters."""
        kind = self.blueprint.experts.correction
        held = "float32" if kind == "float32" else precision if precision in FLOAT_PRECISIONS else "bfloat16"
        return self.num_moe_layers * self.num_experts * int(BYTES[held]) if kind else 0

    @property
    def stored_bytes(self) -> int | None:
        """Bytes of the checkpoint: exact for plain numbers and gpt-oss's MXFP4 experts, None for other quantisations."""
        if self.quantization is None:
            return self.weights_bytes(self.precision)
        if self.quantization != "mxfp4":
            return None
        packed = sum(weight.num_params for weight in self.weights if is_expert_matrix(weight))
        return round(packed * MXFP4_BYTES + (self.num_params - packed) * BYTES[self.precision])

    def summary(self) -> dict[str, Any]:
        """Every size and count by name, for tables and JSON."""
        sizes = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "blueprint"}
        counts = [name for name, value in vars(type(self)).items() if isinstance(value, property)]
        return sizes | {name: getattr(self, name) for name in counts}

    def _count(self, part: Part) -> int:
        return sum(weight.num_params for weight in self.weights if weight.part == part)
