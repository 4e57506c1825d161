"""The council's experts in a pool: opened when they are first asked, within a budget that their shared bases are counted in."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from interconnected_ai.config import CouncilConfig, MemberConfig
from interconnected_ai.errors import ConfigError, InterconnectedAIError
from interconnected_ai.experts import ExpertCard, ExpertPool, TextExpert, expert_card, find_base, open_expert
from interconnected_ai.planner import this_machine

_MEGABYTE = 1_000_000
_LAID_OUT = 4  # weights in memory over those in a file of 4 or 8 bits, at worst, before the first load tells


def cards_of(members: Mapping[str, MemberConfig]) -> dict[str, ExpertCard | InterconnectedAIError]:
    """What each expert says of itself; for one that cannot be read, why."""
    found: dict[str, ExpertCard | InterconnectedAIError] = {}
    for name, member in members.items():
        try:
            found[name] = expert_card(member.place)
        except InterconnectedAIError as error:
            found[name] = error
    return found


def pool_of(config: CouncilConfig, cards: Mapping[str, ExpertCard | InterconnectedAIError]) -> ExpertPool[TextExpert]:
    """A pool with every expert; nothing is loaded. Raises `ConfigError` for a budget that the shared bases alone take up."""
    budget = _budget_bytes(config) - _bytes_of_bases(cards)
    if budget < 1:
        raise ConfigError(
            f"budget_mb={_budget_bytes(config) / _MEGABYTE:,.0f} is less than the bases of the adapters take; raise it"
        )
    pool: ExpertPool[TextExpert] = ExpertPool(budget)
    for name, member in config.experts.items():
        card = cards[name]
        stored = card.num_bytes if isinstance(card, ExpertCard) else None
        pool.add(
            name, partial(open_expert, member.place, engine=member.engine), num_bytes=stored or 0, key=_key(member)
        )
    return pool


def _key(member: MemberConfig) -> str:
    """Two names of one place, on one engine, are one expert."""
    place = Path(member.place)
    return f"{place.resolve() if place.exists() else member.place} on {member.engine or 'its own engine'}"


def _budget_bytes(config: CouncilConfig) -> int:
    if config.budget_mb is not None:
        return int(config.budget_mb * _MEGABYTE)
    return this_machine().memory_bytes // 2


def _bytes_of_bases(cards: Mapping[str, ExpertCard | InterconnectedAIError]) -> int:
    """What the bases of adapters take once they are there; each counts once."""
    bases = {
        card.base for card in cards.values() if isinstance(card, ExpertCard) and card.kind == "adapter" and card.base
    }
    total = 0
    for base in bases:
        try:
            total += find_base(base).num_bytes * _LAID_OUT
        except InterconnectedAIError:  # its adapters will say why when they are asked
            continue
    return total
