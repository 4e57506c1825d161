"""schemathesis over the description of the API, on a server that runs: what is no answer that the description allows."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interconnected_ai.bench.serving.generation import ExpertSizes
from interconnected_ai.bench.serving.household import household
from interconnected_ai.bench.serving.processes import iai_serve
from interconnected_ai.extras import require

# Held by every answer. What a schema cannot say (a branch that is not there, an empty question) is refused with 400 and 404,
# so whether data that fits the schema is accepted is not asked.
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "response_headers_conformance",
)  # fmt: skip
_FINE = ["2xx", "4xx", "503"]


@dataclass(frozen=True)
class FuzzSizes:
    """examples: drawn for each operation. edges: whether the edges of every value are tried too, some hundreds an operation.
    seconds: of all of it, at most; None is as long as it takes.
    """

    examples: int = 25
    edges: bool = True
    seconds: int | None = 60
    seed: int = 1


def measure_fuzz(home: Path, expert: ExpertSizes, sizes: FuzzSizes, say: Callable[[str], object]) -> dict[str, Any]:
    """fuzz_failures, fuzz_cases; fuzz_found: what was wrong, an example of each kind."""
    made = household(home, expert)
    with iai_serve(home, made.places, {"max_new_tokens": 16, "max_seconds": 10, "body_seconds": 5}) as server:
        say("schemathesis over the description of the API")
        num_cases, found = fuzz(server.address, sizes)
    return {"fuzz_failures": len(found), "fuzz_cases": num_cases, "fuzz_found": found[:20]}


def fuzz(address: str, sizes: FuzzSizes) -> tuple[int, list[str]]:
    """(number of requests, what was wrong) of every operation of a server."""
    require("schemathesis", "dev", "fuzzing")
    import schemathesis
    from schemathesis.engine import events, from_schema

    checks: dict[str, Any] = {"enabled": False, **{name: {"enabled": True} for name in CHECKS}}
    checks["not_a_server_error"]["expected-statuses"] = _FINE
    bound = {} if sizes.seconds is None else {"max-time": sizes.seconds}
    config = schemathesis.Config.from_dict({
        "seed": sizes.seed, "continue-on-failure": True, **bound,
        "generation": {"max-examples": sizes.examples, "no-shrink": True, "deterministic": True, "database": "none"},
        "checks": checks, "request-timeout": 60,
        "phases": {"stateful": {"enabled": False}, "coverage": {"enabled": sizes.edges}},
    })  # fmt: skip
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json", config=config)
    found: list[str] = []
    num_cases = 0
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            num_cases += len(event.recorder.cases)
            found += [
                f"{event.recorder.label}: {check.name}: {check.failure_info.failure.message}"[:500]
                for nodes in event.recorder.checks.values()
                for check in nodes
                if check.failure_info is not None
            ]
        elif isinstance(event, events.NonFatalError):
            found.append(f"{event.label}: {event.value}"[:500])
        elif isinstance(event, events.FatalError):
            raise RuntimeError(f"schemathesis gave up: {event.exception}") from event.exception
    return num_cases, found
