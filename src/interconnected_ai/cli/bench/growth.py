"""`iai bench growth`."""

import click

from interconnected_ai.cli.output import Output, with_output


@click.command("growth")
@click.option(
    "--room", "rooms", multiple=True, metavar="ROOM", help="The verbs of this room; several times; default: all."
)
@click.option(
    "--repeats", default=3, show_default=True, type=click.IntRange(min=1), help="The least of so many counts."
)
@click.option(
    "--minutes", default=10.0, show_default=True, type=click.FloatRange(min=0), help="Verbs after that are left out."
)
@with_output
def command(rooms: tuple[str, ...], repeats: int, minutes: float, output: Output) -> None:
    """How the work of every public verb grows with its input: CPU time at 1 ×, 2 × and 4 ×, and the exponent."""
    from interconnected_ai.bench import GROWTH_ROOMS, bench_growth
    from interconnected_ai.errors import UnknownNameError

    for room in rooms:
        if room not in GROWTH_ROOMS:
            raise UnknownNameError("room", room, GROWTH_ROOMS)
    found = bench_growth(rooms=rooms, repeats=repeats, minutes=minutes)
    output.table(
        f"Exponents (goal: none above {found['limit']})",
        ["room", "verb, what grows", "1 ×", "exponent", "s at 1 ×", "s at 4 ×"],
        [
            (
                each["room"],
                each["verb"],
                each["sizes"][0],
                each["exponent"],
                each["cpu_seconds"][0],
                each["cpu_seconds"][-1],
            )
            for each in found["verbs"]
        ],
    )
    if found["over"]:
        output.say(f"Above {found['limit']}: {'; '.join(found['over'])}")
    if found["not_reached"]:
        output.say(f"Not reached in {minutes:g} minutes: {'; '.join(found['not_reached'])}")
    output.result(found)
