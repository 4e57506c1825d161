"""`/v1/experts`: who is in memory and what they take; loaded, unloaded and pinned by hand."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Response

from interconnected_ai.errors import UnknownNameError
from interconnected_ai.experts import ExpertPool, TextExpert
from interconnected_ai.serving.door import Admin, Anyone, AtTheDoor, Door, errors
from interconnected_ai.serving.faults import Refusal
from interconnected_ai.serving.own.answers import answer
from interconnected_ai.serving.schemas import Body

router = APIRouter(tags=["experts"])
_LOAD_SECONDS = 300.0


class PinRequest(Body):
    """pinned: whether it stays in memory, once it is there."""

    pinned: bool = True


@router.get("/v1/experts", responses=errors(), response_model=None)
async def experts(door: AtTheDoor, caller: Anyone) -> Response:
    """Every expert and every pool, in bytes, loads, hits and evictions."""
    return answer(await door.errands.run(lambda: _listed(door)))


@router.get("/v1/experts/{name:path}", responses=errors(), response_model=None)
async def expert(name: str, door: AtTheDoor, caller: Anyone) -> Response:
    """One expert."""
    return answer(await door.errands.run(lambda: _told(door, name)))


@router.post("/v1/experts/{name:path}/load", responses=errors(), response_model=None)
async def load(name: str, door: AtTheDoor, caller: Admin) -> Response:
    """Have it in memory, others going where there is no room. Answers when it is there."""
    _, pool = _pool_of(door, name)

    def come() -> dict[str, Any]:
        with pool.borrow(name, timeout_seconds=min(_LOAD_SECONDS, door.config.max_seconds)):
            return _told(door, name)

    return answer(await door.answers.run(come))


@router.post("/v1/experts/{name:path}/unload", responses=errors(409), response_model=None)
async def unload(name: str, door: AtTheDoor, caller: Admin) -> Response:
    """Let it go from memory; 409 while somebody has it, or it is pinned. What is not there is let go already."""
    _, pool = _pool_of(door, name)

    def go() -> dict[str, Any]:
        if not pool.unload(name):
            state = pool.stats().experts[name]
            if state.pinned or state.num_borrowers or state.state == "loading":
                why = "is pinned; take the pin off first" if state.pinned else "is in use; try again when it is not"
                raise Refusal(409, f"the expert {name!r} {why}", code="in_use", param="name")
        return _told(door, name)

    return answer(await door.errands.run(go))


@router.post("/v1/experts/{name:path}/pin", responses=errors(408), response_model=None)
async def pin(name: str, asked: PinRequest, door: AtTheDoor, caller: Admin) -> Response:
    """Keep it in memory once it is there, or let it go again when room is needed."""
    _, pool = _pool_of(door, name)

    def keep() -> dict[str, Any]:
        pool.pin(name, asked.pinned)
        return _told(door, name)

    return answer(await door.errands.run(keep))


def _pool_of(door: Door, name: str) -> tuple[str, ExpertPool[TextExpert]]:
    known: list[str] = []
    for title, pool in door.hall.pools.items():
        if name in pool.names:
            return title, pool
        known += pool.names
    raise UnknownNameError("expert", name, known)


def _told(door: Door, name: str) -> dict[str, Any]:
    title, pool = _pool_of(door, name)
    return {"object": "expert", "id": name, "pool": title, **asdict(pool.stats().experts[name])}


def _listed(door: Door) -> dict[str, Any]:
    data, pools = [], {}
    for title, pool in door.hall.pools.items():
        stats = pool.stats()
        data += [
            {"object": "expert", "id": name, "pool": title, **asdict(each)} for name, each in stats.experts.items()
        ]
        whole = {field: value for field, value in asdict(stats).items() if field != "experts"}
        pools[title] = {**whole, "hit_rate": stats.hit_rate}
    council = door.hall.council
    ailments = {} if council is None else council.wellness.ailments()
    return {
        "object": "list", "data": data, "pools": pools,
        "set_aside": {name: ailment.reason for name, ailment in ailments.items()},
    }  # fmt: skip
