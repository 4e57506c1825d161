"""`iai plan`: what something takes before it is built. A branches system, unless the first word names something else."""

import click

from interconnected_ai.cli.plan.models import expert, pool
from interconnected_ai.cli.plan.surgery import surgery
from interconnected_ai.cli.plan.system import system


class _Plan(click.Group):
    """A group whose default is to size a branches system."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in self.commands:
            args = ["system", *args]
        return super().parse_args(context, args)


@click.group("plan", cls=_Plan)
def command() -> None:
    """Size, price and compare."""


for _one in (system, expert, pool, surgery):
    command.add_command(_one)
