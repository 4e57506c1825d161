"""The members of a deliberation as few decoders: those that stand on one base are rows of one batch, so it is read once."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from interconnected_ai.experts.adapters.engine import AdapterEngine
from interconnected_ai.experts.adapters.rows import GroupedAdapters
from interconnected_ai.experts.adapters.weights import AdapterWeights
from interconnected_ai.experts.causal.adaptable import AdaptableEngine
from interconnected_ai.experts.decoder import Decoder, can_adapt, can_extend
from interconnected_ai.experts.decoder_engine import DecoderEngine


class Voices:
    """A decoder and the k members that it computes, k rows a prompt. places: of these members among all.

    adapters: of the members where they share the decoder's base, None for the base alone. Threads: one at a time.
    """

    def __init__(
        self, decoder: Decoder, places: Sequence[int], adapters: Sequence[AdapterWeights | None] | None = None
    ) -> None:
        self._decoder, self.places = decoder, tuple(places)
        self._adapters = adapters if adapters is not None and any(one is not None for one in adapters) else None

    @property
    def vocab_size(self) -> int:
        """Logits per row."""
        return self._decoder.vocab_size

    @property
    def max_seq_len(self) -> int:
        """The window."""
        return self._decoder.max_seq_len

    @property
    def can_extend(self) -> bool:
        """Whether several tokens may be read at once."""
        return can_extend(self._decoder)

    def start(self, prompts: Sequence[Sequence[int]], capacity: int) -> Tensor:
        """`Decoder.start`: (prompts, k, vocab_size)."""
        rows = [prompt for prompt in prompts for _ in self.places]
        if self._adapters is None:
            return self._apart(self._decoder.start(rows, capacity))
        assert can_adapt(self._decoder)
        grouped = GroupedAdapters([one for _ in prompts for one in self._adapters])
        return self._apart(self._decoder.start(rows, capacity, adapters=grouped))

    def step(self, token_ids: Tensor) -> Tensor:
        """`Decoder.step`: (prompts,) → (prompts, k, vocab_size)."""
        return self._apart(self._decoder.step(token_ids.repeat_interleave(len(self.places), 0)))

    def extend(self, token_ids: Tensor) -> Tensor:
        """(prompts, n) → (prompts, k, n, vocab_size): the logits after each token."""
        assert can_extend(self._decoder)
        return self._apart(self._decoder.extend(token_ids.repeat_interleave(len(self.places), 0)))

    def select(self, prompts: Sequence[int]) -> None:
        """Keep the rows of these prompts, in this order."""
        k = len(self.places)
        self._decoder.select([prompt * k + place for prompt in prompts for place in range(k)])

    def _apart(self, rows: Tensor) -> Tensor:
        return rows.reshape(-1, len(self.places), *rows.shape[1:])


def voices_of(engines: Mapping[str, DecoderEngine]) -> list[Voices]:
    """The members as few decoders, each member once. Raises `ClosedError` where one is closed."""
    shared: dict[int, tuple[AdaptableEngine, list[int], list[AdapterWeights | None]]] = {}
    for place, engine in enumerate(engines.values()):
        if (found := _over(engine)) is not None:
            base, weights = found
            _, places, adapters = shared.setdefault(id(base), (base, [], []))
            places.append(place)
            adapters.append(weights)
    together = {place for _, places, _ in shared.values() for place in places}
    own = [Voices(engine.decoder(), [place]) for place, engine in enumerate(engines.values()) if place not in together]
    return [*(_shared(*one) for one in shared.values()), *own]


def _over(engine: DecoderEngine) -> tuple[AdaptableEngine, AdapterWeights | None] | None:
    """The base that others may compute on too, and what this engine has over it."""
    if isinstance(engine, AdapterEngine):
        return engine.over
    return (engine, None) if isinstance(engine, AdaptableEngine) else None


def _shared(base: AdaptableEngine, places: list[int], adapters: list[AdapterWeights | None]) -> Voices:
    return Voices(base.decoder(), places, adapters)


def in_order(voices: Sequence[Voices], logits: Sequence[Tensor]) -> Tensor:
    """(rows, members of each, …) of all voices → (rows, members, …) in the members' order, in memory of its own."""
    places = [place for each in voices for place in each.places]
    order = torch.tensor([places.index(place) for place in range(len(places))])
    return torch.cat(list(logits), dim=1)[:, order]
