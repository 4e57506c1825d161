"""What every encoder must keep, whatever its family, tried on one small batch when it is made.

A model that cannot do it is refused with the reason; what families differ in is found out here and told as `Traits`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from interconnected_ai.branches.fingerprint import PROBE_TEXTS
from interconnected_ai.errors import EncoderError, InterconnectedAIError

NEEDED = (
    "needed is a model that gives one vector for every token of a text, such as BERT, RoBERTa, DeBERTa, ModernBERT, MPNet, "
    "ELECTRA or the encoder of T5"
)
# So many tokens at most go through a model to try it: the default length limit, some 50 ms for all-MiniLM-L6-v2.
_LONGEST_TRIAL = 128
_POSITION_TABLES = {"position_embeddings", "embed_positions", "wpe"}

Compute = Callable[[Tensor, Tensor], Tensor]
"""(batch, seq) ids and a mask of ones and zeros → (batch, seq, d_model)."""


@dataclass(frozen=True)
class Traits:
    """What the small batch told of an encoder.

    stands_padding: a text's vectors are the same alone and beside longer ones. Not with convolutions or pooling over the
    sequence (ConvBERT, Funnel), whose padding leaks into its neighbours. reads_both_ways: the first token's vector knows of
    what follows; not in models that were made to continue texts (GPT-2, Llama).
    """

    d_model: int
    stands_padding: bool
    reads_both_ways: bool


def length_limit(model: nn.Module, asked: int) -> int:
    """The tokens that a text may have: as many as asked for, or as the model has positions for."""
    config: Any = getattr(model, "config", None)
    limits = [
        asked,
        *(_positions(module) for name, module in model.named_modules() if _is_position_table(name, module)),
    ]
    declared = getattr(config, "max_position_embeddings", None)
    if isinstance(declared, int) and declared > 0:  # XLNet says -1, T5 nothing: positions without end
        limits.append(declared)
    return min(limits)


def _is_position_table(name: str, module: nn.Module) -> bool:
    return isinstance(module, nn.Embedding) and name.rpartition(".")[2] in _POSITION_TABLES


def _positions(table: nn.Module) -> int:
    """Rows of a table of positions that a token can have: RoBERTa's begin after the padding index, OPT's after two rows."""
    assert isinstance(table, nn.Embedding)
    first = int(getattr(table, "offset", 0)) if table.padding_idx is None else table.padding_idx + 1
    return table.num_embeddings - first


def require_readable_ids(
    vocabulary: Mapping[str, int], special: Sequence[str], model: nn.Module, pad_token_id: int | None
) -> None:
    """Raise `EncoderError` where the tokenizer knows tokens that the model has no row for, or none but the special ones."""
    if vocabulary.keys() <= set(special):  # as transformers makes one where a folder has no tokenizer
        raise EncoderError("the encoder's tokenizer knows no words; its files are missing or damaged, fetch them anew")
    table = _embedding(model)
    if table is not None:
        token, last = max(vocabulary.items(), key=lambda item: item[1])
        if last >= table.num_embeddings:
            more = " No padding token is needed: you may leave it out." if last == pad_token_id else ""
            raise EncoderError(
                f"the tokenizer's token {token!r} has the id {last}, the model's embedding has {table.num_embeddings} rows. "
                "Tokens were added to the one and not to the other: call model.resize_token_embeddings(len(tokenizer)), and "
                f"save both with save_pretrained.{more}"
            )
    for name, module in model.named_modules():
        if _is_position_table(name, module):
            _require_same_padding(module.padding_idx, vocabulary, pad_token_id)


def _require_same_padding(position_pad: int | None, vocabulary: Mapping[str, int], pad_token_id: int | None) -> None:
    """RoBERTa and its kin take every token with the config's pad_token_id for padding, whatever the mask says."""
    if position_pad is None or position_pad == pad_token_id:
        return
    token = next((token for token, number in vocabulary.items() if number == position_pad), None)
    if token is not None:
        raise EncoderError(
            f"the model takes the id {position_pad} for padding, which is the tokenizer's {token!r}, and its padding token "
            f"has the id {pad_token_id}; set tokenizer.pad_token = {token!r} if that is what it is, else pad_token_id in the "
            "model's config.json, and save both with save_pretrained"
        )


