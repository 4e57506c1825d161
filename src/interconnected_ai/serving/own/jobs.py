"""`/v1/jobs`: work that takes long, and how far it is, as events too. Jobs belong to the key that began them."""

from collections.abc import AsyncIterator

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse

from interconnected_ai.serving.door import Anyone, AtTheDoor, errors
from interconnected_ai.serving.events import PING, event
from interconnected_ai.serving.own.answers import answer
from interconnected_ai.serving.own.desk import AtTheDesk
from interconnected_ai.serving.own.owners import owner_of

router = APIRouter(tags=["jobs"])
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


@router.get("/v1/jobs", responses=errors(), response_model=None)
async def listed(desk: AtTheDesk, caller: Anyone) -> Response:
    """This key's jobs, the newest first."""
    return answer({"object": "list", "data": [job.shown() for job in desk.jobs.jobs(owner_of(caller))]})


@router.get("/v1/jobs/{id}", responses=errors(), response_model=None)
async def job(id: str, desk: AtTheDesk, caller: Anyone) -> Response:
    """One job."""
    return answer(desk.jobs.job(owner_of(caller), id).shown())


@router.get(
    "/v1/jobs/{id}/events",
    responses={**errors(), 200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    response_class=Response,
)
async def events(id: str, door: AtTheDoor, desk: AtTheDesk, caller: Anyone) -> Response:
    """The job as it is, and again whenever it has changed, until it has ended: server-sent events."""
    owner = owner_of(caller)
    desk.jobs.job(owner, id)  # what is not there is said with a status of its own

    async def told() -> AsyncIterator[bytes]:
        async for found in desk.jobs.changes(owner, id, door.config.ping_seconds, lambda: door.is_ending):
            yield PING if found is None else event(found.shown())

    return StreamingResponse(told(), media_type="text/event-stream", headers=_HEADERS)


@router.post("/v1/jobs/{id}/cancel", responses=errors(), response_model=None)
async def cancel(id: str, door: AtTheDoor, desk: AtTheDesk, caller: Anyone) -> Response:
    """End a job; what it had done by then is not saved."""
    return answer((await door.errands.run(lambda: desk.jobs.cancel(owner_of(caller), id))).shown())


@router.post("/v1/jobs/{id}/restart", status_code=202, responses=errors(409), response_model=None)
async def restart(id: str, door: AtTheDoor, desk: AtTheDesk, caller: Anyone) -> Response:
    """Begin a job again that failed, was cancelled or interrupted."""
    return answer((await door.errands.run(lambda: desk.jobs.restart(owner_of(caller), id))).shown(), 202)


@router.delete("/v1/jobs/{id}", responses=errors(409), response_model=None)
async def remove(id: str, door: AtTheDoor, desk: AtTheDesk, caller: Anyone) -> Response:
    """Forget a job that has ended, its upload too."""
    await door.errands.run(lambda: desk.jobs.remove(owner_of(caller), id))
    return answer({"object": "job.deleted", "id": id, "deleted": True})
