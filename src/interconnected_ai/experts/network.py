"""The transformer of an expert: token ids to logits, the whole of it in one readable class.

`model.py` adds what one does with it; what computes answers is in `torch_decoder.py`.
"""

import math
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from interconnected_ai.config import ExpertConfig, NormPlace
from interconnected_ai.errors import PromptError
from interconnected_ai.nn import Dropout, KVCache, PositionalEncoding, TransformerBlock, require_own_threads


class ExpertNetwork(nn.Module):
    """embedding · √d_model → + sinusoidal positions → blocks → layer norm → language-model head (no bias).

    The document's model (`001_…`): with its defaults, vocabulary 10,000 gives 29,155,328 parameters. d_ff None is
    4 × d_model. norm: "post" (the document's) or "pre". tie_weights: the head is the embedding's matrix.

    Threads: in evaluation mode any number of them may compute at once.
    """

    def __init__(
        self,
        vocab_size: int,
        d_model: int = 512,
        n_layers: int = 6,
        n_heads: int = 8,
        d_ff: int | None = None,
        max_seq_len: int = 2048,
        dropout: float = 0.1,
        *,
        norm: NormPlace = "post",
        tie_weights: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        shape = {
            "vocab_size": vocab_size, "d_model": d_model, "n_layers": n_layers, "n_heads": n_heads, "d_ff": d_ff,
            "max_seq_len": max_seq_len, "dropout": dropout, "norm": norm, "tie_weights": tie_weights,
        }  # fmt: skip
        self.config = ExpertConfig.from_mapping(shape, source=type(self).__name__)
        self.gradient_checkpointing = False
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.positions = PositionalEncoding(d_model, max_seq_len)
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(
            TransformerBlock(d_model, n_heads, self.config.inner, dropout, norm=norm, generator=generator)
            for _ in range(n_layers)
        )
        self.norm = nn.LayerNorm(d_model)
        self.head = nn.Linear(d_model, vocab_size, bias=False)
        self._initialise(generator)

    @classmethod
    def from_config(cls, config: ExpertConfig, *, generator: torch.Generator | None = None) -> Self:
        """The model this config describes, with fresh weights."""
        return cls(**config.to_dict(), generator=generator)

    def _initialise(self, generator: torch.Generator | None) -> None:
        """Embeddings of unit size after their factor √d_model; with pre-norm, what is added to the residual shrinks with depth.

        The latter keeps the sum's variance independent of n_layers (Radford et al. 2019, section 2.3).
        """
        nn.init.normal_(self.embedding.weight, std=self.config.d_model**-0.5, generator=generator)
        if self.config.tie_weights:
            self.head.weight = self.embedding.weight
        else:
            nn.init.normal_(self.head.weight, std=self.config.d_model**-0.5, generator=generator)
        if self.config.norm == "pre":
            with torch.no_grad():
                for block in self.blocks:
                    for last in (block.attention.out, block.feed_forward.w_out):  # type: ignore[union-attr]
                        last.weight.mul_((2 * self.config.n_layers) ** -0.5)  # type: ignore[operator, union-attr]

    # What it is

    def get_num_params(self, non_embedding: bool = False) -> int:
        """Parameters; non_embedding leaves the token embedding out (the head counts, unless it is tied to it)."""
        total = sum(p.numel() for p in self.parameters())
        return total - self.embedding.weight.numel() if non_embedding else total

    def get_model_config(self) -> dict[str, Any]:
        """The shape as plain values: `ExpertModel(**model.get_model_config())` is a model like this one."""
        return {**self.config.to_dict(), "d_ff": self.config.inner}

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embedding.weight.device

    # Computing

    def forward(
        self,
        input_ids: Tensor,
        mask: Tensor | None = None,
        *,
        cache: KVCache | None = None,
        last_only: bool = False,
    ) -> Tensor:
        """(batch, seq) token ids → (batch, seq, vocab_size) logits, each position seeing itself and what came before.

        mask: (batch, seq), true where a token is real: padding is not looked at, and positions count from a row's first
        real token. Or (seq, seq) or (batch, seq, seq), true where a query (row) may look at a key: it replaces the causal
        mask. cache: tokens read before; these continue them (its `starts` take the mask's place). last_only: logits of
        the last position, (batch, 1, vocab_size).
        Raises `PromptError` for ids outside the vocabulary, a mask of another shape, more tokens than max_seq_len.
        """
        hidden = self.hidden(input_ids, mask, cache=cache)
        logits: Tensor = self.head(hidden[:, -1:] if last_only else hidden)
        return logits

    def hidden(self, input_ids: Tensor, mask: Tensor | None = None, *, cache: KVCache | None = None) -> Tensor:
        """(batch, seq, d_model): what the head reads; the arguments are those of `forward`."""
        require_own_threads()
        _, seq = self._checked(input_ids, cache)
        looked_at, positions, is_causal = self._visibility(input_ids, mask, cache)
        hidden = self.embedding(input_ids) * math.sqrt(self.config.d_model)
        hidden = self.dropout(self.positions(hidden, 0 if cache is None else cache.length, positions))
        for number, block in enumerate(self.blocks):
            if self.gradient_checkpointing and self.training and cache is None:
                hidden = checkpoint(block, hidden, looked_at, is_causal=is_causal, use_reentrant=False)
            else:
                hidden = block(hidden, looked_at, is_causal=is_causal, cache=cache, layer=number)
        if cache is not None:
            cache.advance(seq)
        out: Tensor = self.norm(hidden)
        return out

    def new_cache(self, batch: int, capacity: int, *, starts: Tensor | None = None) -> KVCache:
        """An empty KV cache for `batch` rows of `capacity` tokens. starts: (batch,) padding tokens at each row's left."""
        shape, weight = self.config, self.head.weight
        return KVCache(
            shape.n_layers, batch, shape.n_heads, shape.head_width, capacity,
            device=weight.device, dtype=weight.dtype, starts=starts,
        )  # fmt: skip

    def _checked(self, input_ids: Tensor, cache: KVCache | None) -> tuple[int, int]:
        """(batch, seq) of ids that this model can read."""
        if input_ids.dim() != 2 or input_ids.shape[1] == 0:
            raise PromptError(
                f"input_ids has shape {tuple(input_ids.shape)}; needed is (batch, seq) with at least one token"
            )
        batch, seq = input_ids.shape
        num_tokens = seq + (0 if cache is None else cache.length)
        if num_tokens > self.config.max_seq_len:
            raise PromptError(
                f"{num_tokens} tokens are more than max_seq_len={self.config.max_seq_len}; shorten the text, or generate "
                'with window="slide"'
            )
        if cache is None and not torch.compiler.is_compiling() and not input_ids.is_meta:
            self.require_known(input_ids)
        return batch, seq

    def require_known(self, input_ids: Tensor) -> None:
        """Raise `PromptError` for a token id outside the vocabulary (on a GPU it would end the process instead)."""
        low, high = (int(v) for v in torch.stack(input_ids.aminmax()).tolist())
        if low < 0 or high >= self.config.vocab_size:
            raise PromptError(
                f"token id {low if low < 0 else high} is outside the vocabulary of {self.config.vocab_size} (0 to "
                f"{self.config.vocab_size - 1}); was the text tokenized by another model's tokenizer?"
            )

    def _visibility(
        self, input_ids: Tensor, mask: Tensor | None, cache: KVCache | None
    ) -> tuple[Tensor | None, Tensor | None, bool]:
        """What attention needs: a mask (True = may look) or None, positions where rows differ, whether it is plainly causal."""
        if cache is not None:
            return self._visibility_after(cache, input_ids.shape[1])
        if mask is None:
            return None, None, True
        if mask.is_floating_point() and bool((mask < 0).any()):
            raise PromptError("mask holds numbers below 0, as masks added to scores do; needed is 1 or True to look")
        batch, seq = input_ids.shape
        if mask.shape == (batch, seq) and not (batch == seq and _is_causal_mask(mask)):
            real = mask.bool()
            positions = (real.cumsum(dim=1) - 1).clamp(min=0)
            looked_at = _causal(seq, seq, mask.device) & real[:, None, None, :]
            return looked_at | _itself(seq, mask.device), positions, False
        if mask.shape == (seq, seq):
            return mask.bool() | _itself(seq, mask.device), None, False
        if mask.shape == (batch, seq, seq):
            return mask.bool()[:, None] | _itself(seq, mask.device), None, False
        raise PromptError(
            f"mask has shape {tuple(mask.shape)}; for input_ids of shape {(batch, seq)} needed is {(batch, seq)} (real "
            f"tokens), {(seq, seq)} or {(batch, seq, seq)} (who may look at whom)"
        )

    def _visibility_after(self, cache: KVCache, seq: int) -> tuple[Tensor | None, Tensor | None, bool]:
        """The same for tokens that continue what is in the cache."""
        if cache.starts is None:
            if seq == 1 or not cache.length:
                return None, None, seq > 1
            return _causal(seq, cache.length + seq, self.device), None, False
        slots = torch.arange(cache.length + seq, device=self.device)
        queries = slots[cache.length :]
        starts = cache.starts.to(self.device)
        real = slots >= starts[:, None]  # (batch, keys)
        visible = _causal(seq, cache.length + seq, self.device) & real[:, None, None, :]
        visible = visible | (queries[:, None] == slots)  # a padding token sees itself, or its softmax would be empty
        return visible, (queries - starts[:, None]).clamp(min=0), False


def _causal(num_queries: int, num_keys: int, device: torch.device) -> Tensor:
    """(num_queries, num_keys): the queries are the last of the keys; each sees itself and what came before."""
    return torch.ones(num_queries, num_keys, dtype=torch.bool, device=device).tril(num_keys - num_queries)


def _itself(seq: int, device: torch.device) -> Tensor:
    return torch.eye(seq, dtype=torch.bool, device=device)


def _is_causal_mask(mask: Tensor) -> bool:
    """A square mask is one of positions (the document's lower triangle) when it is one, not a mask of padding."""
    num_queries, num_keys = mask.shape
    return bool((mask.bool() == _causal(num_queries, num_keys, mask.device)).all())
