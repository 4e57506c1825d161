"""Who answers a request: rules, learned routers, nearest examples, likelihoods, and the cascade of them.

A router turns each `Request` into a `Route`. Public names are found on first use (PEP 562): rules load no model and no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interconnected_ai.routing.cascade import Cascade
    from interconnected_ai.routing.classifier import ClassifierRouter
    from interconnected_ai.routing.evaluation import RouterMetrics, evaluate_router, latencies, measured, percentile
    from interconnected_ai.routing.examples import Example, ExpertCard
    from interconnected_ai.routing.learned import LearnedRouter
    from interconnected_ai.routing.likelihood import LikelihoodRouter
    from interconnected_ai.routing.requests import understood
    from interconnected_ai.routing.router_folder import encoder_of_router, kind_of_router
    from interconnected_ai.routing.rule_file import read_rules
    from interconnected_ai.routing.rule_router import Fired, RuleRouter
    from interconnected_ai.routing.rules import Conditions, Rule, RuleBook
    from interconnected_ai.routing.semantic import SemanticRouter

_FILES = {
    "Cascade": "cascade",
    "ClassifierRouter": "classifier",
    "Conditions": "rules",
    "Example": "examples",
    "ExpertCard": "examples",
    "Fired": "rule_router",
    "LearnedRouter": "learned",
    "LikelihoodRouter": "likelihood",
    "RouterMetrics": "evaluation",
    "Rule": "rules",
    "RuleBook": "rules",
    "RuleRouter": "rule_router",
    "SemanticRouter": "semantic",
    "encoder_of_router": "router_folder",
    "evaluate_router": "evaluation",
    "kind_of_router": "router_folder",
    "latencies": "evaluation",
    "measured": "evaluation",
    "percentile": "evaluation",
    "read_rules": "rule_file",
    "understood": "requests",
}

__all__ = [
    "Cascade",
    "ClassifierRouter",
    "Conditions",
    "Example",
    "ExpertCard",
    "Fired",
    "LearnedRouter",
    "LikelihoodRouter",
    "RouterMetrics",
    "Rule",
    "RuleBook",
    "RuleRouter",
    "SemanticRouter",
    "encoder_of_router",
    "evaluate_router",
    "kind_of_router",
    "latencies",
    "measured",
    "percentile",
    "read_rules",
    "understood",
]


def __getattr__(name: str) -> Any:
    """Import the file that holds `name` the first time somebody asks for it."""
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FILES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
