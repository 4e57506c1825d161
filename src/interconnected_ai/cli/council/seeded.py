"""What `iai council quickstart --experts N` says of the council that it made."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from interconnected_ai.cli.output import Output

if TYPE_CHECKING:
    from interconnected_ai.bench import SeededCouncil

_SHOWN = 12  # modules, the largest first
_KINDS = ("seed", "expert", "together")


def tell_seeded(done: "SeededCouncil", output: Output) -> None:
    """How well each expert knows its module, and what comes next."""
    rows = [(name, *_figures(found)) for name, found in list(done.bits_per_byte.items())[:_SHOWN]]
    rows.append(("mean of all", *_figures(done.means)))
    output.table("Bits per byte of each module's held-out documentation", ["", "the seed", "its expert", "both"], rows)
    output.say(*seeded_sentences(done), f"iai chat {done.council}", f'iai council route {done.council} "QUESTION"')
    output.result(done.to_dict())


def seeded_sentences(done: "SeededCouncil") -> list[str]:
    """What a person is told."""
    told = [
        f"{done.council}: {len(done.bits_per_byte)} experts and their seed, {done.num_params:,} parameters each; the seed read "
        f"{done.seed_share:.0%} of all tokens. {done.num_better} experts know their module better than the seed does",
        f"Made: {', '.join(done.made)}, in {done.seconds / 60:.1f} minutes"
        if done.made
        else "Everything stood there already",
    ]
    if done.router is not None:
        told.append(
            f"The router, asked about documentation that nobody learnt from: {done.router.accuracy or 0:.1%} to the right "
            "expert"
        )
    return told


def _figures(found: Mapping[str, float]) -> tuple[str, ...]:
    return tuple(f"{found[kind]:.3f}" for kind in _KINDS)
