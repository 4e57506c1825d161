"""BERT and its kin over the tokens of texts of any lengths, one text after another: padding is computed in attention alone.

Which rows attention reads together is left to the encoder.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interconnected_ai.nn import MOST_ROWS, few_shapes, multiplies_by_onednn, require_own_threads

# Models of transformers whose blocks are BERT's and differ in what a token begins with.
_KIN = {"BertModel", "CamembertModel", "ElectraModel", "RobertaModel", "XLMRobertaModel"}


def can_leave_out_padding(model: nn.Module) -> bool:
    """Whether `tokens_of` reads this model as it stands: nobody watches its passes, and none of its tokens is hidden."""
    watched = model._forward_hooks or model._forward_pre_hooks
    config: Any = getattr(model, "config", None)
    return type(model).__name__ in _KIN and not watched and not config.is_decoder


def tokens_of(model: nn.Module, input_ids: Tensor, mask: Tensor, parts: Sequence[Tensor]) -> Tensor:
    """(batch, seq) ids and mask → (num_tokens, d_model): the model's last vectors of the real tokens, row after row.

    parts: numbers of rows that attention reads together, each row once. Of attention weights nothing is dropped out.
    Where `linear` asks oneDNN, rows go through the model some `MOST_ROWS` tokens at a time.
    """
    require_own_threads()
    if torch.is_grad_enabled() or not multiplies_by_onednn(input_ids.device):
        return _pass(model, input_ids, mask, parts, num_rows=int(mask.sum()))
    lengths = mask.sum(dim=1)
    places = (mask.flatten().cumsum(0) - 1).view(mask.shape)  # of each real token among all
    found, where = [], []
    for some in _passes(parts, lengths.tolist()):
        rows = torch.cat(some)
        width = int(mask[rows].any(dim=0).nonzero().max()) + 1
        ids, here, num_tokens = input_ids[rows, :width], mask[rows, :width], int(lengths[rows].sum())
        among = torch.arange(len(rows)).split([len(part) for part in some])
        found.append(_pass(model, ids, here, among, num_rows=few_shapes(num_tokens))[:num_tokens])
        where.append(places[rows, :width][here])
    tokens = torch.cat(found)
    return tokens.new_empty(tokens.shape).index_copy_(0, torch.cat(where), tokens)


def _passes(parts: Sequence[Tensor], lengths: Sequence[int]) -> list[list[Tensor]]:
    """The parts, cut where one has more than `MOST_ROWS` tokens, put together as long as they have no more."""
    passes: list[list[Tensor]] = []
    room = 0
    for part in parts:
        cut, num_tokens = [0], 0
        for place, row in enumerate(part.tolist()):
            num_tokens += lengths[row]
            if num_tokens > MOST_ROWS and place > cut[-1]:
                cut.append(place)
                num_tokens = lengths[row]
        for some in part.tensor_split(cut[1:]):
            needed = sum(lengths[row] for row in some.tolist())
            if not passes or needed > room:
                passes.append([])
                room = MOST_ROWS
            passes[-1].append(some)
            room -= needed
    return passes


def _pass(model: nn.Module, input_ids: Tensor, mask: Tensor, parts: Sequence[Tensor], *, num_rows: int) -> Tensor:
    """The same in one pass, of so many rows: the first are those of the tokens, the others mean nothing."""
    read: Any = model
    tokens: Tensor = read.embeddings(input_ids=input_ids)[mask]
    tokens = F.pad(tokens, (0, 0, 0, num_rows - len(tokens)))
    if hasattr(read, "embeddings_project"):  # ELECTRA's
        tokens = read.embeddings_project(tokens)
    attention = _Attention.over(mask, parts, read.config.num_attention_heads, num_rows)
    for layer in read.encoder.layer:
        heads = layer.attention.self
        mixed = attention(heads.query(tokens), heads.key(tokens), heads.value(tokens))
        tokens = layer.attention.output(mixed, tokens)
        tokens = layer.output(layer.intermediate(tokens), tokens)
    return tokens


@dataclass(frozen=True)
class _Part:
    """Rows that are read together. places: (rows · width,) which tokens they are; mask: (rows, 1, 1, width), None for all."""

    num_rows: int
    places: Tensor
    mask: Tensor | None


@dataclass(frozen=True)
class _Attention:
    """Attention within each row. back: (num_rows,) where each token stands among the places of all parts."""

    parts: list[_Part]
    back: Tensor
    num_heads: int

    @classmethod
    def over(cls, mask: Tensor, rows: Sequence[Tensor], num_heads: int, num_rows: int) -> "_Attention":
        lengths = mask.sum(dim=1)
        begins = lengths.cumsum(0) - lengths
        parts, back = [], lengths.new_zeros(num_rows)
        begin = 0
        for some in rows:
            width = int(lengths[some].max())
            places = torch.arange(width, device=mask.device)
            real = places < lengths[some, None]  # (rows, width)
            tokens = torch.where(real, begins[some, None] + places, begins[some, None])
            back[tokens[real]] = begin + real.flatten().nonzero().flatten()
            parts.append(_Part(len(some), tokens.flatten(), None if bool(real.all()) else real[:, None, None]))
            begin += real.numel()
        return cls(parts, back, num_heads)

    def __call__(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(num_rows, d_model) each → the same."""
        mixed = []
        for part in self.parts:
            asking, asked, told = (self._apart(each, part) for each in (query, key, value))
            found = _attended(asking, asked, told, part.mask)  # (rows, heads, width, d_head)
            mixed.append(found.transpose(1, 2).flatten(2).flatten(0, 1))
        return torch.cat(mixed).index_select(0, self.back)

    def _apart(self, tokens: Tensor, part: _Part) -> Tensor:
        """(num_rows, d_model) → (rows, heads, width, d_head)."""
        apart = tokens.index_select(0, part.places)
        return apart.view(part.num_rows, -1, self.num_heads, tokens.shape[-1] // self.num_heads).transpose(1, 2)


def _attended(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """softmax(q · kᵀ / √d_head) · v, in float32 where a gradient is to come: PyTorch's backward pass of it in bfloat16 takes
    ten times as long on a CPU, for heads and rows as short as these.
    """
    if value.dtype != torch.bfloat16 or not value.requires_grad:
        return F.scaled_dot_product_attention(query, key, value, mask)
    with torch.autocast(query.device.type, enabled=False):
        return F.scaled_dot_product_attention(query.float(), key.float(), value.float(), mask)
