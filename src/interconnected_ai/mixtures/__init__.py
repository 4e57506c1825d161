"""What is known of each family of pretrained mixtures of experts: one table, which surgery and the planner read alike."""

from interconnected_ai.mixtures.configs import mixture_of, num_experts_in, text_config_of, with_text_config
from interconnected_ai.mixtures.families import MIXTURES, REFUSED, Mixture

__all__ = ["MIXTURES", "REFUSED", "Mixture", "mixture_of", "num_experts_in", "text_config_of", "with_text_config"]
