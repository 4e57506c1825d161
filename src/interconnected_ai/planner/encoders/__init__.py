"""A frozen Hugging Face encoder, counted from its config.json alone: parameters, LoRA targets, matrix products.

Tests build the models and compare.
"""

from interconnected_ai.config import EMBEDDED_ENCODER
from interconnected_ai.planner.encoders.known import ALIASES, EMBEDDED_ENCODERS, KNOWN_ENCODERS
from interconnected_ai.planner.encoders.reading import encoder_shape, known_encoders
from interconnected_ai.planner.encoders.shape import EncoderShape

__all__ = [
    "ALIASES",
    "EMBEDDED_ENCODER",
    "EMBEDDED_ENCODERS",
    "KNOWN_ENCODERS",
    "EncoderShape",
    "encoder_shape",
    "known_encoders",
]
