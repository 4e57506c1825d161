"""What a council answers, and how it came to it."""

from dataclasses import asdict, dataclass
from typing import Any

from interconnected_ai.types import ChatMessage, Generation, Route


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

    experts: who answered, the surest first; several deliberated. route: who was chosen and why. recalled: ids of the messages
    whose words the expert was shown. notices: what went otherwise than wanted, in words: an expert set aside, a memory that was
    busy. generation: as the expert's engine gives it.
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

    def __str__(self) -> str:
        return self.message.content

    @property
    def why(self) -> str:
        """Who answered and why, in one line."""
        who = ", ".join(self.experts)
        runner_up = self.route.runner_up
        second = f"; next would be {runner_up.expert} ({runner_up.score:.2f})" if runner_up else ""
        return f"{who}: {self.route.reason}{second}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "text": self.message.content,
            "experts": list(self.experts),
            "why": self.why,
            "scores": {each.expert: each.score for each in self.route.experts},
            "is_fallback": self.route.is_fallback,
            "ended": self.generation.ended,
            "num_prompt_tokens": self.num_prompt_tokens,
            "recalled": list(self.recalled),
            "num_recalled_tokens": self.num_recalled_tokens,
            "notices": list(self.notices),
            "timings": asdict(self.timings),
        }
