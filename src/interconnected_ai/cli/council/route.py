"""`iai council route`."""

from pathlib import Path

import click

from interconnected_ai.cli.output import Output, with_output


@click.command("route")
@click.argument("council", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("question")
@click.option("--role", metavar="NAME", help="As a role token <|role=NAME|> before the question.")
@with_output
def command(council: Path, question: str, role: str | None, output: Output) -> None:
    """Who of COUNCIL would answer QUESTION, and why; no expert is loaded."""
    from interconnected_ai.council import Council

    with Council.from_config(council) as opened:
        route = opened.route(question, role=role)
    output.table(
        "Who would answer", ["expert", "score"], [(each.expert, f"{each.score:.3f}") for each in route.experts]
    )
    output.step(route.reason)
    output.result(
        {
            "expert": route.expert,
            "scores": {each.expert: each.score for each in route.experts},
            "reason": route.reason,
            "router": route.router,
            "is_fallback": route.is_fallback,
        }
    )
