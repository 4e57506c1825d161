"""How a model tells better answers from worse ones: what a training on preferences measures."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Preferred:
    """How a model tells better answers from worse ones.

    loss: DPO's, ln 2 for the reference itself. accuracy: share of pairs whose better answer gained more than the worse one.
    margin: by how much, times β. chosen_reward: what the better answers gained; below 0 they have become less likely.
    """

    loss: float
    accuracy: float
    margin: float
    chosen_reward: float
    num_pairs: int

    def to_dict(self) -> dict[str, float]:
        """Plain values, ready for JSON."""
        return asdict(self)
