"""What a council answers, and how it came to it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from interconnected_ai.types import ChatMessage, Clause, Generation, Route, ScoredExpert, clauses_of


@dataclass(frozen=True)
class Timings:
    """Seconds of one turn: memory, routing, waiting for experts, the answer's first piece and all of it, remembering."""

    recall: float = 0.0
    route: float = 0.0
    borrow: float = 0.0
    first_piece: float = 0.0
    generate: float = 0.0
    remember: float = 0.0

    @property
    def overhead_share(self) -> float:
        """What is not the expert's own work, of all."""
        own = self.recall + self.route + self.borrow + self.remember
        return own / (own + self.generate) if own + self.generate else 0.0


@dataclass(frozen=True)
class CouncilAnswer:
    """The answer to one request; `str()` of it is the text.

    experts: who answered, the surest first; several deliberated. weights: of several, what the word of each weighed on the
    average of the tokens. route: who was chosen and why. recalled: ids of the messages whose words the expert was shown.
    notices: what went otherwise than wanted, in words: an expert set aside, a memory that was busy. generation: as the
    expert's engine gives it.
    """

    message: ChatMessage
    experts: tuple[str, ...]
    route: Route
    generation: Generation
    num_prompt_tokens: int
    recalled: tuple[str, ...] = ()
    num_recalled_tokens: int = 0
    notices: tuple[str, ...] = ()
    timings: Timings = Timings()
    weights: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message.content

    @property
    def runner_up(self) -> ScoredExpert | None:
        """Who scored highest of those that did not answer."""
        return next((each for each in self.route.experts if each.expert not in self.experts), None)

    @property
    def why(self) -> str:
        """Who answered and why, in one line."""
        who = ", ".join(f"{name} ({self.weights[name]:.0%})" if name in self.weights else name for name in self.experts)
        runner_up = self.runner_up
        second = f"; next would be {runner_up.expert} ({runner_up.score:.2f})" if runner_up else ""
        return f"{who}: {self.route.reason}{second}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "text": self.message.content,
            "experts": list(self.experts),
            "weights": dict(self.weights),
            "why": self.why,
            "reason": self.route.reason,
            "reason_clauses": [_plain(clause) for clause in clauses_of(self.route.reason)],
            "runner_up": None if self.runner_up is None else asdict(self.runner_up),
            "scores": {each.expert: each.score for each in self.route.experts},
            "is_fallback": self.route.is_fallback,
            "ended": self.generation.ended,
            "num_prompt_tokens": self.num_prompt_tokens,
            "recalled": list(self.recalled),
            "num_recalled_tokens": self.num_recalled_tokens,
            "notices": list(self.notices),
            "notice_clauses": [_plain(clause) for notice in self.notices for clause in clauses_of(notice)],
            "timings": asdict(self.timings),
        }


def _plain(clause: Clause) -> dict[str, Any]:
    """What a clause says, by its code, so that it can be said in another language."""
    return {"code": clause.code, "values": dict(clause.values)}
