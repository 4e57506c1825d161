"""`iai chat COUNCIL.yaml`: a conversation with a council, shown with who answered and why."""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from interconnected_ai.cli.interruption import stopped_by_interrupt
from interconnected_ai.cli.output import Output
from interconnected_ai.errors import DataError

if TYPE_CHECKING:
    from interconnected_ai.council import Council, CouncilAnswer
    from interconnected_ai.types import ChatMessage

COMMANDS = {
    "/experts": "who sits in the council, what is in memory, who is set aside",
    "/route TEXT": "who would answer this, and why; nobody is asked",
    "/why": "who gave the last answer, why, and what took how long",
    "/memory [WORDS]": "facts that are remembered; with words the messages that have to do with them",
    "/width N": "how many experts deliberate",
    "/system [TEXT]": "what every expert is told before everything; without a text nothing is",
    "/seed [N]": "the same seed gives the same answer; without a number every answer draws its own",
    "/save FILE": "write the chat as JSON lines, as `iai expert adapt --chat` reads it; --overwrite replaces the file",
    "/exit": "leave, as Ctrl-D does",
    "//text": "say /text to the council",
}


class CouncilTalk:
    """A conversation with a council that is shown while it is held."""

    def __init__(
        self,
        council: "Council",
        settings: Mapping[str, Any],
        seed: int | None,
        output: Output,
        *,
        session: str,
        user: str,
        is_talk: bool,
    ) -> None:
        self.council, self.seed, self.output = council, seed, output
        self.answers: list[CouncilAnswer] = []
        self.messages: list[ChatMessage] = []
        self.width: int | None = None
        self.system: str | None = None  # None: as the config says it
        self._settings, self._session, self._user, self._is_talk = settings, session, user, is_talk

    def say(self, text: str) -> None:
        """Show the answer as it comes, and who gave it; Ctrl-C ends it where it is in a talk, and the program elsewhere."""
        from interconnected_ai.types import ChatMessage

        answering = self.council.stream(
            text, session=self._session, user=self._user, width=self.width, system=self.system, seed=self.seed,
            **self._settings,
        )  # fmt: skip
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
        self.messages += [ChatMessage("user", text), answer.message]
        for notice in answer.notices:
            click.echo(notice, err=True)
        recalled = f", {len(answer.recalled)} messages recalled" if answer.recalled else ""
        if not self.output.is_quiet:
            click.echo(f"— {', '.join(answer.experts)}{recalled} (/why)", err=True)

    def obey(self, line: str) -> bool:
        """Do what a command says; False where it is to leave."""
        name, _, rest = line.partition(" ")
        rest = rest.strip()
        if name in ("/exit", "/quit"):
            return False
        if name == "/help":
            for what, words in COMMANDS.items():
                self._echo(f"  {what:<16} {words}")
        elif name == "/experts":
            self._show_experts()
        elif name == "/route":
            self._show_route(rest)
        elif name == "/why":
            self._show_why()
        elif name == "/memory":
            self._show_memory(rest)
        elif name == "/system":
            self.system = rest
        elif name == "/width":
            self.width = _number(rest, "/width")
        elif name == "/seed":
            self.seed = _number(rest, "/seed") if rest else None
        else:
            known = ", ".join(what.split()[0] for what in COMMANDS if not what.startswith("//"))
            raise DataError(f"no command {name!r}; known: {known}. To say it to the council write /{line}")
        return True

    def _echo(self, line: str) -> None:
        click.echo(line, err=self.output.as_json)

    def _show_experts(self) -> None:
        stats, ailing = self.council.pool.stats(), self.council.wellness.ailments()
        rows = [
            (
                name,
                each.state,
                f"{each.num_bytes / 1e6:,.0f} MB",
                str(each.num_loads),
                str(each.num_hits),
                ailing[name].reason if name in ailing else "",
            )
            for name, each in stats.experts.items()
        ]
        if (shared := stats.used_bytes - sum(each.num_bytes for each in stats.experts.values())) > 0:
            rows.append(("what they share", "", f"{shared / 1e6:,.0f} MB", "", "", ""))
        self.output.table(
            f"{stats.used_bytes / 1e6:,.0f} of {stats.budget_bytes / 1e6:,.0f} MB",
            ["expert", "state", "takes", "loads", "hits", "set aside"],
            rows,
        )

    def _show_route(self, text: str) -> None:
        if not text:
            raise DataError("/route needs a text; give what you would ask")
        route = self.council.route(text, session=self._session, user=self._user)
        scores = ", ".join(f"{each.expert} {each.score:.2f}" for each in route.experts[:5])
        self._echo(f"{route.expert or 'nobody'}: {route.reason} ({scores})")

    def _show_why(self) -> None:
        if not self.answers:
            raise DataError("nothing was answered yet; ask something")
        answer = self.answers[-1]
        took = answer.timings
        self._echo(answer.why)
        self._echo(
            f"recall {1000 * took.recall:.0f} ms, route {1000 * took.route:.0f}, borrow {1000 * took.borrow:.0f}, first piece "
            f"{1000 * took.first_piece:.0f}, answer {1000 * took.generate:.0f}, remember {1000 * took.remember:.0f}; "
            f"{answer.num_prompt_tokens} tokens read, {answer.num_recalled_tokens} of them recalled"
        )

    def _show_memory(self, words: str) -> None:
        memory = self.council.memory
        if memory is None:
            raise DataError("this council remembers nothing; name a file as `memory` in its config")
        if words:
            for found in memory.search(words, user=self._user, limit=5):
                self._echo(f"  {found.message.role}: {found.message.content[:200]}")
            return
        for fact in memory.facts(user=self._user):
            self._echo(f"  {fact}")


def _number(text: str, command: str) -> int:
    try:
        number = int(text)
    except ValueError as error:
        raise DataError(f"{command} {text}: needed is a whole number") from error
    if command == "/width" and number < 1:
        raise DataError(f"/width {number}: one expert at least answers")
    return number
