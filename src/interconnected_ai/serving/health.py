"""`/healthz`, `/readyz`, `/metrics`, and the description of the API."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from interconnected_ai.serving.door import Admin, Anyone, AtTheDoor, errors
from interconnected_ai.serving.faults import Refusal
from interconnected_ai.serving.own.desk import AtTheDesk

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """That the server lives."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"description": "It takes nothing on now."}})
async def readyz(door: AtTheDoor, desk: AtTheDesk) -> Response:
    """Whether it takes requests on; what stands before it sends them elsewhere meanwhile.

    kept: what is served as it was, since what stands in its place on disk cannot be, and why.
    """
    is_full = door.answers.num_admitted >= door.answers.max_at_once + door.answers.max_waiting
    status = "ending" if door.is_ending else "full" if is_full else "ready"
    return JSONResponse({"status": status, "kept": desk.kept}, 200 if status == "ready" else 503)


@router.get(
    "/metrics",
    responses={**errors(), 200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    response_class=Response,
)
async def metrics(door: AtTheDoor, caller: Admin) -> Response:
    """Figures for Prometheus."""
    if not door.config.metrics:
        raise Refusal(404, "this server tells no figures; the setting is `metrics`", code="not_found")
    return Response(door.counters.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/openapi.json", include_in_schema=False)
async def description(request: Request, caller: Anyone) -> dict[str, Any]:
    """The description of the API (OpenAPI)."""
    found: dict[str, Any] = request.app.openapi()
    return found
