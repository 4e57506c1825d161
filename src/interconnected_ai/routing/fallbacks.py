"""Who stands in for an expert that cannot answer: a chain of names, which may not bite its own tail."""

from collections.abc import Iterator, Mapping

from interconnected_ai.errors import ConfigError


def stand_ins(expert: str, fallbacks: Mapping[str, str]) -> Iterator[str]:
    """Those who stand in for the expert, the nearest first."""
    seen = {expert}
    while (following := fallbacks.get(expert)) is not None and following not in seen:
        seen.add(following)
        yield following
        expert = following


def cycle_in(fallbacks: Mapping[str, str]) -> tuple[str, ...] | None:
    """Names of which each stands in for the one before, and the first for the last: ("a", "b", "a"). None without such."""
    for first in fallbacks:
        chain, at = [first], fallbacks[first]
        while at in fallbacks and at not in chain:
            chain.append(at)
            at = fallbacks[at]
        if at in chain:
            return (*chain[chain.index(at) :], at)
    return None


def check_fallbacks(fallbacks: Mapping[str, str]) -> None:
    """Raise `ConfigError` where the chain of an expert comes back to it."""
    if (cycle := cycle_in(fallbacks)) is not None:
        raise ConfigError(f"the fallbacks go in a circle: {' → '.join(cycle)}; end the chain at one of them")
