"""`GET /v1/models`: who may be asked."""

from typing import Any

from fastapi import APIRouter

from interconnected_ai.serving.door import Anyone, AtTheDoor, Door, errors

router = APIRouter(tags=["openai"])


@router.get("/v1/models", responses=errors())
async def models(door: AtTheDoor, caller: Anyone) -> dict[str, Any]:
    """Every model, as OpenAI lists them."""
    return {"object": "list", "data": [_told(door, name) for name in (*door.hall.models, *door.hall.encoders)]}


@router.get("/v1/models/{model:path}", responses=errors())
async def model(model: str, door: AtTheDoor, caller: Anyone) -> dict[str, Any]:
    """One model."""
    return _told(door, model if model in door.hall.encoders else door.hall.voice(model).name)


def _told(door: Door, name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": door.hall.began, "owned_by": "interconnected_ai"}
