"""`DeliberationEngine`: several experts as one engine, each token chosen from the mixture of what they expect."""

from collections.abc import Mapping

import torch

from interconnected_ai.errors import ConfigError, EngineError
from interconnected_ai.experts.asked import Asked, EndIds
from interconnected_ai.experts.decoder_engine import DecoderEngine
from interconnected_ai.experts.deliberation.decoder import MixedDecoder
from interconnected_ai.experts.deliberation.mixture import FORGETTING, RunningWeights, mixed
from interconnected_ai.experts.deliberation.voices import voices_of
from interconnected_ai.text import TextTokenizer
from interconnected_ai.types import Generate

NUM_EVIDENCE = 64


class DeliberationEngine(DecoderEngine):
    """Continues prompts with experts that share a tokenizer.

    members: name → engine, which stays its owner's: closing this one leaves it open. prior: name → what its word weighs before
    anything was said, any positive sum; None is equal. forgetting, power: see `RunningWeights` and `mixed`. num_evidence: how
    many of a prompt's last tokens already show who foretells well. tokenizer, end_ids: those of `Engine`, None are the first
    member's ends.

    Every setting of generation serves: what is sampled, penalised, held to a form is the mixture. Threads: as `Engine` says.
    Raises `EngineError` for an engine that gives no logits, and for vocabularies of different sizes, `ConfigError` for no
    member, a prior that names another expert, or numbers out of their range.
    """

    name = "deliberation"
    has_native_threads = False  # the members' own engines look after theirs

    def __init__(
        self,
        members: Mapping[str, Generate],
        tokenizer: TextTokenizer | None = None,
        *,
        prior: Mapping[str, float] | None = None,
        forgetting: float = FORGETTING,
        power: float = 1.0,
        num_evidence: int = NUM_EVIDENCE,
        end_ids: EndIds = None,
    ) -> None:
        engines = {name: with_logits(name, engine) for name, engine in members.items()}
        if not engines:
            raise ConfigError("nobody is to deliberate; name one expert at least")
        if len(sizes := {name: engine.vocab_size for name, engine in engines.items()}) and len(set(sizes.values())) > 1:
            raise EngineError(
                f"experts with different tokenizers cannot mix tokens: {sizes}; let them answer one by one"
            )
        first = next(iter(engines.values()))
        window = min(engine.max_seq_len for engine in engines.values())
        super().__init__(
            first.vocab_size,
            window,
            tokenizer or first._tokenizer,
            end_ids=first.end_ids if end_ids is None else end_ids,
        )
        self._prior = torch.tensor([[_prior_of(name, prior, engines) for name in engines]], dtype=torch.float64)
        self._forgetting, self._power, self._num_evidence = forgetting, power, num_evidence
        mixed(RunningWeights(self._prior, forgetting).log_weights, torch.zeros(1, len(engines), 2), power)  # in range?
        self._engines: dict[str, DecoderEngine] | None = engines
        self._last: MixedDecoder | None = None

    @property
    def members(self) -> tuple[str, ...]:
        """The experts' names."""
        return tuple(self._engines or ())

    @property
    def shares(self) -> dict[str, float]:
        """What each member's word weighed on the average of the tokens of what was begun last; equal before the first."""
        names = self.members
        told = [1 / max(1, len(names))] * len(names) if self._last is None else self._last.shares.tolist()
        return dict(zip(names, told, strict=False))

    @property
    def num_bytes(self) -> int:
        """Nothing beside what the members' own engines count."""
        return 0

    def decoder(self) -> MixedDecoder:
        """A decoder of its own for one generation."""
        if self._engines is None:
            raise self._closed_error()
        self._last = MixedDecoder(
            voices_of(self._engines), self._begin, power=self._power, num_evidence=self._num_evidence
        )
        return self._last

    def _begin(self, num_rows: int) -> RunningWeights:
        return RunningWeights(self._prior.expand(num_rows, -1), self._forgetting)

    def _refuse(self, asked: Asked) -> None:
        for engine in (self._engines or {}).values():
            engine._refuse(asked)

    def _let_go(self) -> None:
        self._engines = None


def with_logits(name: str, engine: Generate) -> DecoderEngine:
    """The engine, if it is one that gives logits; else raises `EngineError` naming the expert."""
    if not isinstance(engine, DecoderEngine):
        said = getattr(engine, "name", type(engine).__name__)
        raise EngineError(
            f"the expert {name!r} runs on {said}, which gives no logits to mix; open it on torch, torch-int4 or onnx "
            "for that"
        )
    return engine


def _prior_of(name: str, prior: Mapping[str, float] | None, known: Mapping[str, object]) -> float:
    if prior is None:
        return 1.0
    if set(prior) != set(known):
        raise ConfigError(f"the prior names {sorted(prior)}, the experts are {sorted(known)}; give a number for each")
    return float(prior[name])
