"""Which device is meant: names as people write them. Case, blanks, hyphens and "NVIDIA" do not count."""

import re
from collections.abc import Iterable

from interconnected_ai.planner.devices.device import Device


def named(name: str, rows: Iterable[Device]) -> Device | None:
    """The device one of whose names this is."""
    wanted = compacted(name)
    return next((d for d in rows if wanted in (compacted(known) for known in (d.name, *d.aliases))), None)


def with_part(name: str, rows: Iterable[Device]) -> list[Device]:
    """The devices one of whose names has all words of `name`."""
    wanted = _words(name)
    return [d for d in rows if wanted and any(wanted <= _words(known) for known in (d.name, *d.aliases))]


def compacted(name: str) -> str:
    """The letters and digits of a name alone."""
    return "".join(re.findall(r"[^\W_]", name.casefold())).removeprefix("nvidia")


def _words(name: str) -> frozenset[str]:
    return frozenset(re.findall(r"[^\W_]+", name.casefold())) - {"nvidia"}
