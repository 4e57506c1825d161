"""`iai council init`."""

from pathlib import Path

import click

from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.outputs import OutputPath, Source, overwrite_option
from interconnected_ai.errors import DataError, UnknownNameError

_SUFFIXES = (".yaml", ".yml")


@click.command("init")
@click.argument("places", nargs=-1, type=Source(), metavar="[PLACE]...")
@click.option(
    "--output", "file", type=OutputPath(*_SUFFIXES, may_lie_inside=_SUFFIXES), default=Path("council.yaml"),
    show_default=True, metavar="FILE.yaml", help="The council to write.",
)  # fmt: skip
@click.option(
    "--fallback", metavar="NAME", help="Who answers where nobody is sure.  [default: smollm2, or the first expert]"
)
@click.option("--memory", metavar="FILE", default="council.db", show_default=True, help="Where it remembers.")
@overwrite_option
@with_output
def command(places: tuple[str, ...], file: Path, fallback: str | None, memory: str, output: Output) -> None:
    """Write the council of the experts in every PLACE: a folder with experts, an expert, a GGUF file, smollm2.

    Without a PLACE it is the folder `experts`. An expert is called as its folder is.
    """
    from interconnected_ai.config import CouncilConfig
    from interconnected_ai.storage import atomic_file

    found = _experts_in(places or ("experts",), file.resolve().parent)
    default = "smollm2" if "smollm2" in found else next(iter(found))
    if fallback is not None and fallback not in found:
        raise UnknownNameError("expert", fallback, found)
    named = fallback or default
    settings = {
        "experts": {name: {"place": place} for name, place in found.items()},
        "fallback": named, "seed": named, "memory": memory,
    }  # fmt: skip
    config = CouncilConfig.from_mapping(settings, source="iai council init")
    with atomic_file(file) as scratch:
        scratch.write_text(_HEADER + config.to_yaml(), encoding="utf-8")
    output.result({"council": str(file), "experts": found, "fallback": named})
    output.note(f"In {file}: {', '.join(found)}; {named} answers where nobody is sure")
    if (described := _num_described(places or ("experts",))) < 2:
        output.note(
            f"Routers know {described or 'none'} of them: until two have a description or examples, or there are rules or "
            f"routers, {named} answers everything"
        )
    output.note(f"iai chat {file}")


_HEADER = (
    "# A council: iai chat FILE talks with it. Add a description and examples to an expert, and routers know it better;\n"
    "# rules: a file of rules, routers: folders that iai route train wrote. Every key: docs/council.md\n"
)


def _experts_in(places: tuple[str, ...], home: Path) -> dict[str, str]:
    """Name → place, as the file in `home` says it. Raises `DataError` where there is nobody, or two of one name."""
    from interconnected_ai.experts import expert_card, experts_in

    found: dict[str, str] = {}
    for place in places:
        path = Path(place).expanduser()
        if path.is_dir():
            listed = {inside.resolve().name: _seen_from(home, inside) for _, inside in experts_in(path)}
            if not listed:
                raise DataError(
                    f"{place} holds no expert; name a folder that does, such as that of iai expert quickstart"
                )
        else:
            expert_card(place)  # raises for what is none
            listed = {path.stem if path.is_file() else place: _seen_from(home, path) if path.is_file() else place}
        if twice := [name for name in listed if name in found]:
            raise DataError(
                f"two experts are called {twice[0]!r}: {found[twice[0]]} and {listed[twice[0]]}; rename a folder"
            )
        found |= listed
    return found


def _num_described(places: tuple[str, ...]) -> int:
    """Experts whose cards hold requests that they should answer."""
    from interconnected_ai.experts import expert_card, experts_in

    number = 0
    for place in places:
        path = Path(place).expanduser()
        listed = [inside for _, inside in experts_in(path)] if path.is_dir() else [place]
        number += sum(bool(expert_card(one).examples) for one in listed)
    return number


def _seen_from(home: Path, place: Path) -> str:
    there = place.resolve()
    return str(there.relative_to(home)) if there.is_relative_to(home) else str(there)
