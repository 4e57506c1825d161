"""`iai chat EXPERT [MESSAGE…]`: on a terminal turn by turn, elsewhere one answer to what comes in."""

import json
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interconnected_ai.cli.alternatives import alternatives, means_standard_input
from interconnected_ai.cli.completion import ExpertPath
from interconnected_ai.cli.generate import (
    given_settings,
    in_a_full_window,
    recollect,
    recollection_option,
    standard_input,
    with_settings,
)
from interconnected_ai.cli.interruption import stopped_by_interrupt
from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.outputs import OutputPath, overwrite_option
from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import DataError, EngineError, InterconnectedAIError

if TYPE_CHECKING:
    from interconnected_ai.experts import ChatAnswer, Conversation
    from interconnected_ai.types import ChatMessage

_IN_A_FULL_WINDOW = "begin anew, lower --max-new-tokens, or let the oldest turns go: --too-long drop-oldest"
_ALONE_IN_A_FULL_WINDOW = "say it in fewer words, or lower --max-new-tokens"
_PROMPT, _GOES_ON = "> ", "… "
SOMEBODY = "default"  # whose conversation it is where nobody says
_COUNCILS = (".yaml", ".yml", ".json")
_COMMANDS = {
    "/help": "these commands",
    "/system [TEXT]": "what the expert is told before everything; without a text nothing is",
    "/seed [N]": "the same seed gives the same answer; without a number every answer draws its own",
    "/reset": "begin anew; the system message stays",
    "/save FILE": "write the chat as JSON lines, as `iai expert adapt --chat` reads it; --overwrite replaces the file",
    "/exit": "leave, as Ctrl-D does",
    "//text": "say /text to the expert",
    "text\\": "a line that goes on in the next",
}


@click.command("chat")
@click.argument("expert", type=ExpertPath())
@click.argument("messages", nargs=-1)
@with_settings
@click.option("--seed", type=int, help="The same seed gives the same answers.")
@click.option("--system", help="What the expert is told before everything.")
@click.option(
    "--too-long",
    type=click.Choice(["drop-oldest", "refuse"]),
    default="drop-oldest",
    show_default=True,
    help="When the window is full: the oldest turns are no longer read, which is said, or an error.",
)
@click.option(
    "--session", default=SOMEBODY, show_default=True, help="Of a council: which conversation is gone on with."
)
@click.option(
    "--user", default=SOMEBODY, show_default=True, help="Of a council: who asks; nobody else's words are recalled."
)
@click.option(
    "--lines",
    is_flag=True,
    help="Every line of standard input is a turn, or a command of /help, instead of all of it one turn.",
)
@click.option("--save", type=OutputPath(), help="Write the chat to this file at its end, as JSON lines.")
@click.option(
    "--engine",
    help="What computes; `auto` takes the fastest installed.  [default: torch; llamacpp for a GGUF file]",
)
@click.option("--device", help="Where the torch engine computes, such as cuda.  [default: cpu]")
@recollection_option
@overwrite_option
@alternatives("lines", "messages")
@alternatives("json_schema", "regex", "choices")
@with_output
def command(
    expert: Path,
    messages: tuple[str, ...],
    seed: int | None,
    system: str | None,
    too_long: str,
    session: str,
    user: str,
    lines: bool,
    save: Path | None,
    engine: str | None,
    device: str | None,
    recollection: tuple[str, ...],
    output: Output,
    **settings: Any,
) -> None:
    """Talk with the expert in the folder EXPERT, or with the council in a file COUNCIL.yaml: MESSAGES are a turn each.

    Without messages standard input is what is said.
    On a terminal the chat goes on until /exit or Ctrl-D. Ctrl-C stops an answer and keeps the chat; /help lists what else can
    be said to the program, there and in --lines.
    """
    given = given_settings(settings, output)
    GenerationConfig.from_mapping(given, source="iai chat")  # what cannot be is said before anything is loaded
    is_talk = not messages and not lines and sys.stdin.isatty()
    if is_talk and output.as_json:
        raise click.UsageError(
            "--json is for messages that are given, or come from standard input; leave it out to talk"
        )
    said = None if is_talk else _said(messages, lines=lines)
    if expert.suffix.lower() in _COUNCILS and expert.is_file():
        of_an_expert = {"--system": system, "--engine": engine, "--device": device, "--recollection": recollection}
        if named := [name for name, value in of_an_expert.items() if value]:
            raise click.UsageError(f"{named[0]} is of an expert; a council's config says it")
        chat_with_council(expert, said, given, seed, output, session=session, user=user, save=save, obeys=lines)
        return
    from interconnected_ai.experts import Chatting, Conversation, open_expert

    with open_expert(expert, engine=engine, device=device) as opened:
        if not isinstance(opened, Chatting):
            raise EngineError(f"{expert} cannot hold a conversation; ask it with iai generate")
        recollect(opened, recollection, output)
        held = Conversation(opened, system=system, too_long="refuse" if too_long == "refuse" else "drop_oldest")
        chat = _Chat(held, given, seed, output, is_talk=is_talk)
        if said is None:
            _talk(chat.say, lambda line: _obey(line, chat), output)
        else:
            _take(said, chat.say, lambda line: _obey(line, chat), obeys=lines)
        if save is not None:
            _write(save, held.messages, overwrite=True)  # what stands there was looked at before
        output.result(
            {
                "engine": getattr(getattr(opened, "engine", None), "name", engine),
                "messages": [asdict(message) for message in held.messages],
                "turns": [_as_json(answer) for answer in chat.answers],
            }
        )


