"""`GET /v1/monitor`: how the server fares, as figures that a page can show; /metrics has them all, for Prometheus."""

from typing import Any

from fastapi import APIRouter, Response

from interconnected_ai.serving.door import Admin, AtTheDoor, Door, errors
from interconnected_ai.serving.own.answers import answer

router = APIRouter(tags=["health"])


@router.get("/v1/monitor", responses=errors(), response_model=None)
async def monitor(door: AtTheDoor, caller: Admin) -> Response:
    """The last minutes: seconds of requests, tokens a second, faults; and what is being answered and waits now."""
    experts = await door.errands.run(lambda: _pools(door))
    return answer({"object": "monitor", **door.counters.recent(), **_lanes(door), "experts": experts})


def _lanes(door: Door) -> dict[str, Any]:
    lane = door.answers
    running = min(lane.num_admitted, lane.max_at_once)
    return {
        "answers": {"running": running, "waiting": lane.num_waiting, "max_at_once": lane.max_at_once},
        "utilisation": running / lane.max_at_once,
    }


def _pools(door: Door) -> dict[str, Any]:
    stats = [pool.stats() for pool in door.hall.pools.values()]
    return {
        "used_bytes": sum(each.used_bytes for each in stats), "budget_bytes": sum(each.budget_bytes for each in stats),
    }  # fmt: skip
