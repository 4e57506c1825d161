"""Editing: later words in a message's old place. What stood there before is kept beside it, and goes when it is forgotten."""

from collections.abc import Iterable

from interconnected_ai.memory.erasure import Removed, count_levels, note_vector_removal, summaries_anew
from interconnected_ai.memory.facts import remove_facts_of
from interconnected_ai.memory.jobs import want
from interconnected_ai.memory.log import NewMessage, message_entry
from interconnected_ai.memory.numbering import place_of
from interconnected_ai.memory.records import Edit
from interconnected_ai.memory.scope import owner_of
from interconnected_ai.memory.store import Rows, Store


def history_of(rows: Rows, number: int) -> list[Edit]:
    """What a message said before, the first words first."""
    found = rows.all("SELECT role, content, time FROM edits WHERE message = ? ORDER BY version", number)
    return [Edit(*row) for row in found]


def write_history(rows: Rows, number: int, edits: Iterable[Edit]) -> None:
    """Put down what a message that is new here said before, the first words first."""
    rows.many(
        "INSERT INTO edits (message, version, role, content, time) VALUES (?, ?, ?, ?, ?)",
        [(number, version, one.role, one.content, one.time) for version, one in enumerate(edits, start=1)],
    )


def edit(store: Store, rows: Rows, session: int, message: NewMessage, now: float, *, embeds: bool) -> bool | None:
    """Put a message's words in the place of those that stand under its id; whether there was anything to do.

    None where no message has the id. Nothing is done where these words stand there, nor where they did before: then an older
    export came later.
    Its index entry is changed at once; facts, summaries and vectors are made anew by the worker.
    """
    found = rows.one(
        "SELECT number, role, content, is_reply, num_words FROM messages WHERE session = ? AND id = ?",
        session,
        message.id,
    )
    if found is None:
        return None
    if found[1:3] == (message.role, message.content):
        return False
    number, role, content, is_reply, num_words = found
    before = history_of(rows, number)
    if any((old.role, old.content) == (message.role, message.content) for old in before):
        return False
    rows.run(
        "INSERT INTO edits (message, version, role, content, time) VALUES (?, ?, ?, ?, ?)",
        number, len(before) + 1, role, content, now,
    )  # fmt: skip
    store.remove_terms(rows, [message_entry(number, bool(is_reply), num_words)])
    rows.run(
        "UPDATE messages SET role = ?, content = ?, is_reply = ?, num_tokens = ?, num_words = ?, thousandths = ? "
        "WHERE number = ?",
        message.role, message.content, int(message.is_reply), message.num_tokens, message.terms.num_words,
        message.thousandths, number,
    )  # fmt: skip
    store.add_terms(
        rows,
        owner_of(rows, session),
        [(message_entry(number, message.is_reply, message.terms.num_words), message.terms.terms)],
    )
    _made_anew(store, rows, session, number, embeds=embeds)
    return True


def _made_anew(store: Store, rows: Rows, session: int, number: int, *, embeds: bool) -> None:
    """Remove what was derived from the old words, and ask for it from the new ones."""
    remove_facts_of(store, rows, [number])
    if rows.run("DELETE FROM vectors WHERE number = ?", number):
        note_vector_removal(rows)
    if embeds:
        want(rows, "embed", session)
    want(rows, "facts", session, number)
    summaries_anew(store, rows, session, [place_of(number)], Removed())
    count_levels(rows, session)