def chat_with_council(
    place: Path,
    said: Sequence[str] | None,
    settings: Mapping[str, Any],
    seed: int | None,
    output: Output,
    *,
    session: str = SOMEBODY,
    user: str = SOMEBODY,
    save: Path | None = None,
    obeys: bool = False,
) -> None:
    """Hold a chat with the council of a file. said: the turns; None is a talk on the terminal. obeys: turns may be commands."""
    from interconnected_ai.cli.council_chat import CouncilTalk
    from interconnected_ai.council import Council

    with Council.from_config(place) as council:
        talk = CouncilTalk(council, settings, seed, output, session=session, user=user, is_talk=said is None)

        def obey(line: str) -> bool:
            if line.partition(" ")[0] != "/save":
                return talk.obey(line)
            _save_as_asked(line, talk.messages, output)
            return True

        if said is None:
            _talk(talk.say, obey, output)
        else:
            _take(said, talk.say, obey, obeys=obeys)
        if save is not None:
            _write(save, talk.messages, overwrite=True)
        output.result({"council": str(place), "turns": [answer.to_dict() for answer in talk.answers]})


class _Chat:
    """A conversation that is shown while it is held."""

    def __init__(
        self, held: "Conversation", settings: Mapping[str, Any], seed: int | None, output: Output, *, is_talk: bool
    ) -> None:
        self.held, self.seed, self.output = held, seed, output
        self.answers: list[ChatAnswer] = []
        self._settings, self._is_talk = settings, is_talk

    def say(self, text: str) -> None:
        """Show the answer as it comes; Ctrl-C ends it where it is in a talk, and the program elsewhere."""
        with in_a_full_window(_IN_A_FULL_WINDOW, alone=_ALONE_IN_A_FULL_WINDOW):
            answering = self.held.say(text, seed=self.seed, **self._settings)
        interrupts = stopped_by_interrupt(answering.close) if self._is_talk else nullcontext(lambda: False)
        with answering, interrupts as was_stopped:
            for piece in answering:
                click.echo(piece, nl=False, err=self.output.as_json)
        click.echo(err=self.output.as_json)
        if was_stopped():
            click.echo("(stopped)", err=True)
            return
        answer = answering.result()
        self.answers.append(answer)
        if answer.dropped:
            click.echo(
                f"the window is full: the oldest {len(answer.dropped)} messages that were read are no longer", err=True
            )
        elif answer.generation.ended == "length":
            self.output.step("(the answer is as long as --max-new-tokens allows)")


