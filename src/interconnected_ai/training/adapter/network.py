"""A pretrained causal language model with an adapter that learns: lean bricks in place of the model's own.

Any architecture of transformers that attends with a mask; its forward pass is its own, its linear layers, RMS norms and gated
feed-forwards are exchanged for those of `nn` where they compute the same, which a trial tells.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn

from interconnected_ai.config import AdapterConfig
from interconnected_ai.errors import ConfigError
from interconnected_ai.nn import AdaptedLinear, RMSNorm, swiglu
from interconnected_ai.training.adapter.attention import attend_by_documents, attend_by_masks

_TOLERANCE = 1e-4


class AdaptedNetwork(nn.Module):
    """A causal language model of which a low-rank adapter alone learns.

    network: a transformers causal LM in memory, changed in place; it must not be used by anything else meanwhile.
    bits: 4 packs the adapted layers' weights.
    Raises `ConfigError` for targets that it has none of, and for architectures whose packed documents would see one another
    or whose logits are not a product with the hidden states.
    Threads: any number may compute at once while none trains or is inside `without_adapter`.
    """

    def __init__(
        self,
        network: Any,
        shape: AdapterConfig,
        *,
        bits: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        network.requires_grad_(False)
        self.network = network
        self._no_split_modules = tuple(getattr(network, "_no_split_modules", None) or ())
        _require_plain_logits(network)
        self._by_document = True
        self._choose_attention()
        self.names = _adapt(network, shape, bits, generator)
        self.scale = (2 * shape.rank if shape.alpha is None else shape.alpha) / shape.rank
        _exchange_bricks(network)

    @property
    def head(self) -> nn.Linear:
        """Hidden states → logits; frozen."""
        head: nn.Linear = self.network.get_output_embeddings()
        return head

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.head.weight.device

    @property
    def vocab_size(self) -> int:
        """Token ids that it knows."""
        return int(self.head.weight.shape[0])

    @property
    def max_seq_len(self) -> int:
        """Tokens that the base reads at once."""
        config = self.network.config.get_text_config()
        return int(getattr(config, "max_position_embeddings", 2048))

    @property
    def num_learnt(self) -> int:
        """Numbers in the adapter's matrices."""
        return sum(a.numel() + b.numel() for a, b in self.pairs().values())

    def hidden(self, input_ids: Tensor, documents: Tensor | None = None) -> Tensor:
        """(batch, seq) token ids → (batch, seq, d_model).

        documents: (batch, seq) which document each token belongs to, ascending in a row; a token sees those before it in
        its own. None is one document a row.
        """
        if documents is None:
            documents = torch.zeros_like(input_ids)
        if self._by_document:
            rows, positions = input_ids.reshape(1, -1), _positions(documents).reshape(1, -1)
            packed: dict[str, Any] = {"attention_mask": None, "document_lengths": _lengths(documents)}
        else:
            rows, positions = input_ids, _positions(documents)
            packed = {"attention_mask": _mask(documents, self.head.weight.dtype)}
        states: Tensor = self.network.base_model(
            input_ids=rows, position_ids=positions, use_cache=False, **packed
        ).last_hidden_state
        return states.reshape(*input_ids.shape, -1)

    def pairs(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Name of each adapted layer, as the base has it → its A (rank, d_in) and B (d_out, rank)."""
        return {name: (a.detach(), b.detach()) for name, (a, b) in ((name, self.matrices(name)) for name in self.names)}

    def matrices(self, name: str) -> tuple[nn.Parameter, nn.Parameter]:
        """A and B of an adapted layer, as they learn."""
        layer = self.network.get_submodule(name)
        return layer.lora_a, layer.lora_b

    def remember_less(self, less: bool) -> None:
        """Whether a layer's input alone is kept for the backward pass, and the layer computed again there."""
        of = (
            "activation" if hasattr(self.network, "activation_checkpointing_enable") else "gradient"
        )  # before transformers 5.2
        switch = getattr(self.network, f"{of}_checkpointing_{'enable' if less else 'disable'}")
        switch(*([{"use_reentrant": False}] if less else []))

    @contextmanager
    def without_adapter(self) -> Iterator[None]:
        """The base alone, while this lasts."""
        layers = [module for module in self.network.modules() if isinstance(module, AdaptedLinear)]
        for layer in layers:
            layer.enabled = False
        try:
            yield
        finally:
            for layer in layers:
                layer.enabled = True

    def _choose_attention(self) -> None:
        """By documents where the architecture hands their lengths on, else by masks; `ConfigError` where neither works."""
        for self._by_document, attend in ((True, attend_by_documents), (False, attend_by_masks)):
            with suppress(TypeError, ValueError):  # of an architecture that takes no such argument
                attend(self.network)
                if _is_separable(self):
                    return
        raise ConfigError(
            f"the base's architecture ({self.network.config.model_type}) lets documents in one block see one another, so "
            "adapters cannot be trained on it; choose one whose layers all attend by a mask"
        )


class GatedFeedForward(nn.Module):
    """down(silu(gate(x)) · up(x)), as Llama and its kin have it."""

    def __init__(self, gate_proj: nn.Module, up_proj: nn.Module, down_proj: nn.Module) -> None:
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = gate_proj, up_proj, down_proj

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, d_model) → the same shape."""
        out: Tensor = self.down_proj(swiglu(self.gate_proj(hidden), self.up_proj(hidden)))
        return out


def _lengths(documents: Tensor) -> list[int]:
    """Tokens of every document, row after row."""
    begins = torch.ones_like(documents, dtype=torch.bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    places = begins.flatten().nonzero().flatten()
    ends = torch.cat([places[1:], places.new_tensor([documents.numel()])])
    lengths: list[int] = (ends - places).tolist()
    return lengths


def _mask(documents: Tensor, dtype: torch.dtype) -> Tensor:
    """(batch, 1, seq, seq): 0 where a token sees another, −∞ elsewhere."""
    seq = documents.shape[1]
    same = documents.unsqueeze(2) == documents.unsqueeze(1)
    seen = same & torch.ones(seq, seq, dtype=torch.bool, device=documents.device).tril()
    return torch.zeros(seen.shape, dtype=dtype, device=documents.device).masked_fill_(~seen, -torch.inf).unsqueeze(1)


def _positions(documents: Tensor) -> Tensor:
    """(batch, seq): how many tokens of its document stand before each."""
    places = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)
    begins = torch.ones_like(documents, dtype=torch.bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return places - torch.where(begins, places, 0).cummax(dim=1).values


# Adapters and bricks


def _adapt(network: Any, shape: AdapterConfig, bits: int | None, generator: torch.Generator | None) -> tuple[str, ...]:
    """Exchange the targeted linear layers; returns their names."""
    head = network.get_output_embeddings()
    linears = {
        name: module for name, module in network.named_modules() if isinstance(module, nn.Linear) and module is not head
    }
    chosen = {name: linear for name, linear in linears.items() if is_target(name, shape.targets)}
    known = sorted({name.rpartition(".")[2] for name in linears})
    for target in shape.targets:
        if not any(is_target(name, (target,)) for name in chosen):
            raise ConfigError(
                f"adapter.targets names {target!r}, which the base has no linear layer of; it has {', '.join(known)}"
            )
    if not chosen:
        raise ConfigError("the base has no linear layers to adapt; experts of its kind cannot be adapted")
    for name, linear in chosen.items():
        adapted = AdaptedLinear(
            linear, shape.rank, alpha=shape.alpha, dropout=shape.dropout, bits=bits, generator=generator
        )
        _exchange(network, name, adapted)
    return tuple(chosen)


def is_target(name: str, targets: tuple[str, ...]) -> bool:
    """Whether a layer of this name is adapted; see `AdapterConfig`."""
    return not targets or any(name == target or name.endswith(f".{target}") for target in targets)


def _exchange_bricks(network: Any) -> None:
    """Lean norms and gated feed-forwards where they compute the same as the model's own."""
    lean: nn.Module | None
    like = network.get_output_embeddings().weight
    for name, module in list(network.named_modules()):
        if type(module).__name__.endswith("RMSNorm") and isinstance(weight := getattr(module, "weight", None), Tensor):
            eps = getattr(module, "variance_epsilon", getattr(module, "eps", None))
            lean = None if eps is None else RMSNorm(weight, float(eps))
            width = len(weight)
        elif {part for part, _ in module.named_children()} in (_GATED, _GATED | {"act_fn"}):
            lean = GatedFeedForward(module.gate_proj, module.up_proj, module.down_proj)
            width = module.gate_proj.in_features
        else:
            continue
        if lean is not None and _computes_the_same(module, lean, width, like):
            _exchange(network, name, lean)


