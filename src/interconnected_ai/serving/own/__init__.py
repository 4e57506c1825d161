"""The server's own dialect: classification, branches, memory, routes, experts, plans, feedback, conversations and jobs."""

from fastapi import APIRouter

from interconnected_ai.serving.own import (
    branches,
    classify,
    conversations,
    experts,
    feedback,
    jobs,
    memory,
    monitor,
    plan,
    route,
)
from interconnected_ai.serving.own.desk import Desk

_PARTS = (classify, branches, route, experts, memory, plan, feedback, conversations, jobs, monitor)
router = APIRouter(routes=[each for part in _PARTS for each in part.router.routes])

__all__ = ["Desk", "router"]
