"""The council: a request is routed, experts are borrowed, memory is recalled, an answer is written and remembered."""

from interconnected_ai.council.answers import CouncilAnswer, Timings
from interconnected_ai.council.asynchronous import AsyncCouncil
from interconnected_ai.council.council import Council
from interconnected_ai.council.recollecting import recollection_of
from interconnected_ai.council.wellness import Wellness

__all__ = ["AsyncCouncil", "Council", "CouncilAnswer", "Timings", "Wellness", "recollection_of"]
