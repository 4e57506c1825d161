"""What the memory is measured against: other rankings of the same messages, packed into the same budgets by the same rule."""

import logging
import re
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from interconnected_ai.bench.memory_data import Dialogue
from interconnected_ai.extras import require
from interconnected_ai.memory import EVIDENCE_ONLY, SQLiteStore, ThreeLevelMemory, VectorModel

Rank = Callable[[str, int], list[int]]
"""(question, how many) → places of turns, the best first."""
_WORD = re.compile(r"\w+")


def our_memory(dialogue: Dialogue, model: VectorModel | None, *, neighbours: bool) -> tuple[Rank, ThreeLevelMemory]:
    """Ours, over one dialogue: the ranking of `context` (neighbours) or of `search`; and the memory itself."""
    folder = Path(tempfile.mkdtemp(prefix="iai-bench-memory-"))
    store = SQLiteStore(folder / "memory.db", synchronous="OFF")
    memory = ThreeLevelMemory(store, encode=model, background=False, portions=EVIDENCE_ONLY, time_zone="UTC")
    for number, turn in enumerate(dialogue.turns):
        memory.add(turn.role, turn.content, id=str(number), time=turn.time if turn.time is not None else float(number))
    memory.catch_up()
    now = dialogue.turns[-1].time or float(len(dialogue.turns))

    def rank(question: str, limit: int) -> list[int]:
        return [int(f.message.id) for f in memory.search(question, limit=limit, neighbours=neighbours, now=now)]

    return rank, memory


def plain_fts5(dialogue: Dialogue) -> Rank:
    """SQLite FTS5 with its own tokenizer `unicode61` and its own bm25(): what most memories ship."""
    database = sqlite3.connect(":memory:")
    database.execute("CREATE VIRTUAL TABLE turns USING fts5(text, tokenize = 'unicode61')")
    database.executemany("INSERT INTO turns VALUES (?)", [(_spoken(t.role, t.content),) for t in dialogue.turns])

    def rank(question: str, limit: int) -> list[int]:
        asked = " OR ".join(f'"{word}"' for word in dict.fromkeys(_WORD.findall(question)))
        if not asked:
            return []
        found = database.execute(
            "SELECT rowid FROM turns WHERE turns MATCH ? ORDER BY bm25(turns) LIMIT ?", (asked, limit)
        )
        return [row - 1 for (row,) in found]

    return rank


def rank_bm25(dialogue: Dialogue) -> Rank:
    """The package rank_bm25 (BM25Okapi) over lower-cased words."""
    bm25 = require("rank_bm25", "bench", "the peer rank_bm25").BM25Okapi(
        [_WORD.findall(_spoken(t.role, t.content).lower()) or ["-"] for t in dialogue.turns]
    )

    def rank(question: str, limit: int) -> list[int]:
        scores = bm25.get_scores(_WORD.findall(question.lower()))
        best = sorted(range(len(scores)), key=lambda place: -scores[place])[:limit]
        return [place for place in best if scores[place] > 0]

    return rank


def bm25s_stemmed(dialogue: Dialogue) -> Rank:
    """The package bm25s with its stop words and the Snowball stemmer of the dialogue's language: the strongest plain BM25."""
    library = require("bm25s", "bench", "the peer bm25s")
    logging.getLogger("bm25s").setLevel(logging.ERROR)  # it tells of every index it builds
    stemmers = require("Stemmer", "memory", "stemming")
    spoken = [_spoken(t.role, t.content) for t in dialogue.turns]
    russian = sum("а" <= letter <= "я" for letter in " ".join(spoken[:200]).lower()) > 1000
    stemmer = stemmers.Stemmer("russian" if russian else "english")
    stopwords = "ru" if russian else "en"
    index = library.BM25()
    index.index(
        library.tokenize(spoken, stopwords=stopwords, stemmer=stemmer, show_progress=False), show_progress=False
    )

    def rank(question: str, limit: int) -> list[int]:
        asked = library.tokenize([question], stopwords=stopwords, stemmer=stemmer, show_progress=False)
        if not asked.vocab:
            return []
        found, scores = index.retrieve(asked, k=min(limit, len(spoken)), show_progress=False)
        return [int(place) for place, score in zip(found[0], scores[0], strict=True) if score > 0]

    return rank


def agent_memory_toolkit(dialogue: Dialogue) -> Rank:
    """A memory library from PyPI that needs neither network nor model: agent-memory-toolkit, its full-text search."""
    library = require("agent_memory_toolkit.store", "bench", "the peer agent-memory-toolkit")
    store = library.MemoryStore(":memory:")
    place = {str(store.add(_spoken(t.role, t.content)).id): number for number, t in enumerate(dialogue.turns)}

    def rank(question: str, limit: int) -> list[int]:
        asked = " OR ".join(f'"{word}"' for word in dict.fromkeys(_WORD.findall(question)))
        return [place[str(found.memory.id)] for found in store.search_fts(asked, limit=limit)] if asked else []

    return rank


PEERS: dict[str, Callable[[Dialogue], Rank]] = {
    "FTS5 unicode61": plain_fts5,
    "rank_bm25": rank_bm25,
    "bm25s + Snowball": bm25s_stemmed,
    "agent-memory-toolkit": agent_memory_toolkit,
}
OPTIONAL_PEERS = {"agent-memory-toolkit": "agent_memory_toolkit"}
"""Peers that no extra brings, and their modules: they take part when somebody installed them."""


def packed(places: Sequence[int], sizes: Sequence[int], budget_tokens: int) -> set[int]:
    """The best turns that fit into a budget of their own tokens, too large ones passed over."""
    left, kept = budget_tokens, set()
    for place in places:
        if sizes[place] <= left:
            kept.add(place)
            left -= sizes[place]
    return kept


def _spoken(role: str, content: str) -> str:
    """Peers too see who speaks, where a speaker has a name."""
    return content if role in ("user", "assistant") else f"{role}: {content}"
