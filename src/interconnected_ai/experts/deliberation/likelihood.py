"""How likely experts find a text: one reading of it an expert, or one batch for all that stand on one base."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from interconnected_ai.errors import EngineError
from interconnected_ai.experts.deliberation.engine import with_logits
from interconnected_ai.experts.deliberation.voices import Voices, in_order, voices_of
from interconnected_ai.types import Generate

MOST_TOKENS = 256  # of a text; who foretells it well has shown so by then


@torch.inference_mode()
def log_likelihoods(
    members: Mapping[str, Generate], token_ids: Sequence[int], *, most_tokens: int = MOST_TOKENS
) -> dict[str, float]:
    """ln p of a text's tokens after the first, by each of the experts, all of which share a tokenizer.

    most_tokens: so many are read, the first ones. Raises `EngineError` for an engine that gives no logits, and for vocabularies
    of different sizes. Threads: any number.
    """
    engines = {name: with_logits(name, engine) for name, engine in members.items()}
    if len({engine.vocab_size for engine in engines.values()}) > 1:
        raise EngineError(
            "likelihoods of experts with different tokenizers are not to be compared; ask them one by one"
        )
    window = min(engine.max_seq_len for engine in engines.values())
    read = list(token_ids)[: min(most_tokens, window)]
    if len(read) < 2:
        return dict.fromkeys(engines, 0.0)
    voices = voices_of(engines)
    told = in_order(voices, [_told(each, read) for each in voices])  # (1, k, tokens)
    return dict(zip(engines, told.sum(-1)[0].tolist(), strict=True))


def _told(voices: Voices, token_ids: Sequence[int]) -> Tensor:
    """(1, k, tokens - 1) ln p of every token after the first."""
    said = torch.tensor(token_ids)
    logits = [voices.start([token_ids[:1]], len(token_ids)).unsqueeze(2).clone()]
    if len(token_ids) > 2:
        if voices.can_extend:
            logits.append(voices.extend(said[None, 1:-1]))
        else:
            logits += [voices.step(said[place : place + 1]).unsqueeze(2).clone() for place in range(1, len(said) - 1)]
    log_probs = torch.cat([part.float() for part in logits], dim=2).log_softmax(-1)  # (1, k, tokens - 1, vocab)
    index = said[1:].view(1, 1, -1, 1).expand(-1, log_probs.shape[1], -1, 1)
    return log_probs.gather(3, index).squeeze(3).double()
