"""Making everything derived anew from the log: index, levels, summaries, facts, vectors."""

from interconnected_ai.memory.erasure import note_vector_removal
from interconnected_ai.memory.hand_facts import write_again
from interconnected_ai.memory.jobs import want
from interconnected_ai.memory.levels import Boundaries, settle
from interconnected_ai.memory.log import message_entry, messages_after, new_message
from interconnected_ai.memory.ordering import renumber
from interconnected_ai.memory.provenance import remember
from interconnected_ai.memory.records import Capacities
from interconnected_ai.memory.scope import owner_of
from interconnected_ai.memory.store import Rows, Store
from interconnected_ai.text import analyzer_signature
from interconnected_ai.types import CountTokens

_AT_ONCE = 256


def rebuild(store: Store, rows: Rows, capacities: Capacities, count_tokens: CountTokens, *, embeds: bool) -> int:
    """Throw away what is derived and make it again, in this one transaction; summaries, facts and vectors are left to jobs.

    Returns how many messages were read.
    """
    store.lock_all(rows)
    sessions = [number for (number,) in rows.all("SELECT number FROM sessions ORDER BY number")]
    for table in ("summaries", "facts", "vectors"):
        rows.run(f"DELETE FROM {table}")
    rows.run("DELETE FROM jobs WHERE kind <> 'erase'")  # what was forgotten still waits to be taken out of the files
    rows.run("DELETE FROM meta WHERE name IN ('vector_dimension', 'vector_model')")
    note_vector_removal(rows)
    store.clear_terms(rows)
    num_messages = 0
    for session in sessions:
        renumber(store, rows, session)
        num_messages += _index_again(store, rows, session, count_tokens)
        _levels_again(rows, session, capacities)
        write_again(store, rows, session)
        for kind in ("facts", "embed") if embeds else ("facts",):
            want(rows, kind, session)
    remember(rows, "analyzer", analyzer_signature())
    return num_messages


def _index_again(store: Store, rows: Rows, session: int, count_tokens: CountTokens) -> int:
    place, num_messages, owner = 0, 0, owner_of(rows, session)
    while True:
        messages = messages_after(rows, session, place, _AT_ONCE)
        entries = []
        for message in messages:
            new = new_message(
                message.role,
                message.content,
                time=message.time,
                id=message.id,
                num_tokens=count_tokens(message.content),
            )
            rows.run(
                "UPDATE messages SET num_tokens = ?, num_words = ?, is_reply = ?, thousandths = ? WHERE number = ?",
                new.num_tokens, new.terms.num_words, int(new.is_reply), new.thousandths, message.number,
            )  # fmt: skip
            entries.append((message_entry(message.number, new.is_reply, new.terms.num_words), new.terms.terms))
        store.add_terms(rows, owner, entries)
        num_messages += len(messages)
        if len(messages) < _AT_ONCE:
            return num_messages
        place = messages[-1].place


def _levels_again(rows: Rows, session: int, capacities: Capacities) -> None:
    """Let the messages overflow one after the other, as they did when they were added."""
    sizes = rows.all("SELECT num_tokens, num_words FROM messages WHERE session = ? ORDER BY number", session)
    rows.run(
        "UPDATE sessions SET num_messages = ?, num_words = ?, facts_upto = 0 WHERE number = ?",
        len(sizes), sum(num_words for _, num_words in sizes), session,
    )  # fmt: skip
    levels = Boundaries(session, 0, 0, 0, 0, 0)
    for num_tokens, _ in sizes:
        levels.current_tokens += num_tokens
        settle(rows, levels, capacities)
    levels.save(rows)