_GATED = {"gate_proj", "up_proj", "down_proj"}


@torch.no_grad()
def _computes_the_same(before: nn.Module, after: nn.Module, width: int, like: Tensor) -> bool:
    trial = torch.randn(4, width, generator=torch.Generator().manual_seed(0)).to(like)
    wanted, found = before(trial), after(trial)
    if not isinstance(wanted, Tensor):
        return False
    tolerance = max(_TOLERANCE, 4 * torch.finfo(like.dtype).eps)
    return torch.allclose(found.float(), wanted.float(), rtol=tolerance, atol=tolerance * float(wanted.abs().max()))


def _exchange(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, attribute = name.rpartition(".")
    setattr(network.get_submodule(parent), attribute, module)


# What an architecture must do


@torch.no_grad()
def _require_plain_logits(network: Any) -> None:
    """Raise `ConfigError` where logits are capped or scaled: the loss is taken from the head's product."""
    config = network.config.get_text_config()
    for setting in ("final_logit_softcapping", "logit_scale", "logits_scaling"):
        if getattr(config, setting, None) not in (None, 1, 1.0):
            raise ConfigError(
                f"the base's architecture ({config.model_type}) changes its logits ({setting}), which training adapters does "
                "not know; choose another base"
            )


@torch.no_grad()
def _is_separable(model: AdaptedNetwork) -> bool:
    """Whether a document in a block gives what it gives alone, and a token sees those before it."""
    ids = torch.arange(12, device=model.device).view(2, 6) % model.vocab_size
    documents = torch.tensor([[0, 0, 0, 1, 1, 1]] * 2, device=model.device)
    training = model.training
    model.eval()
    try:
        together, alone = model.hidden(ids, documents)[:, 3:], model.hidden(ids[:, 3:])
        changed = model.hidden(ids.roll(1, dims=0)[:, 3:])
    finally:
        model.train(training)
    scale = float(alone.float().abs().max().clamp_min(1e-6))
    same = float((together.float() - alone.float()).abs().max()) <= 100 * torch.finfo(alone.dtype).eps * scale
    return same and not torch.equal(changed, alone)
