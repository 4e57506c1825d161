"""`iai generate EXPERT [PROMPT…]`."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from interconnected_ai.cli.alternatives import alternatives, means_standard_input
from interconnected_ai.cli.completion import ExpertPath
from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.outputs import Source
from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import DataError, EngineError, FullWindowError, PromptError
from interconnected_ai.types import Generation, Stream

if TYPE_CHECKING:
    from interconnected_ai.experts import TextExpert

F = TypeVar("F", bound=Callable[..., Any])

# Field of GenerationConfig → its type on the command line and its help. None where the field's own default stands.
_SETTINGS: dict[str, tuple[Any, str]] = {
    "max_new_tokens": (int, "Tokens of the answer at most.  [default: 128]"),
    "temperature": (
        float,
        "Logits are divided by it; 0 always takes the likeliest token.  [default: 1.0; in a chat what its makers advise]",
    ),
    "top_k": (int, "Sample from the k likeliest tokens."),
    "top_p": (float, "Sample from the likeliest tokens that hold this share of the probability."),
    "min_p": (float, "Sample from tokens with this share of the likeliest one's probability."),
    "num_beams": (int, "Beam search with this many beams, instead of sampling."),
    "length_penalty": (float, "Scores of beams are divided by length ** this.  [default: 1.0]"),
    "repetition_penalty": (float, "Above 1: tokens of prompt and answer are less likely to come again."),
    "presence_penalty": (float, "Taken once from the logits of tokens that the answer holds."),
    "frequency_penalty": (float, "Taken from their logits for each time they stand there."),
    "stop": (str, "The answer ends before this string; repeat for several."),
    "bad_words": (str, "A string that may not appear; repeat for several."),
    "logit_bias": (str, "TOKEN=NUMBER, added to the token's logit, -100 to 100; repeat for several."),
    "logprobs": (int, "Note log probabilities of the chosen and this many of the likeliest tokens (with --json)."),
    "window": (click.Choice(["error", "slide"]), "Beyond max_seq_len: an error, or the oldest tokens are forgotten."),
    "json_schema": (click.Path(path_type=Path), "The answer is JSON that this schema, a JSON file, allows."),
    "regex": (str, "The whole answer matches this regular expression."),
    "choices": (str, "The answer is one of these texts; repeat for each."),
    "lookup_tokens": (
        int,
        "Read up to this many tokens ahead that stood in the prompt or answer before.  [default: 0]",
    ),
}
_SEVERAL = {"stop": "--stop", "bad_words": "--bad-word", "logit_bias": "--logit-bias", "choices": "--choice"}


def with_settings(function: F) -> F:
    """Give a command an option for every field of `GenerationConfig`."""
    for name, (kind, words) in reversed(_SETTINGS.items()):
        function = click.option(_flag(name), name, type=kind, multiple=name in _SEVERAL, help=words)(function)
    return function


recollection_option = click.option(
    "--recollection",
    type=Source(),
    multiple=True,
    metavar="TEXT",
    help="What followed in this text, where the last tokens stood there, has its say: a file, a folder, docs:LIBRARY, or a "
    "folder of a saved recollection; repeat for several texts.",
)


def _flag(name: str) -> str:
    return _SEVERAL.get(name, f"--{name.replace('_', '-')}")


@click.command("generate")
@click.argument("expert", type=ExpertPath())
@click.argument("prompts", nargs=-1)
@with_settings
@click.option("--seed", type=int, help="The same seed gives the same answer.")
@click.option(
    "--engine",
    help="What computes; `auto` takes the fastest installed.  [default: torch; llamacpp for a GGUF file]",
)
@click.option("--device", help="Where the torch engine computes, such as cuda.  [default: cpu]")
@recollection_option
@click.option(
    "--stream/--no-stream",
    default=None,
    help="Print the answer as it comes.  [default: with one prompt, on a terminal]",
)
@alternatives("json_schema", "regex", "choices")
@with_output
def command(
    expert: Path,
    prompts: tuple[str, ...],
    seed: int | None,
    engine: str | None,
    device: str | None,
    recollection: tuple[str, ...],
    stream: bool | None,
    output: Output,
    **settings: Any,
) -> None:
    """Continue PROMPTS (or standard input, `-`, as one prompt) with EXPERT: a folder, a GGUF file, a hub id, or smollm2."""
    asked = [standard_input()] if means_standard_input(prompts) or not prompts else list(prompts)
    config = GenerationConfig.from_mapping(given_settings(settings, output), source="iai generate")
    if stream is None:
        stream = len(asked) == 1 and config.num_beams == 1 and not output.as_json and sys.stdout.isatty()
    elif stream and (len(asked) > 1 or output.as_json):
        raise click.UsageError("--stream prints one answer as it comes; give one prompt, and no --json")
    from interconnected_ai.experts import open_expert

    with open_expert(expert, engine=engine, device=device) as opened:
        recollect(opened, recollection, output)
        with in_a_full_window(
            "shorten the prompt, lower --max-new-tokens, or --window slide to forget the oldest tokens"
        ):
            if stream:
                _tell_of_others([_printed_as_it_comes(opened.stream(asked[0], config, seed=seed))], config, output)
                return
            answers = opened.generate(asked, config, seed=seed)
        used = getattr(getattr(opened, "engine", None), "name", engine)
    for prompt, answer in zip(asked, answers, strict=True):
        # Not through the console, which would turn tabs into spaces.
        click.echo(f"{prompt[:100]} →\n{answer}" if len(asked) > 1 else str(answer), err=output.as_json)
    _tell_of_others(answers, config, output)
    output.result(
        {
            "engine": used,
            "config": config.to_dict(),
            "answers": [{"prompt": p, **asdict(answer)} for p, answer in zip(asked, answers, strict=True)],
        }
    )


def recollect(expert: "TextExpert", places: Sequence[str], output: Output) -> None:
    """Let the expert recollect these texts; nothing is done where none are named. Raises `EngineError` where it cannot."""
    if not places:
        return
    from interconnected_ai.council import recollection_of
    from interconnected_ai.experts import Expert

    if not isinstance(expert, Expert):
        raise EngineError(
            "this expert has no tokens here, so there is nothing to recollect with; leave --recollection out"
        )
    read = recollection_of(places, expert.tokenizer)
    expert.recall(read)
    output.step(f"{len(read.tokens):,} tokens are recollected, in {read.num_bytes / 1e6:,.0f} MB")


def given_settings(settings: Mapping[str, Any], output: Output) -> dict[str, Any]:
    """What was given of the options of `with_settings`, as fields of `GenerationConfig`."""
    given = {name: value for name, value in settings.items() if value not in (None, ())}
    if "json_schema" in given:
        given["json_schema"] = _text_of(given["json_schema"])
    if "logit_bias" in given:
        given["logit_bias"] = dict(map(_biased, given["logit_bias"]))
    if "logprobs" in given and not output.as_json:
        raise click.UsageError("--logprobs stand in the JSON object alone; add --json, or leave it out")
    return given


def _biased(text: str) -> tuple[str, float]:
    token, _, number = text.partition("=")
    try:
        return token.strip(), float(number)
    except ValueError as error:
        raise click.UsageError(f"--logit-bias {text}: needed is TOKEN=NUMBER, such as 42=-100") from error


@contextmanager
def in_a_full_window(remedy: str, *, alone: str | None = None) -> Iterator[None]:
    """What does not fit the window is told with a remedy in options of the command line.

    alone: the remedy where it would not fit without the oldest turns either, if that is another one.
    """
    try:
        yield
    except FullWindowError as error:
        raise PromptError(f"{error.told}; {remedy if error.can_drop or alone is None else alone}") from error


def _printed_as_it_comes(pieces: Stream[str, Generation]) -> Generation:
    with pieces:
        for piece in pieces:
            click.echo(piece, nl=False)
        click.echo()
        return pieces.result()


def _tell_of_others(answers: Sequence[Generation], config: GenerationConfig, output: Output) -> None:
    """On stderr, so that what reads the answers has them alone."""
    if config.form is not None and (others := [answer for answer in answers if not answer.satisfied]):
        cut = sum(answer.ended != "eos" for answer in others)
        reason = f": {cut} cut short; give more --max-new-tokens" if cut else ""
        output.step(f"{len(others)} of {len(answers)} answers not as {_flag(config.form)} asks{reason}")


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"it is not UTF-8 (byte {error.start})"
        raise DataError(f"cannot read the schema {file}: {reason}; give a JSON file") from error


def standard_input() -> str:
    """All of standard input as one prompt, without its last line break."""
    if sys.stdin.isatty():
        raise click.UsageError("no prompt given; write it after EXPERT, or send it to standard input")
    text = piped_text()
    if not text.strip():
        raise DataError("standard input holds no text; send a prompt, or write it after EXPERT")
    return text


def piped_text() -> str:
    """What was sent to standard input, without its last line break; empty where nothing was."""
    try:
        text = sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"standard input is not UTF-8 (byte {error.start}); convert it first") from error
    return text.removesuffix("\n").removesuffix("\r")
