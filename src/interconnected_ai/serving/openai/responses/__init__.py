"""`/v1/responses`: answers that OpenAI's newer dialect asks for, kept so that the next turn need only name the one before."""

from interconnected_ai.serving.openai.responses.routes import router
from interconnected_ai.serving.openai.responses.store import ResponseStore

__all__ = ["ResponseStore", "router"]