def _embedding(model: nn.Module) -> nn.Embedding | None:
    """The table of the tokens' first vectors; None where a model has none (CANINE hashes characters)."""
    try:
        table = model.get_input_embeddings()  # type: ignore[operator]
    except (AttributeError, NotImplementedError):
        return None
    return table if isinstance(table, nn.Embedding) else None


def traits_of(
    compute: Compute,
    tokenize: Callable[[Sequence[str]], list[list[int]]],
    pad: Callable[[Sequence[Sequence[int]]], tuple[Tensor, Tensor]],
    max_seq_len: int,
) -> Traits:
    """Try an encoder: a vector for every token, finite, of short texts and of the longest.

    Raises `EncoderError` with what went wrong.
    """
    _require_different_ids(tokenize(PROBE_TEXTS))
    short, first, second, long = tokenize([PROBE_TEXTS[6], *PROBE_TEXTS[1:3], " ".join(PROBE_TEXTS * 4)])
    length = min(len(first), len(second))
    pair = [first[:length], [*first[:1], *second[1:length]]]  # the same first token, then others
    alone = _tried(compute, *pad([short]))
    together = _tried(compute, *pad(pair))
    _tried(compute, *pad([long[: min(max_seq_len, _LONGEST_TRIAL)]]))
    longer = first if len(first) > len(short) else [*short, *short]
    return Traits(
        d_model=alone.shape[-1],
        stands_padding=_same_beside(compute, pad([longer[:max_seq_len], short]), alone[0]),
        reads_both_ways=pair[0] == pair[1] or not _close(together[0, 0], together[1, 0], 1e-5),
    )


def require_gradients(compute: Callable[[], Tensor], adapters: Sequence[Tensor]) -> None:
    """Raise `EncoderError` unless what an encoder computes depends on its adapters, so that they can learn."""
    with torch.enable_grad():
        hidden = compute()
        learns = hidden.requires_grad and any(
            gradient is not None for gradient in torch.autograd.grad(hidden.sum(), list(adapters), allow_unused=True)
        )
    if not learns:
        raise EncoderError(
            "the encoder's vectors do not depend on its adapters, so a LoRA would learn nothing; set encoder_lora_rank to 0"
        )


def _require_different_ids(token_ids: Sequence[Sequence[int]]) -> None:
    if all(list(ids) == list(token_ids[0]) for ids in token_ids):
        raise EncoderError(
            "the encoder's tokenizer makes the same token ids of every text; its files are missing or damaged, fetch them "
            "anew beside config.json and model.safetensors"
        )


def _tried(compute: Compute, input_ids: Tensor, mask: Tensor) -> Tensor:
    asked = f"a batch of {len(mask)} x {mask.shape[1]} token ids"
    try:
        with torch.no_grad():
            hidden = compute(input_ids, mask)
    except InterconnectedAIError:
        raise
    except Exception as error:  # the code of any of 600 families
        told = (str(error).splitlines() or [""])[0]
        raise EncoderError(f"the encoder cannot compute {asked} ({type(error).__name__}: {told}); {NEEDED}") from error
    if not isinstance(hidden, Tensor) or hidden.dim() != 3 or hidden.shape[:2] != mask.shape:
        shape = tuple(hidden.shape) if isinstance(hidden, Tensor) else type(hidden).__name__
        raise EncoderError(f"of {asked} the encoder makes {shape}; {NEEDED}")
    if not bool(torch.isfinite(hidden[mask]).all()):
        raise EncoderError(
            f"of {asked} the encoder makes NaN or infinite numbers; its weights are damaged or too large for "
            f"{hidden.dtype}: fetch them anew, or load them as float32"
        )
    return hidden


def _same_beside(compute: Compute, batch: tuple[Tensor, Tensor], alone: Tensor) -> bool:
    """Whether the last row of a batch has the vectors that it has alone."""
    try:
        beside = _tried(compute, *batch)[-1, : len(alone)]
    except EncoderError:
        return False
    return are_alike(beside, alone)


def are_alike(some: Tensor, others: Tensor) -> bool:
    """Whether two tensors are the same up to rounding, which sums of another order or shape bring."""
    return _close(some, others, 5e-4 if others.dtype == torch.float32 else 3e-2)


def _close(some: Tensor, others: Tensor, share: float) -> bool:
    """Whether two tensors are the same up to this share of their largest number."""
    return bool((some - others).abs().max() <= share * others.abs().max())
