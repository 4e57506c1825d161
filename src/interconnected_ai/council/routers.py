"""The council's router as its config describes it: rules, learned routers, the experts' cards, one after another."""

from collections.abc import Callable, Mapping

from interconnected_ai.config import CouncilConfig
from interconnected_ai.council.asking import AskingRouter
from interconnected_ai.errors import ConfigError, InterconnectedAIError
from interconnected_ai.experts import ExpertCard, ExpertPool, TextExpert
from interconnected_ai.routing import Cascade, LearnedRouter, RuleRouter, SemanticRouter, kind_of_router
from interconnected_ai.routing import ExpertCard as RoutingCard
from interconnected_ai.types import Encode, Router


def cascade_of(
    config: CouncilConfig,
    cards: Mapping[str, ExpertCard | InterconnectedAIError],
    is_available: Callable[[str], bool],
    pool: ExpertPool[TextExpert],
) -> Cascade:
    """The routers that the config names, in their order. Raises `ConfigError` for rules that name nobody of the council."""
    routers: list[Router] = []
    fallbacks = dict(config.fallbacks)
    if config.rules is not None:
        rules = RuleRouter.from_file(config.rules, experts=list(config.experts))
        routers.append(rules)
        fallbacks = {**dict(rules.book.fallbacks), **fallbacks}
    described = routing_cards(config, cards) if config.semantic else []
    if config.routers or len(described) > 1:
        encode = _encoder(config)
        routers += [_saved(folder, encode, config) for folder in config.routers]
        if len(described) > 1:
            routers.append(SemanticRouter.fit(described, encode))
    if config.likelihood:
        knows_best = next((one for one in routers[::-1] if not isinstance(one, RuleRouter)), None)
        routers.append(
            AskingRouter(
                pool, list(config.experts), most=config.likelihood, prior=knows_best, always=[config.fallback],
                weight=config.likelihood_weight, wait_seconds=config.wait_seconds,
            )
        )  # fmt: skip
    return Cascade(
        routers, config.fallback, fallbacks=fallbacks, switching_cost=config.switching_cost, is_available=is_available
    )


def routing_cards(config: CouncilConfig, cards: Mapping[str, ExpertCard | InterconnectedAIError]) -> list[RoutingCard]:
    """What routers read of each expert: the config's words, then its card's examples; those of whom nothing is said are not."""
    found = []
    for name, member in config.experts.items():
        card = cards.get(name)
        own = card.examples if isinstance(card, ExpertCard) else ()
        examples = tuple(dict.fromkeys((*member.examples, *own)))
        if member.description or examples:
            found.append(RoutingCard(name, member.description, examples))
    return found


def _saved(folder: str, encode: Encode, config: CouncilConfig) -> Router:
    kind = kind_of_router(folder)
    made: LearnedRouter | SemanticRouter
    if kind == "learned":
        made = LearnedRouter.from_pretrained(folder, encode)
        names: tuple[str, ...] = tuple(made.settings.experts)
    else:
        made = SemanticRouter.from_pretrained(folder, encode)
        names = tuple(card.expert for card in made.cards)
    if unknown := [name for name in names if name not in config.experts]:
        raise ConfigError(
            f"the router {folder} knows the expert {unknown[0]!r}, the council has {', '.join(config.experts)}; train it anew, "
            "or name the expert"
        )
    return made


def _encoder(config: CouncilConfig) -> Encode:
    from interconnected_ai.branches import Encoder, TextVectors

    return TextVectors(Encoder.load(config.encoder))