def _talk(say: Callable[[str], None], obey: Callable[[str], bool], output: Output) -> None:
    """Turn by turn, until the end of the input. obey: does what a command says; False where it is to leave."""
    _edit_lines()
    output.note("/help lists the commands; Ctrl-C stops an answer, Ctrl-D leaves.")
    for line in _lines_of_terminal():
        try:
            if not _heard(line, say, obey):
                return
        except InterconnectedAIError as error:
            click.echo(f"{error}", err=True)
        except OSError as error:
            click.echo(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "), err=True)


def _take(turns: Sequence[str], say: Callable[[str], None], obey: Callable[[str], bool], *, obeys: bool) -> None:
    """Turn by turn what was given, until a command says to leave; what cannot be done ends it. obeys: turns may be commands."""
    for turn in turns:
        if not obeys:
            say(turn)
        elif not _heard(turn, say, obey):
            return


def _heard(line: str, say: Callable[[str], None], obey: Callable[[str], bool]) -> bool:
    """Say a line, or do what it commands; False where it is to leave."""
    if line.startswith("/") and not line.startswith("//"):
        return obey(line)
    if line.strip():
        say(line.removeprefix("/") if line.startswith("//") else line)
    return True


def _obey(line: str, chat: _Chat) -> bool:
    """Do what a command says; False where it is to leave."""
    name, _, rest = line.partition(" ")
    rest = rest.strip()
    if name in ("/exit", "/quit"):
        return False
    if name == "/help":
        for what, words in _COMMANDS.items():
            click.echo(f"  {what:<16} {words}", err=chat.output.as_json)
    elif name == "/system":
        chat.held.system = rest or None
    elif name == "/seed":
        chat.seed = _seed(rest)
    elif name == "/reset":
        chat.held.reset()
    elif name == "/save":
        _save_as_asked(line, chat.held.messages, chat.output)
    else:
        known = ", ".join(what.split()[0] for what in _COMMANDS if what.startswith("/") and not what.startswith("//"))
        raise DataError(f"no command {name!r}; known: {known}. To say it to the expert write /{line}")
    return True


def _save_as_asked(line: str, messages: "Sequence[ChatMessage]", output: Output) -> None:
    path, overwrite = _file_of(line.partition(" ")[2].strip())
    _write(path, messages, overwrite=overwrite)
    output.note(f"the chat is in {path}")


def _file_of(text: str) -> tuple[Path, bool]:
    """The file that /save names, and whether it may be replaced. Raises `DataError` for none, several, or an open quote."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise DataError(f"/save {text}: {error}; put the whole name in quotes") from error
    paths = [word for word in words if word != "--overwrite"]
    if not any(paths):
        raise DataError("/save needs a file to write; give its name behind it")
    if len(paths) > 1:
        raise DataError(f"/save writes one file, named were {len(paths)}; put a name with spaces in quotes")
    return Path(paths[0]).expanduser(), len(words) > len(paths)


def _seed(text: str) -> int | None:
    if not text:
        return None
    try:
        return int(text)
    except ValueError as error:
        raise DataError(f"/seed {text}: needed is a whole number, or nothing for answers that differ") from error


def _lines_of_terminal() -> Iterator[str]:
    """What the person types, a line that ends in a backslash with the next; Ctrl-C drops the line."""
    typed = ""
    while True:
        try:
            line = input(_GOES_ON if typed else _PROMPT)
        except EOFError:
            click.echo()
            return
        except KeyboardInterrupt:
            click.echo()
            typed = ""
            continue
        if line.endswith("\\"):
            typed += line[:-1] + "\n"
            continue
        yield typed + line
        typed = ""


def _edit_lines() -> None:
    """Arrow keys and earlier lines, where Python has them for this terminal."""
    try:
        import readline
    except ImportError:
        return
    readline.set_auto_history(True)


def _said(messages: Sequence[str], *, lines: bool) -> list[str]:
    """The turns that were given."""
    if messages and not means_standard_input(messages):
        return list(messages)
    text = standard_input()
    return [line for line in text.splitlines() if line.strip()] if lines else [text]


def _write(path: Path, messages: "Sequence[ChatMessage]", *, overwrite: bool) -> None:
    """The chat as one line of JSON, in OpenAI's words, whole or not at all."""
    from interconnected_ai.storage import atomic_file, refuse_standing

    refuse_standing(path, overwrite=overwrite, name="/save")
    line = json.dumps({"messages": [asdict(message) for message in messages]}, ensure_ascii=False)
    with atomic_file(path) as scratch:
        scratch.write_text(line + "\n", encoding="utf-8")


def _as_json(answer: "ChatAnswer") -> dict[str, Any]:
    return {
        "text": answer.message.content,
        "ended": answer.generation.ended,
        "token_ids": answer.generation.token_ids,
        "num_prompt_tokens": answer.num_prompt_tokens,
        "num_known_tokens": answer.num_known_tokens,
        "num_dropped_messages": len(answer.dropped),
    }
