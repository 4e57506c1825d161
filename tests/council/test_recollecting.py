"""A council that has read texts: they have their say, are in memory once, cost no answer, and are a file or a folder."""

from pathlib import Path

import pytest

pytest.importorskip("re2")

from tests.council.tiny_councils import TEXTS, WORDS, config_of, council_of, saved_expert

from interconnected_ai.config import CouncilConfig
from interconnected_ai.council import Council, recollection_of
from interconnected_ai.errors import DataError
from interconnected_ai.experts import Expert, Recollection
from interconnected_ai.text import Tokenizer
from interconnected_ai.types import ChatMessage

TEXT = "Every token goes to two experts, and the router says which; суд и иск идут к юристу."
SHORT = {"temperature": 0.0, "max_new_tokens": 8}


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    file = tmp_path / "notes.txt"
    file.write_text(TEXT, encoding="utf-8")
    return file


def test_what_was_read_has_its_say_in_the_answers_of_one_and_of_several(tmp_path: Path) -> None:
    words = Expert.from_pretrained(saved_expert(tmp_path / "general", 0)).tokenizer
    read = [words.encode(f"<|im_start|>assistant\n{TEXT}")]
    kept = Recollection.of(read, vocab_size=words.vocab_size, end_id=words.end_id, weights=(0.0, *(0.95,) * 16))
    kept.save_pretrained(tmp_path / "kept")
    with council_of(tmp_path) as plain, council_of(tmp_path, recollection=str(tmp_path / "kept")) as council:
        assert plain.chat("hello", **SHORT).message != council.chat("hello", **SHORT).message
        with Expert.from_pretrained(tmp_path / "general") as expert:
            expert.recall(kept)
            told = expert.stream_chat([ChatMessage("user", "hello")], **SHORT).result()
        assert council.chat("hello", session="new", **SHORT).message == told.message
        alone, together = (one.chat("hello", width=2, experts=["code", "law"], **SHORT) for one in (plain, council))
        assert alone.experts == together.experts == ("code", "law")
        assert alone.message != together.message
        assert not together.notices


def test_it_is_in_memory_once_from_the_first_expert_to_the_last(tmp_path: Path, notes: Path) -> None:
    with council_of(tmp_path, recollection=str(notes)) as council, council_of(tmp_path) as plain:
        recollected = council.recollected
        assert recollected is not None
        assert recollected._made is None, "nothing is read before it is needed"
        for one in (council, plain):
            with one.pool.borrow_all("code", "law"):
                pass
        more = council.pool.stats().used_bytes - plain.pool.stats().used_bytes
        with council.pool.borrow_all("code", "law") as loans:
            first, second = (loan.expert.recollection for loan in loans)  # type: ignore[union-attr]
            assert first is second is not None
        assert 0 < more < 2 * first.num_bytes
        for name in ("code", "law"):
            council.pool.unload(name)
        with council.pool.borrow("code"):  # after what was let go
            assert recollected.num_bytes > 0


def test_a_saved_one_is_there_at_once_and_gives_the_same(tmp_path: Path, notes: Path) -> None:
    with Expert.from_pretrained(saved_expert(tmp_path / "general", 0)) as one:
        recollection_of([str(notes)], one.tokenizer).save_pretrained(tmp_path / "own")
    config = config_of(tmp_path).to_dict() | {"recollection": "own"}
    with Council(CouncilConfig.from_mapping(config).seen_from(tmp_path)) as saved:
        with council_of(tmp_path, recollection=[str(notes)]) as read:
            assert saved.chat("hello", **SHORT).message == read.chat("hello", **SHORT).message
        assert saved.recollected is not None
        assert saved.recollected.num_bytes > 0


def test_an_expert_that_cannot_recollect_answers_and_a_notice_says_why(tmp_path: Path, notes: Path) -> None:
    other = Tokenizer.train([*TEXTS, "other words altogether"], 320)
    saved_expert(tmp_path / "law", 5, other)
    with council_of(tmp_path, recollection=str(notes)) as council:
        assert not council.chat("python", **SHORT).notices
        answer = council.chat("суд", **SHORT)
        assert answer.experts == ("law",)
        assert any("own tokenizer" in notice for notice in answer.notices)


def test_texts_that_vanish_cost_no_answer_and_places_that_are_nothing_are_refused(tmp_path: Path, notes: Path) -> None:
    with council_of(tmp_path, recollection=str(notes)) as council:
        notes.unlink()
        answer = council.chat("hello", **SHORT)
        assert answer.experts == ("general",)
        assert any("notes.txt" in notice for notice in answer.notices)
    with pytest.raises(DataError, match="nothing to recollect stands at"):
        council_of(tmp_path, recollection=str(notes))
    recollection_of([__file__], WORDS).save_pretrained(tmp_path / "kept")
    with pytest.raises(DataError, match="name it alone"):
        council_of(tmp_path, recollection=[str(tmp_path / "kept"), __file__])
