"""The memory's bench reads its data, packs all contestants alike, and meets its recall goals where the data is present."""

from pathlib import Path

import pytest

pytest.importorskip("Stemmer", reason='needs the extra "memory"')
pytest.importorskip("pymorphy3", reason='needs the extra "memory"')

from interconnected_ai.bench.memory import evidence_recall, goal_rows, hit_rates
from interconnected_ai.bench.memory_contexts import context_recall, everything_fits, joined, joined_recall
from interconnected_ai.bench.memory_data import Asked, Dialogue, Turn, read_beam, read_koziev, read_locomo, read_xquad
from interconnected_ai.bench.memory_peers import OPTIONAL_PEERS, PEERS, our_memory, packed
from interconnected_ai.errors import DataError
from interconnected_ai.text import estimate_tokens

TINY = Dialogue(
    [
        Turn("a", "user", "The cat sleeps on the red sofa."),
        Turn("b", "assistant", "How nice."),
        Turn("c", "user", "Rain all day long in Lisbon."),
    ],
    [Asked("where does the cat sleep?", ("a",)), Asked("weather in Lisbon", ("c",))],
)


@pytest.mark.parametrize("name", PEERS)
def test_every_peer_finds_the_plain_words(name: str) -> None:
    modules = {"rank_bm25": "rank_bm25", "bm25s + Snowball": "bm25s", **OPTIONAL_PEERS}
    if name in modules:
        pytest.importorskip(modules[name])
    assert hit_rates(TINY, PEERS[name], (1,))[1] == 1.0


def test_our_memory_is_measured_as_the_peers_are() -> None:
    assert hit_rates(TINY, lambda dialogue: our_memory(dialogue, None, neighbours=False)[0], (1, 2)) == {1: 1.0, 2: 1.0}
    recall = evidence_recall([TINY], lambda dialogue: our_memory(dialogue, None, neighbours=True)[0], (1, 9, 100))
    assert recall[1] == 0.0
    assert recall[100] == 1.0


def test_what_counts_is_the_evidence_that_stands_in_the_whole_context() -> None:
    assert context_recall([TINY], (5, 4_000)) == {5: 0.0, 4_000: 1.0}
    assert everything_fits([TINY]) == 1.0


def test_chats_are_joined_to_the_size_that_is_nearest_and_every_question_keeps_its_evidence() -> None:
    size = sum(estimate_tokens(turn.content) for turn in TINY.turns)
    (both,) = joined([TINY, TINY, TINY], 2 * size)
    assert [turn.id for turn in both.turns] == ["0 a", "0 b", "0 c", "1 a", "1 b", "1 c"]
    assert [question.evidence for question in both.questions] == [("0 a",), ("0 c",), ("1 a",), ("1 c",)]
    assert [len(one.turns) for one in joined([TINY, TINY, TINY], 1)] == [3, 3, 3]
    pytest.importorskip("bm25s")
    rows = joined_recall([TINY, TINY], (size, 2 * size))
    assert [row["num_chats"] for row in rows] == [2, 1]
    assert [row["num_questions"] for row in rows] == [4, 4]
    assert all(row["context_recall_12k"] == 1.0 for row in rows)


def test_packing_takes_the_best_that_fit() -> None:
    assert packed([2, 0, 1], [5, 5, 20], 10) == {0, 1}
    assert packed([], [5], 10) == set()


def test_goals_say_what_was_met_and_what_was_not_measured() -> None:
    rows = {row["key"]: row for row in goal_rows({"locomo_recall_1k": 0.9, "add_p95_ms": 5.0})}
    assert rows["locomo_recall_1k"]["met"] is True
    assert rows["add_p95_ms"]["met"] is False
    assert rows["rss_mb"]["met"] is None


def test_missing_data_is_named(tmp_path: Path) -> None:
    for read in (read_locomo, read_beam, read_xquad):
        with pytest.raises(DataError, match="missing or unreadable"):
            read(tmp_path)


def test_the_data_sets_have_their_known_sizes(shared_data: Path) -> None:
    locomo, beam = read_locomo(shared_data), read_beam(shared_data)
    assert (len(locomo), sum(len(d.turns) for d in locomo), sum(len(d.questions) for d in locomo)) == (10, 5882, 1534)
    assert (len(beam), sum(len(d.questions) for d in beam)) == (20, 355)
    xquad, koziev = read_xquad(shared_data), read_koziev(shared_data, 100, seed=0)
    assert (len(xquad.questions), len(koziev.turns), len(koziev.questions)) == (1190, 2523, 100)


@pytest.mark.slow
def test_recall_without_vectors_meets_the_goals(shared_data: Path) -> None:
    from interconnected_ai.bench.memory import our_recall

    met = {row["key"]: row["met"] for row in goal_rows(dict(our_recall(shared_data, None)))}
    assert all(met[key] for key in met if "recall" in key or "koziev" in key or "xquad" in key), met


@pytest.mark.slow
def test_whole_contexts_hold_the_evidence_that_the_goals_ask_for(shared_data: Path) -> None:
    from interconnected_ai.bench.memory_contexts import context_figures

    met = {row["key"]: row["met"] for row in goal_rows(dict(context_figures(shared_data)))}
    assert all(met[key] for key in met if "context_recall" in key or key == "context_everything_fits"), met
