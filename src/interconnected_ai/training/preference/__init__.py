"""Learning from preferences: an adapter that makes better answers likelier than worse ones, with the base as the reference."""

from interconnected_ai.training.adapter.preferred import Preferred
from interconnected_ai.training.preference.fit import fit_preferences
from interconnected_ai.training.preference.learner import PreferenceLearner, preferred
from interconnected_ai.training.preference.objective import PreferenceObjective, dpo_loss
from interconnected_ai.training.preference.pairs import PairBatch, PairPlan

__all__ = [
    "PairBatch",
    "PairPlan",
    "PreferenceLearner",
    "PreferenceObjective",
    "Preferred",
    "dpo_loss",
    "fit_preferences",
    "preferred",
]
