"""A campaign's figures: share killed a room, survivors with their diffs; as a table and as JSON."""

from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import Any

from tools.mutants.campaign import Found
from tools.mutants.equivalent import Equivalent, reason
from tools.mutants.records import Record

COLUMNS = ("room", "mutants", "tried", "noticed", "by time", "equivalent", "survived", "share killed", "95 % interval")


def figures(found: Sequence[Found], equivalents: Sequence[Equivalent]) -> dict[str, Any]:
    """Everything, for JSON.

    share_killed = noticed / (tried − equivalent); its interval is Wilson's for a random sample (Wilson 1927).
    """
    return {"rooms": {one.room.name: _room(one, equivalents) for one in found}}


def rows(content: dict[str, Any]) -> list[list[str]]:
    """The table's cells, in the order of COLUMNS."""
    return [_cells(name, room) for name, room in content["rooms"].items()]


def markdown(content: dict[str, Any], command: str) -> str:
    """A page in the form of `docs/results`."""
    parts = ["# make mutants", *_head(content, command), _table(COLUMNS, rows(content))]
    for name, room in content["rooms"].items():
        for title, key in (("not noticed", "survivors"), ("equivalent", "equivalents")):
            if room[key]:
                parts += [f"## {name}: {title}", *(_shown(mutant) for mutant in room[key])]
    return "\n\n".join(parts) + "\n"


def wilson(hits: int, tries: int) -> tuple[float, float]:
    """The 95 % interval of a share from a random sample."""
    if not tries:
        return 0.0, 1.0
    z, share = 1.96, hits / tries
    middle = (share + z * z / (2 * tries)) / (1 + z * z / tries)
    half = z / (1 + z * z / tries) * sqrt(share * (1 - share) / tries + z * z / (4 * tries * tries))
    return max(0.0, middle - half), min(1.0, middle + half)


def _room(found: Found, equivalents: Sequence[Equivalent]) -> dict[str, Any]:
    noticed = [record for record in found.records if record.noticed]
    rest = [(record, reason(record.mutant, equivalents)) for record in found.records if not record.noticed]
    survivors = [record for record, why in rest if why is None]
    counted = len(noticed) + len(survivors)
    return {
        "num_mutants": found.num_mutants,
        "num_tried": len(found.records),
        "num_noticed": len(noticed),
        "num_timeouts": sum(record.outcome == "timeout" for record in noticed),
        "num_equivalent": len(rest) - len(survivors),
        "num_survived": len(survivors),
        "share_killed": len(noticed) / counted if counted else None,
        "interval": wilson(len(noticed), counted),
        "seconds": round(found.seconds, 1),
        "survivors": [_told(record) for record in survivors],
        "equivalents": [{**_told(record), "why": why} for record, why in rest if why is not None],
    }


def _told(record: Record) -> dict[str, Any]:
    mutant = record.mutant
    return {
        "path": mutant.path,
        "line": mutant.line,
        "function": mutant.function,
        "operator": mutant.operator,
        "before": mutant.before,
        "after": mutant.after,
        "outcome": record.outcome,
        "num_tests": record.num_tests,
        "diff": record.diff,
    }


def _cells(name: str, room: dict[str, Any]) -> list[str]:
    share = room["share_killed"]
    low, high = room["interval"]
    return [
        name,
        *(str(room[f"num_{key}"]) for key in ("mutants", "tried", "noticed", "timeouts", "equivalent", "survived")),
        "–" if share is None else f"{share:.3f}",
        f"{low:.2f}–{high:.2f}",
    ]


def _head(content: dict[str, Any], command: str) -> list[str]:
    machine = content["machine"]
    place = f"{machine['processor']}, {machine['cores']} cores, Python {machine['python']}"
    return [f"- date: {machine['date']}\n- machine: {place}\n- command: `{command}`"]


def _table(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown(mutant: dict[str, Any]) -> str:
    tests = f"{mutant['num_tests']} tests run it" if mutant["num_tests"] else "no test runs it"
    head = f"`{Path(mutant['path'])}:{mutant['line']}` {mutant['operator']}, {tests}"
    why = f" Equivalent: {mutant['why']}" if "why" in mutant else ""
    return f"{head}.{why}\n\n```diff\n{mutant['diff']}\n```"
