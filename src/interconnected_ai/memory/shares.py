"""How many tokens each part of a context may take before the evidence has its turn. Arithmetic only."""

from dataclasses import dataclass

from interconnected_ai.memory.records import Portions

_SPARE = 0.02  # of the budget: what the estimates of single lines may be wrong by together
_SPARE_OF_AN_ESTIMATE = 0.05  # so that a context keeps within the budget by o200k's own count, too
_FACTS, _TIMELINE = 1 / 24, 1 / 24  # of the budget; what is free after the evidence they take as well
_PART_TOKENS = 48  # but a tenth of a small budget
_LAST_TOKENS, _LONGEST_TOKENS = 256, 64  # in small budgets a share would leave too little to go on with


@dataclass(frozen=True, slots=True)
class Shares:
    """Tokens at most: of all, of the last messages together, of one of them, of facts, of the timeline.

    The parts' shares are small, since what a question needs stands mostly elsewhere: on BEAM-100K a token of evidence holds
    more of it than one of facts, timeline or last messages. What the evidence leaves free goes back to them.
    """

    all_tokens: int
    last_tokens: int
    longest_tokens: int
    facts_tokens: int
    timeline_tokens: int


def shares_of(budget_tokens: int, portions: Portions, *, is_estimated: bool = False) -> Shares:
    """The shares of a budget. is_estimated: tokens are not counted by a model's own tokenizer."""
    spare = _SPARE_OF_AN_ESTIMATE if is_estimated else _SPARE
    last = max(int(portions.last_share * budget_tokens), min(_LAST_TOKENS, budget_tokens // 2))
    longest = max(int(portions.longest_share * budget_tokens), min(_LONGEST_TOKENS, budget_tokens // 8), 1)
    return Shares(
        all_tokens=budget_tokens - int(spare * budget_tokens),
        last_tokens=last,
        longest_tokens=min(longest, last),
        facts_tokens=min(portions.facts_tokens, _part(_FACTS, budget_tokens)),
        timeline_tokens=min(portions.timeline_tokens, _part(_TIMELINE, budget_tokens)),
    )


def _part(share: float, budget_tokens: int) -> int:
    return max(int(share * budget_tokens), min(_PART_TOKENS, budget_tokens // 10))
