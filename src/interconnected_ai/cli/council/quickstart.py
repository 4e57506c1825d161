"""`iai council quickstart`."""

import sys
from pathlib import Path

import click

from interconnected_ai.cli.alternatives import alternatives, is_given
from interconnected_ai.cli.council.seeded import seeded_sentences, tell_seeded
from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.outputs import OutputPath, Source
from interconnected_ai.cli.settings import OF_A_TRAINING, seed_option


@click.command("quickstart")
@click.option(
    "--output", "folder", type=OutputPath(may_stand=True), default=Path("council"), show_default=True,
    help="Folder of the council: experts, router, council.yaml, memory; council-N with --experts N.",
)  # fmt: skip
@click.option("--base", type=Source(), default="smollm2", show_default=True, help="What the adapters stand on.")
@click.option(
    "--adapters", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
    help="Use the adapters that iai expert quickstart --base wrote there.  [default: they are trained]",
)  # fmt: skip
@click.option("--steps", type=click.IntRange(1), help="Of each adapter that is trained.  [default: some 150]")
@click.option(
    "--experts", "num_experts", type=click.IntRange(2), metavar="N",
    help="In place of adapters N small experts from nothing, of a documented module each, and the seed they branch from.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Make everything anew but the memory.")
@click.option("--chat/--no-chat", "chats", default=True, help="Open the chat at the end.  [default: chat]")
@seed_option(OF_A_TRAINING, default=0)
@alternatives("adapters", "steps")
@alternatives("num_experts", ("base", "adapters", "steps"))
@with_output
def command(
    folder: Path,
    base: str,
    adapters: Path | None,
    steps: int | None,
    num_experts: int | None,
    overwrite: bool,
    chats: bool,
    seed: int,
    output: Output,
) -> None:
    """Three adapters on the documentation of Python, NumPy and PyTorch, a router learnt from their texts, and a memory.

    Needs no network. The adapters take some three minutes each on two cores; a run that was cut goes on, and a second one
    finds everything there. Then it opens the chat: on a terminal turn by turn, in a pipe it answers what comes in. With
    --json or --no-chat it says what stands where.

    With --experts 64 no base is needed: a seed learns the documentation of Python and its libraries, an expert of each module
    branches from it; some twenty minutes on two cores.
    """
    if num_experts is not None:
        place = folder if is_given(click.get_current_context(), "folder") else Path(f"council-{num_experts}")
        _make_seeded(place, num_experts, overwrite, chats, seed, output)
        return
    from interconnected_ai.bench import ADAPTER_STEPS, run_council_quickstart

    done = run_council_quickstart(
        folder, base, adapters=adapters, steps=ADAPTER_STEPS if steps is None else steps, seed=seed,
        overwrite=overwrite, say=output.step,
    )  # fmt: skip
    if output.as_json or not chats:
        output.say(*done.sentences(), f"iai chat {done.council}", f'iai council route {done.council} "QUESTION"')
        output.result(done.to_dict())
        return
    for sentence in done.sentences():
        output.step(sentence)
    _chat(done.council, output)


def _make_seeded(folder: Path, num_experts: int, overwrite: bool, chats: bool, seed: int, output: Output) -> None:
    from interconnected_ai.bench import SeededSizes, run_seeded_council

    done = run_seeded_council(
        folder, SeededSizes(num_experts=num_experts), seed=seed, overwrite=overwrite, say=output.step
    )
    if output.as_json or not chats:
        tell_seeded(done, output)
        return
    for sentence in seeded_sentences(done):
        output.step(sentence)
    _chat(done.council, output)


def _chat(council: Path, output: Output) -> None:
    from interconnected_ai.cli.chat import chat_with_council
    from interconnected_ai.cli.generate import piped_text

    said = None if sys.stdin.isatty() else piped_text()
    if said is not None and not said.strip():
        output.say(f"iai chat {council}")
        return
    chat_with_council(council, None if said is None else [said], {}, None, output)
