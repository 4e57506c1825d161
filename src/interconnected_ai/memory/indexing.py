"""Index entries made anew from what stands in the tables, for a session whose index an earlier analyser made."""

from interconnected_ai.memory.facts import words_of
from interconnected_ai.memory.log import indexed_terms, message_entry
from interconnected_ai.memory.numbering import Kind, entry_of, number_of, place_of
from interconnected_ai.memory.search import session_range
from interconnected_ai.memory.store import Rows, Store
from interconnected_ai.text import Terms, terms


def index_messages(store: Store, rows: Rows, session: int, place: int, limit: int) -> int | None:
    """Index the next messages after a place anew; the place to go on from, None at the end."""
    found = rows.all(
        "SELECT number, role, content, is_reply, num_words FROM messages WHERE number > ? AND number < ? "
        "ORDER BY number LIMIT ?",
        number_of(session, place), session_range(session)[1], limit,
    )  # fmt: skip
    entries, more_words = [], 0
    for number, role, content, is_reply, num_words in found:
        store.remove_terms(rows, [message_entry(number, bool(is_reply), num_words)])
        new = indexed_terms(role, content)
        entries.append((message_entry(number, bool(is_reply), new.num_words), new.terms))
        rows.run("UPDATE messages SET num_words = ? WHERE number = ?", new.num_words, number)
        more_words += new.num_words - num_words
    store.add_terms(rows, entries)
    rows.run("UPDATE sessions SET num_words = num_words + ? WHERE number = ?", more_words, session)
    return place_of(found[-1][0]) if len(found) == limit else None


def index_derived(store: Store, rows: Rows, session: int) -> None:
    """Index a session's facts and summaries anew."""
    for number, subject, relation, value, num_words in rows.all(
        "SELECT number, subject, relation, value, num_words FROM facts WHERE session = ?", session
    ):
        found = words_of(subject, relation, value)
        # values that are alike share a number that their terms make; it is made again when it is needed
        rows.run("UPDATE facts SET num_words = ?, value_hash = NULL WHERE number = ?", found.num_words, number)
        _replace(store, rows, session, number, Kind.FACT, num_words, found)
    for number, text, num_words in rows.all(
        "SELECT number, text, num_words FROM summaries WHERE session = ? AND method <> 'pending'", session
    ):
        found = terms(text)
        rows.run("UPDATE summaries SET num_words = ? WHERE number = ?", found.num_words, number)
        _replace(store, rows, session, number, Kind.SUMMARY, num_words, found)


def _replace(store: Store, rows: Rows, session: int, number: int, kind: Kind, num_words: int, found: Terms) -> None:
    where = number_of(session, number)
    store.remove_terms(rows, [entry_of(where, kind, num_words)])
    store.add_terms(rows, [(entry_of(where, kind, found.num_words), found.terms)])
