"""Looking at experts at work: counts, suggestions, perplexity, and what happens without them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

from torch import Tensor

from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.surgery.adapters.stand_ins import settle, state_of
from interconnected_ai.surgery.analysis.importance import gradient_scores
from interconnected_ai.surgery.analysis.texts import perplexity
from interconnected_ai.surgery.analysis.usage import Over, Usage, best_experts, measure_usage
from interconnected_ai.surgery.routing.programs import Program, Rule, check_program
from interconnected_ai.surgery.session import Patient


class Looking(Patient):
    """What experts do, and for which texts."""

    def usage(
        self,
        texts: Mapping[str, Sequence[str]] | Sequence[str],
        *,
        max_tokens: int = 256,
        batch_size: int = 8,
        generate_tokens: int = 0,
    ) -> Usage:
        """Which experts the routers choose for these texts (domain → texts, or one list); see `measure_usage`."""
        return measure_usage(self, texts, max_tokens=max_tokens, batch_size=batch_size, generate_tokens=generate_tokens)

    def suggest(
        self,
        texts: Sequence[str],
        share: float = 0.25,
        *,
        score: Literal["gate", "tokens", "gradient"] = "gate",
        threshold: float | None = None,
        over: Over = "layer",
        max_tokens: int = 256,
        batch_size: int = 8,
    ) -> dict[int, tuple[int, ...]]:
        """The experts worth training for these texts, best first, by layer.

        score: "gate" and "tokens" count use (see `Usage.suggest`), for the price of reading the texts; "gradient" asks what a
        step on each expert would gain (see `gradient_scores`), for that of a backward pass too, and compares layers, as
        over="model" asks. share, threshold, over: see `best_experts`. max_tokens: of each text. batch_size: texts at a time;
        the larger, the less a gradient's noise counts.
        """
        if score not in ("gate", "tokens", "gradient"):
            raise UnknownNameError("score", score, ("gate", "tokens", "gradient"))
        if score == "gradient":
            scores = gradient_scores(self, texts, max_tokens=max_tokens, batch_size=batch_size)
            return best_experts(scores, share, threshold=threshold, over=over)
        found = self.usage(texts, max_tokens=max_tokens, batch_size=batch_size)
        return found.suggest("texts", share, score=score, threshold=threshold, over=over)

    def perplexity(self, texts: Sequence[str], *, max_tokens: int = 256, role: str | None = None) -> float:
        """exp of the mean negative log likelihood of a token; role: begin every text with this role's token."""
        if role is not None and role not in self.program.roles:
            raise UnknownNameError("role", role, self.program.roles)
        prefix = [] if role is None else [self.program.roles[role]]
        return perplexity(self, texts, max_tokens=max_tokens, prefix=prefix)

    @contextmanager
    def ablate(self, experts: Mapping[int, Sequence[int]], *, reroute: bool = False) -> Iterator[None]:
        """Without these experts for a moment: their outputs are zero, or (reroute) their tokens go to the next best."""
        for number, gone in experts.items():
            self.layers[number].need(*gone)
        if reroute:
            rules = [Rule(do="forbid", experts=tuple(gone), layers=(number,)) for number, gone in experts.items()]
            before, functions = self.program, self.functions
            program = Program.from_mapping({**before.to_dict(), "rules": [*before.rules, *rules]})
            check_program(program, self._numbers(), {x.number: x.top_k for x in self.layers}, self._groups())
            self._install(program, functions)
            self.rerouting += 1
            try:
                yield
            finally:
                self.rerouting -= 1
                self._install(before, functions)
            return
        with self.steer({number: dict.fromkeys(gone, 0.0) for number, gone in experts.items()}):
            yield

    @contextmanager
    def steer(self, strengths: Mapping[int, Mapping[int, float | Tensor]]) -> Iterator[None]:
        """For a moment: layer → expert → a factor on its output, or a vector added to it for the tokens it serves."""
        for number, wanted in strengths.items():
            self.layers[number].need(*wanted)
            for expert, strength in wanted.items():
                _need_width(strength, self.layers[number].d_model, f"layer {number}, expert {expert}")
        before = {
            number: (dict(state_of(self.layers[number]).scale), dict(state_of(self.layers[number]).direction))
            for number in strengths
        }
        try:
            for number, wanted in strengths.items():
                state = state_of(self.layers[number])
                for expert, strength in wanted.items():
                    if isinstance(strength, Tensor):
                        state.direction[expert] = strength
                    else:
                        state.scale[expert] = float(strength)
                settle(self.layers[number])
            yield
        finally:
            for number, (scale, direction) in before.items():
                state = state_of(self.layers[number])
                state.scale, state.direction = scale, direction
                settle(self.layers[number])


def _need_width(strength: float | Tensor, d_model: int, place: str) -> None:
    if isinstance(strength, Tensor) and strength.shape != (d_model,):
        raise ConfigError(
            f"{place}: a vector of shape {tuple(strength.shape)} cannot be added to the expert's output; it needs "
            f"({d_model},), the model's width"
        )
