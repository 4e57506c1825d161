"""Learning from preferences: an adapter that makes better answers likelier than worse ones, with the base as the reference."""

from interconnected_ai.training.preference.learner import PreferenceLearner, Preferred, preferred
from interconnected_ai.training.preference.objective import PreferenceObjective, dpo_loss
from interconnected_ai.training.preference.pairs import PairBatch, PairPlan

__all__ = [
    "PairBatch",
    "PairPlan",
    "PreferenceLearner",
    "PreferenceObjective",
    "Preferred",
    "dpo_loss",
    "preferred",
]
