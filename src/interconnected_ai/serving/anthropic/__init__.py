"""Anthropic's dialect: `/v1/messages` and its count of tokens, as a client that was written for their API knows them."""

from interconnected_ai.serving.anthropic.messages import router
from interconnected_ai.serving.anthropic.wording import BEGINNING, envelope

__all__ = ["BEGINNING", "envelope", "router"]
