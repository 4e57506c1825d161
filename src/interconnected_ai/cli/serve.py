"""`iai serve [PLACE…]`: councils, experts and systems behind HTTP, for programs that speak OpenAI's dialect or Anthropic's."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interconnected_ai.cli.failures import Stopped
from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.outputs import Source
from interconnected_ai.errors import DataError

if TYPE_CHECKING:
    from interconnected_ai.config import ServingConfig
    from interconnected_ai.serving import Ending

DEFAULT_KEYS = Path("iai-keys.json")
DEFAULT_STATE = Path("iai-serving")
# What `iai council init` and the quickstarts write → the command that makes it, and goes on where that was broken off.
_USUAL = {
    "council.yaml": "iai council init",
    "council/council.yaml": "iai council quickstart",
    "experts": "iai expert quickstart --overwrite",
    "runs/quickstart": "iai quickstart --overwrite",
}
_COUNCILS = ("council.yaml", "council/council.yaml")
_EMBEDDED = "smollm2"


@click.command("serve")
@click.argument("places", nargs=-1, type=Source(), metavar="[PLACE]...")
@click.option(
    "--config", "file", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE",
    help="Settings of the server, YAML or JSON: limits, names, certificates.",
)  # fmt: skip
@click.option("--host", help="Where it listens; any address but this machine's own needs a key.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65_535), help="0: a free one.  [default: 8000]")
@click.option(
    "--keys", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help=f"The API keys that iai key wrote.  [default: {DEFAULT_KEYS}, where it stands]",
)  # fmt: skip
@click.option(
    "--state", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
    help=f"What outlives the server: jobs, conversations, feedback.  [default: {DEFAULT_STATE}]",
)  # fmt: skip
@click.option("--check", is_flag=True, help="Open everything, say what would be served, and end.")
@with_output
def command(
    places: tuple[str, ...],
    file: Path | None,
    host: str | None,
    port: int | None,
    keys: Path | None,
    state: Path | None,
    check: bool,
    output: Output,
) -> None:
    """Serve every PLACE over HTTP: a council.yaml, an expert or a folder of them, a system of branches.

    Without a PLACE it serves council.yaml (or council/council.yaml), experts and runs/quickstart of this folder, those that
    are there and finished, and where nobody of them answers in words the embedded model smollm2. Clients of OpenAI's API
    need its address with /v1, those of Anthropic's its address, and nothing else. Ctrl-C ends it: answers that are being
    made come to their end, a second Ctrl-C cuts them.
    """
    from interconnected_ai.serving import EndedError, Ending

    config = _config(file, host=host, port=port, keys=keys, state=state)
    try:
        with Ending() as ending:
            code = _served(places or _usual_places(output), config, ending, output, check=check)
    except EndedError as error:
        code = 128 + error.signal
    if code is not None:
        raise Stopped("the server ended", code)


def _served(
    places: Sequence[str], config: "ServingConfig", ending: "Ending", output: Output, *, check: bool
) -> int | None:
    """Serve these until a signal comes, and give its code; None where it was only to be looked at."""
    from interconnected_ai.experts import BatchLimits, share_heaps
    from interconnected_ai.serving import Hall, address_of, create_app, listening_socket, serve, state_held

    share_heaps()
    together = BatchLimits(num_rows=config.max_at_once)
    with Hall.open(places, batching=together) as hall:
        create_app(hall, config)  # what cannot be is said before the port is taken
        told = {"models": list(hall.models), "systems": list(hall.systems)}
        if check:
            output.say(*(f"{kind}: {', '.join(names) or 'none'}" for kind, names in told.items()))
            output.result(told)
            return None
        with state_held(config), listening_socket(config) as listening:
            ending.hold()
            address = address_of(config, listening)
            output.result({"address": address, **told})
            output.step(
                f"Serving {', '.join([*hall.models, *hall.systems])}: {address} in a browser and for clients of Anthropic's "
                f"API, {address}/v1 for those of OpenAI's; Ctrl-C ends it."
            )
            return serve(hall, config, listening, ending)


def _config(file: Path | None, **given: Any) -> "ServingConfig":
    from interconnected_ai.config import ServingConfig

    config = ServingConfig() if file is None else ServingConfig.from_file(file)
    wanted = {
        name: str(value) if isinstance(value, Path) else value for name, value in given.items() if value is not None
    }
    if config.keys is None and "keys" not in wanted and DEFAULT_KEYS.is_file():
        wanted["keys"] = str(DEFAULT_KEYS)
    if config.state is None and "state" not in wanted:
        wanted["state"] = str(DEFAULT_STATE)
    return config.with_changes(**wanted)


def _usual_places(output: Output) -> list[str]:
    """What stands in this folder; what was begun there and not finished is named.

    Raises `DataError` where there is nothing, and no embedded model either.
    """
    from interconnected_ai.experts import embedded_card
    from interconnected_ai.serving import stands_at

    found = [place for place in _USUAL if stands_at(place)]
    for place, command in _USUAL.items():
        folder = Path(place).parent if place in _COUNCILS else Path(place)
        if place not in found and folder != Path() and folder.exists():
            output.step(f"{folder} is not finished, so it is not served; go on with: {command}")
    if "experts" in found and (begun := _begun_in(Path("experts"))):
        output.step(
            f"{', '.join(map(str, begun))} {'is' if len(begun) == 1 else 'are'} not finished, so not served; go on with: "
            f"{_USUAL['experts']}, or iai expert train --resume --out FOLDER"
        )
    councils = [place for place in found if place in _COUNCILS]
    aside = {*councils[1:], *(["experts"] if councils else [])}  # the council's own, mostly
    found = [place for place in found if place not in aside]
    if not {*_COUNCILS, "experts"} & set(found) and embedded_card() is not None:
        found.append(_EMBEDDED)
    if not found:
        raise DataError(
            "nothing to serve in this folder; name a council.yaml, an expert or a system, or make some with: "
            "iai expert quickstart, iai quickstart"
        )
    return found


def _begun_in(folder: Path) -> list[Path]:
    """Experts whose training stands there and they do not."""
    ending = "-training"
    begun = (place.with_name(place.name.removesuffix(ending)) for place in sorted(folder.glob(f"*{ending}")))
    return [place for place in begun if not place.exists()]
