"""The council's experts in a pool: opened when they are first asked, within a budget that their shared bases are a part of."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from interconnected_ai.config import CouncilConfig, MemberConfig
from interconnected_ai.council.recollecting import RecollectedTexts
from interconnected_ai.errors import ConfigError, InterconnectedAIError
from interconnected_ai.experts import (
    Base,
    BatchLimits,
    BorrowedBase,
    ExpertCard,
    ExpertPool,
    TextExpert,
    expert_card,
    find_base,
    mapped_num_bytes,
    open_base,
    open_expert,
)
from interconnected_ai.planner import this_machine
from interconnected_ai.storage import state_of

_MEGABYTE = 1_000_000
_SHARE_BASES = ("torch", "torch-int4")  # engines on which adapters hold one base together
_RECOLLECTION = "recollection"
_LAID_OUT = 1.5  # weights of 4 bits in memory over those in their file, at worst, before the first load tells


def cards_of(members: Mapping[str, MemberConfig]) -> dict[str, ExpertCard | InterconnectedAIError]:
    """What each expert says of itself; for one that cannot be read, why."""
    return {name: card_at(member) for name, member in members.items()}


def card_at(member: MemberConfig) -> ExpertCard | InterconnectedAIError:
    """The same of one."""
    try:
        return expert_card(member.place)
    except InterconnectedAIError as error:
        return error


def pool_of(
    config: CouncilConfig,
    cards: Mapping[str, ExpertCard | InterconnectedAIError],
    *,
    batching: BatchLimits | None = None,
    recollected: RecollectedTexts | None = None,
) -> ExpertPool[TextExpert]:
    """A pool with every expert; nothing is loaded. batching: as `open_expert` has it.

    A base that adapters share is a part of each: loaded with the first of them, gone after the last. So is what all recollect
    (`recollected`, None: nothing). What may be lent with its
    weights mapped from their file is lent so first. Raises `ConfigError` for a budget that is less than a base takes.
    """
    pool: ExpertPool[TextExpert] = ExpertPool(_budget_bytes(config))
    if recollected is not None:
        pool.add_part(_RECOLLECTION, recollected.open, num_bytes=recollected.num_bytes)
    for name in config.experts:
        seat(pool.add, pool, config, cards, name, batching=batching, recollected=recollected)
    return pool


def seat(
    put: Callable[..., None],
    pool: ExpertPool[TextExpert],
    config: CouncilConfig,
    cards: Mapping[str, ExpertCard | InterconnectedAIError],
    name: str,
    *,
    batching: BatchLimits | None,
    recollected: RecollectedTexts | None,
) -> None:
    """Put one of the council's experts into the pool. put: `add` or `replace` of the pool, or what calls them."""
    member, card = config.experts[name], cards[name]
    read = () if recollected is None else (_RECOLLECTION,)
    if (shared := _shared_base(member, card, _stood_on(config, cards))) is not None:
        opener = partial(open_base, member.place, engine=_engine_of(member), batching=batching)
        parts = (*read, _part(pool, shared, _engine_of(member)))
        put(name, _recollecting(name, opener, recollected), num_bytes=0, key=_key(member), parts=parts)
        return
    light = _mapped_bytes(member, card)
    opening = partial(open_expert, member.place, engine=member.engine, batching=batching)
    put(
        name,
        _recollecting(name, opening, recollected),
        num_bytes=(card.num_bytes if isinstance(card, ExpertCard) else None) or 0,
        key=_key(member),
        parts=(*read, *_parts(pool, member, card)),
        mapped=None if light is None else _recollecting(name, partial(opening, mapped=True), recollected),
        mapped_bytes=light or 0,
    )


def _recollecting(
    name: str, opening: Callable[[], TextExpert], recollected: RecollectedTexts | None
) -> Callable[[], TextExpert]:
    return opening if recollected is None else recollected.joined(name, opening)


def _mapped_bytes(member: MemberConfig, card: ExpertCard | InterconnectedAIError) -> int | None:
    return mapped_num_bytes(member.place, member.engine) if isinstance(card, ExpertCard) else None


def _parts(
    pool: ExpertPool[TextExpert], member: MemberConfig, card: ExpertCard | InterconnectedAIError
) -> tuple[str, ...]:
    """The base of an adapter, which the pool then knows; none where the engine's servers share its file, or it is not found."""
    engine = _engine_of(member)
    if not isinstance(card, ExpertCard) or card.kind != "adapter" or card.base is None or engine not in _SHARE_BASES:
        return ()
    try:
        base = find_base(card.base)
    except InterconnectedAIError:  # the adapter will say why when it is asked
        return ()
    return (_part(pool, base, engine),)


def _part(pool: ExpertPool[TextExpert], base: Base, engine: str) -> str:
    """The base as a part that the pool knows. Raises `ConfigError` where the budget is less than it takes."""
    key = f"base {base.sha256[:12]} on {engine}"
    num_bytes, budget = _base_bytes(base, engine), pool.stats().budget_bytes
    if num_bytes > budget:
        raise ConfigError(
            f"budget_mb={budget / _MEGABYTE:,.0f} is less than {base.name}, the base of adapters, takes "
            f"({num_bytes / _MEGABYTE:,.0f} MB on {engine}); raise it"
        )
    pool.add_part(key, partial(_borrowed, base, engine), num_bytes=num_bytes)
    return key


def _stood_on(config: CouncilConfig, cards: Mapping[str, ExpertCard | InterconnectedAIError]) -> set[tuple[str, str]]:
    """(SHA-256, engine) of every base that adapters of the council stand on."""
    adapters = ((member, cards[name]) for name, member in config.experts.items())
    return {
        (card.base_sha256, _engine_of(member))
        for member, card in adapters
        if isinstance(card, ExpertCard) and card.kind == "adapter" and card.base_sha256
    }


def _shared_base(
    member: MemberConfig, card: ExpertCard | InterconnectedAIError, stood_on: set[tuple[str, str]]
) -> Base | None:
    """The base that this expert is, where adapters beside it stand on it on the same engine: then it is in memory once."""
    if not stood_on or not isinstance(card, ExpertCard) or card.kind not in ("gguf", "causal"):
        return None
    if member.engine is None and card.kind == "gguf":
        return None  # llama.cpp runs it
    try:
        base = find_base(member.place)
    except InterconnectedAIError:  # it will say why when it is asked
        return None
    return base if (base.sha256, _engine_of(member)) in stood_on else None


def _engine_of(member: MemberConfig) -> str:
    """That of an adapter or a base as a council has it."""
    return "torch" if member.engine in (None, "auto") else str(member.engine)


def _base_bytes(base: Base, engine: str) -> int:
    """What a base is likely to take: float32 weights on torch."""
    num_params = expert_card(base.path).num_params if engine == "torch" else None
    return 4 * num_params if num_params else int(base.num_bytes * _LAID_OUT)


def _borrowed(base: Base, engine: str) -> BorrowedBase:
    return BorrowedBase(base, engine=engine)


def _key(member: MemberConfig) -> str:
    """Two names of one place, on one engine, are one expert, as long as what stands there is the same."""
    place = Path(member.place)
    there = f"{place.resolve()} {state_of(place)}" if place.exists() else member.place
    return f"{there} on {member.engine or 'its own engine'}"


def _budget_bytes(config: CouncilConfig) -> int:
    if config.budget_mb is not None:
        return int(config.budget_mb * _MEGABYTE)
    return this_machine().memory_bytes // 2
