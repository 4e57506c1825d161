"""OpenAI's dialect: what a client that was written for their API sends, and what it expects."""

from fastapi import APIRouter

from interconnected_ai.serving.openai import chat, completions, embeddings, models, responses
from interconnected_ai.serving.openai.responses import ResponseStore

_PARTS = (models, chat, completions, embeddings, responses)
router = APIRouter(routes=[each for part in _PARTS for each in part.router.routes])

__all__ = ["ResponseStore", "router"]
