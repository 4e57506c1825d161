"""`iai route explain`."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.route.routers import cascade_of, router_options, routers_in

if TYPE_CHECKING:
    from interconnected_ai.routing import Fired
    from interconnected_ai.types import Request, Route, Router


@click.command("explain")
@click.argument("text")
@router_options
@click.option("--role", metavar="NAME", help="As a role token <|role=NAME|> before the text.")
@click.option("--prompt-id", metavar="ID", help="Of a prompt that is kept under a name.")
@click.option("--user", metavar="NAME", help="Who asks.")
@click.option(
    "--language", type=click.Choice(["Russian", "English", "other", "none"]), help="Default: told from the text."
)
@click.option(
    "--flag", "flags", multiple=True, metavar="NAME", help="What is known of the request; repeat for several."
)
@with_output
def command(
    text: str,
    rules: Path | None,
    routers: tuple[Path, ...],
    fallback: str | None,
    role: str | None,
    prompt_id: str | None,
    user: str | None,
    language: str | None,
    flags: tuple[str, ...],
    output: Output,
) -> None:
    """Who would answer TEXT, and why: every rule that fired, and what every router said.

    With --rules alone no model is loaded.
    """
    from interconnected_ai.types import Request

    request = Request(text, role, prompt_id, user=user, language=language, flags=frozenset(flags))
    asked = routers_in(rules, routers)
    fired = _fired(asked, request)
    (route,) = cascade_of(asked, fallback).route([request])
    if fired:
        output.table(
            "Rules that fired, the first one first",
            ["rule", "line", "priority", "does", "because"],
            [(*_named(each), _does(each), "; ".join(each.evidence) or "always") for each in fired],
        )
    if routers:
        output.table(
            "Routers in the order in which they are asked",
            ["router", "decides", "best", "score", "runner-up", "score", "why"],
            [_row(each) for each in route.considered],
        )
    chosen = route.expert or "nobody"
    output.say(f"{chosen}{' (fallback)' if route.is_fallback else ''}: {route.reason}")
    output.result({**_plain(route), "fired": [_told(each) for each in fired]})


def _fired(routers: "Sequence[Router]", request: "Request") -> "list[Fired]":
    from interconnected_ai.routing import RuleRouter

    return [each for router in routers if isinstance(router, RuleRouter) for each in router.fired(request)]


def _does(fired: "Fired") -> str:
    rule = fired.rule
    if rule.to is not None:
        return f"sends to {rule.to}"
    allows = [f"allows {', '.join(rule.allow)}"] if rule.allow else []
    denies = [f"denies {', '.join(rule.deny)}"] if rule.deny else []
    return "; ".join([*allows, *denies])


def _named(fired: "Fired") -> tuple[str, str, str]:
    return fired.rule.name, str(fired.rule.line), str(fired.rule.priority)


def _row(route: "Route") -> tuple[str, str, str, str, str, str, str]:
    best = [(each.expert, f"{each.score:.3f}") for each in route.experts[:2]]
    best += [("–", "–")] * (2 - len(best))
    decides = "yes" if route.expert is not None and not route.is_fallback else "no"
    return (route.router, decides, *best[0], *best[1], route.reason)


def _told(fired: "Fired") -> dict[str, Any]:
    rule = fired.rule
    return {
        "rule": rule.name,
        "line": rule.line,
        "priority": rule.priority,
        "to": rule.to,
        "allow": list(rule.allow),
        "deny": list(rule.deny),
        "because": list(fired.evidence),
    }


def _plain(route: "Route") -> dict[str, Any]:
    """A route as JSON has it."""
    return {
        "expert": route.expert,
        "experts": [asdict(each) for each in route.experts],
        "runner_up": None if route.runner_up is None else route.runner_up.expert,
        "reason": route.reason,
        "router": route.router,
        "abstains": route.abstains,
        "is_fallback": route.is_fallback,
        "barred": sorted(route.barred),
        "considered": [_plain(each) for each in route.considered],
    }
