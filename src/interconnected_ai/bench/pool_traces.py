"""Who is asked for in which order, and how many of those who ask find it in memory: the pool's ledger, LRU, and Belady."""

import random
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence

from interconnected_ai.experts import Ledger, Load, Unload

MIXES = ("uniform", "zipf", "cyclic", "bursts")
_TALKING, _TURNS = 4, 8  # conversations at a time, and turns of each with one expert


def names_of(num_experts: int) -> list[str]:
    """Of experts in a trace."""
    return [f"e{number:03d}" for number in range(num_experts)]


def trace_of(mix: str, num_experts: int, num_borrows: int, seed: int = 0) -> list[str]:
    """Names of experts in the order in which they are asked for.

    uniform: each as likely. zipf: the r-th likeliest with a weight of 1/r. cyclic: one after the other, the worst that the
    least recently used can be given. bursts: four conversations at a time, each with one expert for eight turns on average.
    """
    draw = random.Random(f"{mix} {num_experts} {seed}")
    names = names_of(num_experts)
    weights = [1 / (rank + 1) for rank in range(num_experts)]
    draw.shuffle(names)
    if mix == "uniform":
        return draw.choices(names, k=num_borrows)
    if mix == "zipf":
        return draw.choices(names, weights, k=num_borrows)
    if mix == "cyclic":
        return [names[number % num_experts] for number in range(num_borrows)]
    talking = draw.choices(names, weights, k=_TALKING)
    found = []
    for _ in range(num_borrows):
        place = draw.randrange(_TALKING)
        if draw.random() < 1 / _TURNS:
            talking[place] = draw.choices(names, weights)[0]
        found.append(talking[place])
    return found


def ledger_hits(trace: Sequence[str], budget_bytes: int, sizes: Mapping[str, int]) -> float:
    """The share that finds its expert in memory where the pool's ledger decides; one borrower at a time, equal load times."""
    ledger = Ledger(budget_bytes)
    for name, num_bytes in sizes.items():
        ledger.register(name, num_bytes)
    for name in trace:
        ticket, actions = ledger.ask(name)
        waiting = deque(actions)
        while waiting:
            match waiting.popleft():
                case Load(key):
                    waiting.extend(ledger.loaded(key, sizes[key], 1.0))
                case Unload(key):
                    waiting.extend(ledger.unloaded(key))
        ledger.returned(ticket)
    return ledger.num_hits / len(trace)


def lru_hits(trace: Sequence[str], capacity: int) -> float:
    """The same where the least recently used goes, and so many fit."""
    there: OrderedDict[str, None] = OrderedDict()
    num_hits = 0
    for name in trace:
        num_hits += name in there
        there[name] = None
        there.move_to_end(name)
        if len(there) > capacity:
            there.popitem(last=False)
    return num_hits / len(trace)


def belady_hits(trace: Sequence[str], capacity: int) -> float:
    """The same for one who knows the future: whoever is needed last goes (Belady 1966), the best that can be."""
    next_use: list[int] = [len(trace)] * len(trace)
    latest: dict[str, int] = {}
    for place in range(len(trace) - 1, -1, -1):
        next_use[place] = latest.get(trace[place], len(trace))
        latest[trace[place]] = place
    there: dict[str, int] = {}
    num_hits = 0
    for place, name in enumerate(trace):
        num_hits += name in there
        if name not in there and len(there) >= capacity:
            del there[max(there, key=lambda one: there[one])]
        there[name] = next_use[place]
    return num_hits / len(trace)
