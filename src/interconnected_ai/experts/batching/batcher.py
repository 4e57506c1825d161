"""`Batcher`: one thread that makes the answers of all who ask one model."""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from interconnected_ai.errors import Blame, ClosedError, EngineError, QueueFullError
from interconnected_ai.experts.asked import Asked
from interconnected_ai.experts.batch_limits import BatchLimits
from interconnected_ai.experts.batching.admission import Admission
from interconnected_ai.experts.batching.reading import RowDecoder
from interconnected_ai.experts.batching.row import BatchedCall, BatchedRow, num_cache_bytes, take_together
from interconnected_ai.experts.engine import Steps
from interconnected_ai.types import Generation


@dataclass(frozen=True)
class BatcherStats:
    """A batcher at one moment.

    used_bytes: of keys and values that rows have been given. num_passes, num_tokens: passes of the model over the next tokens
    of rows, and the tokens that they read, since the beginning.
    """

    num_rows: int
    num_waiting: int
    used_bytes: int
    num_passes: int
    num_tokens: int


class Batcher:
    """Makes the answers of any number of callers together: between two steps rows join, leave, and read some of their prompt.

    A row is computed as it would be alone: its settings, its seed, its form, its cache and its adapter are its own, and on the
    compiled step its logits are the same bit by bit, whoever is beside it. One that goes wrong ends for its caller alone. Rows
    wait in the order of `Admission`, callers in turn. Prompts are read in pieces, those that are being read in turn, so many
    tokens between two steps.

    The thread is there while there is something to do. In a process that is forked off the batcher is another, and empty.

    Threads: all of it from any number at once. `close` ends every answer with `ClosedError`, at the next step.
    """

    def __init__(self, limits: BatchLimits, name: str) -> None:
        self.limits, self._name = limits, name
        self._closed = False
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._process = os.getpid()
        # Its lock is an RLock: a stream that the garbage collector finds leaves in whatever thread it runs, the worker too.
        self._changed = threading.Condition()
        self._admission: Admission[BatchedRow] = Admission(self.limits.num_rows, self.limits.cache_bytes)
        self._calls: set[BatchedCall] = set()
        self._rows: list[
            BatchedRow
        ] = []  # inside; whose prompt is read next stands first. Of the thread alone, as below
        self._worker: threading.Thread | None = None
        self._num_passes = self._num_tokens = 0

    # For callers

    def require_fit(self, asked: Asked, decoder: RowDecoder) -> None:
        """Raise `EngineError` for an answer that would not fit if it were alone."""
        longest = max(asked.prompts, key=len)
        num_bytes, most = num_cache_bytes(longest, asked.config, decoder), self.limits.cache_bytes
        if num_bytes > most:
            told = (
                f"a prompt of {len(longest)} tokens and an answer of {asked.config.max_new_tokens} need {num_bytes:,} bytes "
                f"of keys and values, and all answers together may take {most:,}; ask for fewer tokens"
            )
            raise EngineError(f"{told} (max_new_tokens), or raise cache_bytes of BatchLimits").blaming(
                Blame("max_new_tokens", told)
            )

    def steps(self, asked: Asked, decoders: Sequence[RowDecoder]) -> Steps:
        """The answers to these prompts, with a decoder for each, as `generation_steps` gives them.

        Raises `QueueFullError` where too many wait, `ClosedError` once closed.
        """
        call = BatchedCall(asked, decoders, num_unread=self.limits.num_unread)
        self._enter(call)
        try:
            answers: dict[int, Generation] = {}
            while len(answers) < len(call.rows):
                message = call.take()
                if isinstance(message, BaseException):
                    raise message
                if isinstance(message, tuple):
                    answers[message[0]] = message[1]
                else:
                    yield message
                if call.may_go_on:
                    self._wake()
            return [answers[number] for number in range(len(answers))]
        finally:
            self._leave(call)

    def stats(self) -> BatcherStats:
        """As it is."""
        with self._changed:
            inside = self._admission
            return BatcherStats(
                inside.num_inside, inside.num_waiting, inside.used_bytes, self._num_passes, self._num_tokens
            )

    def close(self) -> None:
        """End all answers with `ClosedError`; what is asked afterwards raises it too."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _enter(self, call: BatchedCall) -> None:
        if self._process != os.getpid():
            self._begin_anew()
        with self._changed:
            if self._closed:
                raise self._closed_error()
            waiting, most = self._admission.num_waiting, self.limits.num_waiting
            if waiting and waiting + len(call.rows) > most:
                told = f"{waiting} answers of the engine {self._name} wait already, and {most} may"
                raise QueueFullError(told, "num_waiting of BatchLimits")
            self._calls.add(call)
            for row in call.rows:
                self._admission.ask(call, row, row.num_bytes)
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name=f"batch of {self._name}", daemon=True)
                self._worker.start()
            self._changed.notify()

    def _leave(self, call: BatchedCall) -> None:
        with self._changed:
            self._drop(call)
            self._changed.notify()

    def _drop(self, call: BatchedCall) -> None:
        """Its rows that wait are gone; those inside go at the next step."""
        call.is_left = True
        self._calls.discard(call)
        for row in call.rows:
            self._admission.withdraw(row)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify()

    def _closed_error(self) -> ClosedError:
        return ClosedError(f"the engine {self._name} makes no more answers: its batcher was closed; open it again")

    # The thread

    def _work(self) -> None:
        try:
            while self._next_rows():
                self._read_pieces()
                self._step()
                self._dismiss([row for row in self._rows if row.ending is not None])
        except BaseException as error:  # a fault of this file: nobody may wait for what will not come
            with self._changed:
                self._end_calls(error)
                self._worker, self._rows = None, []
                self._admission = Admission(self.limits.num_rows, self.limits.cache_bytes)
            raise

    def _next_rows(self) -> bool:
        """Let rows go that nobody wants, and new ones in; waits while all of them rest. False: nobody is left."""
        while True:
            self._dismiss([row for row in self._rows if row.call.is_left])
            with self._changed:
                if self._closed:
                    self._end_calls(self._closed_error())
                if any(row.call.is_left for row in self._rows):
                    continue
                admitted = self._admission.admit()
                self._rows += admitted
                if not self._rows:
                    self._worker = None
                    return False
                if not admitted and all(row.call.rests() for row in self._rows):
                    self._tell()
                    self._changed.wait()
                    continue
            for row in admitted:
                row.advance()
            return True

    def _read_pieces(self) -> None:
        """Pieces of prompts, as many as make `prompt_tokens` together; those that are being read take turns."""
        most = left = self.limits.prompt_tokens
        reading = [row for row in self._rows if row.reads_prompt]
        if reading:
            self._tell()
        for row in reading:
            if (size := row.next_piece(most)) > left:
                return
            left -= size
            self._rows.remove(row)
            self._rows.append(row)
            row.attempt(partial(row.read_prompt, most))
            if row.is_ready:
                row.advance()

    def _step(self) -> None:
        """The next token of every row that goes on."""
        going = [row for row in self._rows if not row.call.rests()]
        stepping = [row for row in going if row.waits_for_token]
        alone = [row for row in stepping if row.compilable is None]
        shared = sorted((row for row in stepping if row.compilable is not None), key=_model_of)
        self._tell()
        for _, rows in groupby(shared, key=_model_of):
            self._step_together(list(rows))
        for row in alone:
            row.attempt(row.step_alone)
        self._num_passes += len(alone)
        self._num_tokens += len(alone)
        for row in going:
            if row.is_ready:
                row.advance()

    def _tell(self) -> None:
        """Let readers have what was said. They wake while the model computes, not while tokens are chosen: Python runs one
        thread at a time, and rows would wait for the readers of those before them.
        """
        for row in self._rows:
            row.call.tell()

    def _step_together(self, rows: Sequence[BatchedRow]) -> None:
        """The rows of one model in one pass."""
        self._num_passes += 1
        self._num_tokens += len(rows)
        try:
            take_together(rows)
        except Exception:  # noqa: BLE001  # one of them is to blame: each by itself, and who fails then fails alone
            for row in rows:
                row.attempt(row.step_alone)

    def _dismiss(self, rows: Sequence[BatchedRow]) -> None:
        """Take back what they hold, and only then tell their callers how they ended."""
        for row in rows:
            self._rows.remove(row)
            row.let_go()
            with self._changed:
                self._admission.leave(row)
            if row.ending is not None:
                row.call.put(row.ending)
            row.call.tell()

    def _end_calls(self, error: BaseException) -> None:
        for call in list(self._calls):
            call.put(error)
            call.tell()
            self._drop(call)


def _model_of(row: BatchedRow) -> int:
    assert row.compilable is not None
    return id(row.compilable.steps_with)
