"""`Stream`: pieces in order, the whole at the end, closing from any thread, errors where they are read; `Told`: clauses."""

import copy
import gc
import json
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

import pytest

from interconnected_ai.errors import EngineError
from interconnected_ai.types import Clause, Stream, Told, clauses_of


class Maker:
    """Makes numbers, with steps that make none between them, and notes when it gives back what it holds."""

    def __init__(self, number: int = 5, *, breaks_at: int | None = None) -> None:
        self.number, self.breaks_at = number, breaks_at
        self.num_steps = self.num_given_back = 0

    def pieces(self) -> Generator[int | None, None, list[int]]:
        try:
            for piece in range(self.number):
                self.num_steps += 1
                if piece == self.breaks_at:
                    raise ZeroDivisionError(piece)
                yield None
                yield piece
        finally:
            self.num_given_back += 1
        return list(range(self.number))


def test_pieces_come_in_order_and_the_whole_at_the_end() -> None:
    maker = Maker()
    stream = Stream(maker.pieces())
    assert next(stream) == 0
    assert maker.num_steps == 1
    assert list(stream) == [1, 2, 3, 4]
    assert stream.result() == stream.result() == [0, 1, 2, 3, 4]
    assert list(stream) == []
    stream.close()
    assert stream.result() == [0, 1, 2, 3, 4]
    assert Stream(Maker().pieces()).result() == [0, 1, 2, 3, 4]


def test_a_closed_stream_has_no_more_pieces_and_no_whole() -> None:
    maker = Maker()
    with Stream(maker.pieces()) as stream:
        next(stream)
    stream.close()
    assert (maker.num_steps, maker.num_given_back) == (1, 1)
    assert list(stream) == []
    with pytest.raises(EngineError, match="ended before its last piece"):
        stream.result()
    unread = Maker()
    Stream(unread.pieces()).close()
    assert unread.num_steps == 0


def test_what_the_generator_raises_is_raised_where_it_is_read_and_ends_the_stream() -> None:
    maker = Maker(breaks_at=2)
    stream = Stream(maker.pieces())
    assert [next(stream), next(stream)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(stream)
    assert maker.num_given_back == 1
    assert list(stream) == []
    with pytest.raises(EngineError, match="no whole answer"):
        stream.result()


def test_a_stream_that_nobody_holds_is_closed_without_the_garbage_collector() -> None:
    maker = Maker()
    gc.disable()
    try:
        stream = Stream(maker.pieces())
        next(stream)
        del stream
        assert maker.num_given_back == 1
    finally:
        gc.enable()


def test_closing_does_not_wait_for_the_piece_that_is_being_made_and_its_reader_gives_back() -> None:
    is_making, may_go_on = threading.Event(), threading.Event()
    given_back_by: list[int] = []

    def slow() -> Generator[int, None, str]:
        try:
            yield 0
            is_making.set()
            may_go_on.wait(60)
            yield 1
        finally:
            given_back_by.append(threading.get_ident())
        return "whole"

    stream = Stream(slow())
    found: list[int] = []
    reader = threading.Thread(target=lambda: found.extend(stream))
    reader.start()
    is_making.wait(60)
    stream.close()
    assert not given_back_by
    may_go_on.set()
    reader.join(60)
    assert found == [0]
    assert given_back_by == [reader.ident]


def read_by_sixteen(stream: Stream[int, list[int]], *, closes_after: int | None = None) -> list[int]:
    """The pieces that sixteen threads have together; one of them closes the stream at a piece beyond this one."""
    together = threading.Barrier(16)

    def read(reader: int) -> list[int]:
        together.wait()
        found = []
        for piece in stream:
            found.append(piece)
            if reader == 3 and closes_after is not None and piece > closes_after:
                stream.close()
        return found

    with ThreadPoolExecutor(16) as pool:
        return sorted(piece for part in pool.map(read, range(16)) for piece in part)


def test_sixteen_threads_share_the_pieces_of_one_stream() -> None:
    for _ in range(20):
        maker = Maker(200)
        stream = Stream(maker.pieces())
        assert read_by_sixteen(stream) == stream.result() == list(range(200))
        assert maker.num_given_back == 1


def test_one_of_sixteen_threads_closes_the_stream_of_all() -> None:
    for number in range(50):
        maker = Maker(200)
        found = read_by_sixteen(Stream(maker.pieces()), closes_after=number)
        assert len(set(found)) == len(found)
        assert maker.num_given_back == 1


def test_a_sentence_is_its_text_and_knows_its_clauses_wherever_it_goes() -> None:
    told = Told.of("stays", "stays with law", expert="law").then("since it rains")
    assert told == "stays with law; since it rains"
    assert told.clauses == (Clause("stays", {"expert": "law"}), Clause("text", {"text": "since it rains"}))
    assert json.dumps({"reason": told}) == '{"reason": "stays with law; since it rains"}'
    other = copy.deepcopy(told)
    assert (other, other.clauses) == (told, told.clauses)
    assert clauses_of("plain") == (Clause("text", {"text": "plain"}),)
    assert clauses_of("") == ()
