"""What an expert is measured on while it is trained and after: documents of a side of its corpus."""

from itertools import pairwise

import numpy as np

from interconnected_ai.arguments import checked
from interconnected_ai.data import TokenSide
from interconnected_ai.experts import HeldOut, Perplexity, measure

__all__ = ["HeldOut", "Perplexity", "held_out", "measure"]


@checked
def held_out(side: TokenSide, *, most_tokens: int | None = None, seed: int = 0) -> HeldOut | None:
    """The documents of a side of a corpus; None when it is empty. A piece of a long file is a document here too.

    most_tokens: random documents that make up about as many; their bytes are then counted by their share of the tokens.
    """
    if not side.num_documents:
        return None
    whole = HeldOut(_documents(side), side.num_bytes, int(side.tokens[0]))
    if most_tokens is None or whole.num_tokens <= most_tokens:
        return whole
    order = np.random.default_rng(seed).permutation(side.num_documents)
    sizes = np.array([len(whole.documents[number]) for number in order])
    picked = order[: max(1, int(np.searchsorted(np.cumsum(sizes), most_tokens, side="right")))]
    documents = [whole.documents[number] for number in picked]
    share = sum(map(len, documents)) / whole.num_tokens
    return HeldOut(documents, max(1, round(side.num_bytes * share)), whole.start_id)


def _documents(side: TokenSide) -> list[np.ndarray]:
    """Each without the end tokens around it; pieces of one file have none between them."""
    end_id = side.tokens[0]
    borders = [*side.offsets.tolist(), len(side.tokens)]
    return [
        side.tokens[start : stop - 1 if side.tokens[stop - 1] == end_id else stop] for start, stop in pairwise(borders)
    ]
