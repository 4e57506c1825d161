"""Who goes so that others find room: choices among entries. They change nothing."""

from collections.abc import Collection, Mapping

from interconnected_ai.experts.pool.entries import Entry, State

Entries = Mapping[str, Entry]


def leaving_bytes(entries: Entries) -> int:
    """Of those who are being unloaded."""
    return sum(entry.num_bytes for entry in entries.values() if entry.state is State.UNLOADING)


def victims(entries: Entries, num_bytes: int, kept: Collection[str], now: int) -> list[str] | None:
    """Who goes so that so many bytes become free, whom it costs least; None if all together are not enough.

    A part comes after what stands on it, and may go when that has gone. kept: who stay. now: in requests.
    """
    chosen: list[str] = []
    if num_bytes <= 0:
        return chosen
    dependents = {key: entry.num_dependents for key, entry in entries.items()}
    for entry in entries.values():
        if entry.state is State.UNLOADING:
            for part in entry.parts:
                dependents[part] -= 1
    ready = {key for key, entry in entries.items() if entry.may_go and not dependents[key]}.difference(kept)
    freed = 0
    while freed < num_bytes:
        if not ready:
            return None
        key = min(ready, key=lambda one: (entries[one].wanted, entries[one].cost(now), one))
        ready.remove(key)
        chosen.append(key)
        freed += entries[key].num_bytes
        for part in entries[key].parts:
            dependents[part] -= 1
            if entries[part].may_go and not dependents[part] and part not in kept:
                ready.add(part)
    return _without_needless(entries, chosen, freed - num_bytes)


def _without_needless(entries: Entries, chosen: list[str], spare_bytes: int) -> list[str]:
    """Small ones may have become needless by a large one after them; not those that a part waits for."""
    needed = list(chosen)
    for key in chosen:
        entry = entries[key]
        if entry.num_bytes <= spare_bytes and not set(entry.parts) & set(chosen):
            needed.remove(key)
            spare_bytes -= entry.num_bytes
    return needed


def colder(entries: Entries, num_bytes: int, limit: float, now: int) -> list[str] | None:
    """Idle hot forms that cost less than the limit to do without and free so many bytes; None if they are not enough."""
    chosen: list[str] = []
    costs = sorted((entry.cost(now), key) for key, entry in entries.items() if entry.is_hot and entry.is_idle)
    for cost, key in costs:
        if num_bytes <= 0 or cost > limit:
            break
        chosen.append(key)
        num_bytes -= entries[key].num_bytes
    return chosen if num_bytes <= 0 else None
