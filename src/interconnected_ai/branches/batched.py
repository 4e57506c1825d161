"""`BatchedPredictor`: texts of many callers in common passes of the encoder and the trunk."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Generic, Self, cast

import torch
from torch import Tensor
from typing_extensions import TypeVar

from interconnected_ai.arguments import whole_number
from interconnected_ai.branches.arguments import texts_of
from interconnected_ai.branches.features import TextFeatures
from interconnected_ai.branches.panel import Panel, predictions
from interconnected_ai.branches.prediction import AnswerTable, Prediction
from interconnected_ai.branches.system import InterconnectedAISystem
from interconnected_ai.errors import ClosedError, QueueFullError
from interconnected_ai.nn import compute_with

Told = TypeVar("Told", default=Prediction)


@dataclass(frozen=True)
class PredictorStats:
    """A predictor at one moment. num_passes, num_texts: passes of encoder and trunk, and texts in them, since the beginning."""

    num_waiting: int
    num_passes: int
    num_texts: int


@dataclass(eq=False)
class _Call:
    """What one caller asks. pooled: the vectors of its texts, as far as they have been computed, by the first one's number."""

    panel: Panel
    texts: list[str]
    top_n: int
    future: "Future[list[Any]]"
    pooled: dict[int, Tensor] = field(default_factory=dict)
    answers: list[Any] = field(default_factory=list)
    num_taken: int = 0
    is_answered: bool = False

    @property
    def num_left(self) -> int:
        """Texts that wait."""
        return len(self.texts) - self.num_taken

    @property
    def vectors(self) -> list[Tensor]:
        """The vectors of its texts, in their order."""
        return [self.pooled[start] for start in sorted(self.pooled)]


@dataclass(frozen=True)
class _Part:
    """Some of a call's texts, from number `start` on."""

    call: _Call
    start: int
    texts: list[str]


@dataclass
class _Pass:
    """The last pass of a thread."""

    num_calls: int = 0
    num_texts: int = 0
    seconds: float = 0.0


class BatchedPredictor(Generic[Told]):
    """`InterconnectedAISystem.predict` for many callers at once: what waits when a pass begins goes through it together.

    A caller waits for nobody but the passes that run. Where several were answered together, the next pass waits for that many
    again, `linger_seconds` at most (None: an eighth of what the last one took). Callers take turns, so that a list of
    thousands of texts does not keep others waiting. Answers are those of `predict`, up to rounding, of the branches that stood
    when they were asked for; a text that cannot be read is its caller's error alone.

    passes_at_once: threads that compute, each with its share of PyTorch's threads and of the texts. None: two on a CPU of
    several cores, so that one computes while what the other has answered is told and asked for anew; else one. A text that
    comes when nothing else is there is computed with all of PyTorch's threads.
    num_texts: in one pass, at most. num_waiting: texts that may wait, of all callers; more are refused, except a single call
    that finds nobody before it. told: makes of a table of answers what callers get, text by text; called in a thread that
    computes. Without it they get `Prediction`s.
    answered: called whenever futures of several callers may have been set one after another, in the thread that did it.

    Threads: everything from any number at once, beside changes of the system's branches. After `close` calls raise
    `ClosedError`, and so do those that wait.
    """

    def __init__(
        self,
        system: InterconnectedAISystem,
        *,
        told: Callable[[AnswerTable, Sequence[str]], Sequence[Told]] | None = None,
        num_texts: int = 64,
        num_waiting: int = 4096,
        passes_at_once: int | None = None,
        linger_seconds: float | None = None,
        answered: Callable[[], object] | None = None,
    ) -> None:
        self._system = system
        self._told = told or cast("Callable[[AnswerTable, Sequence[str]], Sequence[Told]]", predictions)
        self._num_texts = whole_number(num_texts, "num_texts", least=1)
        self._most_waiting = whole_number(num_waiting, "num_waiting", least=1)
        if passes_at_once is None:
            passes_at_once = 2 if system.encoder.device.type == "cpu" and torch.get_num_threads() > 1 else 1
        self._passes_at_once = whole_number(passes_at_once, "passes_at_once", least=1)
        self._others = torch.get_num_threads()
        self._num_threads = max(1, self._others // self._passes_at_once)
        self._linger_seconds = linger_seconds
        self._answered = answered or (lambda: None)
        self._closed = False
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._process = os.getpid()
        guard = threading.RLock()
        self._changed = threading.Condition(guard)  # there is something for the threads that share
        self._lonely = threading.Condition(guard)  # a text has come alone
        self._calls: deque[_Call] = deque()  # those of which texts wait; whose turn is next stands first
        self._num_waiting = self._num_passes = self._num_answered = 0
        self._computed: dict[int, list[_Part]] = {}  # by thread: what its pass computes
        self._last = [_Pass() for _ in range(self._passes_at_once + 1)]
        self._wanted: dict[int, int] = {}  # by thread that waits: how many calls it waits for
        self._workers: dict[int, threading.Thread] = {}

    def predict(
        self, texts: Sequence[str], *, branches: Sequence[int | str] | None = None, top_n: int = 3
    ) -> list[Told]:
        """The answers to these texts; see `InterconnectedAISystem.predict`, and `submit`."""
        return self.submit(texts, branches=branches, top_n=top_n).result()

    def submit(
        self, texts: Sequence[str], *, branches: Sequence[int | str] | None = None, top_n: int = 3
    ) -> "Future[list[Told]]":
        """The answers to come. Cancelling the future takes back what waits; once its last texts are computed it cannot.

        Raises what `predict` raises for wrong texts, branches and numbers, `QueueFullError` where too many texts wait.
        """
        panel = self._system.panel(branches)
        given, top_n = texts_of(texts), whole_number(top_n, "top_n", least=1)
        call = _Call(panel, given, top_n, Future())
        if not given:
            call.future.set_result([])
            return call.future
        if self._process != os.getpid():
            self._begin_anew()
        with self._changed:
            self._require_open()
            if self._num_waiting and self._num_waiting + len(given) > self._most_waiting:
                told = f"{self._num_waiting} texts wait already, and {self._most_waiting} may"
                raise QueueFullError(told, "num_waiting")
            self._calls.append(call)
            self._num_waiting += len(given)
            self._start_workers()
            self._wake()
        call.future.add_done_callback(lambda future: self._withdraw(call) if future.cancelled() else None)
        return call.future

    def stats(self) -> PredictorStats:
        """As it is."""
        with self._changed:
            return PredictorStats(self._num_waiting, self._num_passes, self._num_answered)

    def close(self) -> None:
        """End the threads after the passes that run; who waits gets `ClosedError`. Twice is the same."""
        with self._changed:
            self._closed = True
            waiting, workers = list(self._calls), list(self._workers.values())
            self._calls.clear()
            self._num_waiting = 0
            self._changed.notify_all()
            self._lonely.notify_all()
        for call in waiting:
            self._fail(call, self._closed_error())
        self._answered()
        for worker in workers:
            if worker is not threading.current_thread():
                worker.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _require_open(self) -> None:
        if self._closed:
            raise self._closed_error()

    def _closed_error(self) -> ClosedError:
        return ClosedError("the predictor is closed; make another one of the system")

    @property
    def _soloist(self) -> int:
        """The number of the thread that computes with all of PyTorch's threads what comes alone."""
        return self._passes_at_once

    @property
    def _is_alone(self) -> bool:
        """Whether there is one text, and nothing beside it."""
        return self._passes_at_once > 1 and self._num_waiting == 1 and not self._computed

    def _wake(self) -> None:
        """Wake those who have something to do now."""
        if self._is_alone:
            self._lonely.notify()
        elif len(self._calls) >= min(self._wanted.values(), default=0):
            self._changed.notify_all()

    def _start_workers(self) -> None:
        for number in range(self._passes_at_once + (self._passes_at_once > 1)):
            if number not in self._workers:
                worker = threading.Thread(
                    target=self._work, args=(number,), name=f"batched predictor {number}", daemon=True
                )
                self._workers[number] = worker
                worker.start()

    def _withdraw(self, call: _Call) -> None:
        with self._changed:
            if call in self._calls:
                self._calls.remove(call)
                self._num_waiting -= call.num_left
                self._wake()

    def _fail(self, call: _Call, error: BaseException) -> None:
        """Its caller gets the error, if it has not left. Not while `_take` looks at whether it is done."""
        with self._changed, suppress(InvalidStateError):
            call.future.set_exception(error)

    # The threads

    def _work(self, number: int) -> None:
        try:
            self._serve(number)
        except BaseException as error:  # a fault of this file: nobody may wait for what will not come
            self._end(number, error)
            raise

    def _serve(self, number: int) -> None:
        """Pass after pass, until the predictor is closed."""
        if self._passes_at_once > 1:  # the soloist too, or it might begin with what the others are just given
            own = self._others if number == self._soloist else self._num_threads
            compute_with(own, others=self._others)
        while (parts := self._next_parts(number)) is not None:
            try:
                self._pass(number, parts)
            except BaseException as error:
                for part in parts:  # the pass may be over, and not all of it told
                    self._fail(part.call, error)
                raise

    def _pass(self, number: int, parts: list[_Part]) -> None:
        began = time.monotonic()
        whole = self._whole(self._done(parts, self._read))
        for alike in _alike(whole):
            self._done([_Part(call, 0, call.texts) for call in alike], self._answer)
        self._passed(number, parts, time.monotonic() - began)
        for call in whole:  # whoever asks again at once finds the pass over
            with suppress(InvalidStateError):  # it has failed
                call.future.set_result(call.answers)
        self._answered()

    def _end(self, number: int, error: BaseException) -> None:
        """The thread is no more; whoever waits, for it or another, is told. The next call begins a new one."""
        with self._changed:
            left = [*self._calls, *(part.call for part in self._computed.pop(number, ()))]
            self._calls.clear()
            self._num_waiting = 0
            self._wanted.pop(number, None)
            del self._workers[number]
        for call in left:
            self._fail(call, error)
        self._answered()

    def _next_parts(self, number: int) -> list[_Part] | None:
        """The texts of the next pass; waits until there are some. None once closed."""
        with self._changed:
            parts: list[_Part] = []
            while not parts:
                self._wake()  # what this thread's pass has left may be another's
                if number == self._soloist:
                    self._lonely.wait_for(lambda: self._is_alone or self._closed)
                else:
                    self._wait_for(number, 1, None)
                    if self._last[number].num_calls > 1:
                        self._wait_for(number, self._usual_calls(), self._linger(number))
                if self._closed:
                    return None
                parts = self._take(number)  # nothing where another thread was faster
            self._num_passes += 1
            self._num_answered += _num_texts(parts)
            return parts

    def _wait_for(self, number: int, num_calls: int, seconds: float | None) -> None:
        """Wait until so many calls wait, or the predictor is closed, or this time is over."""
        self._wanted[number] = num_calls
        try:
            self._changed.wait_for(
                lambda: (len(self._calls) >= num_calls and not self._is_alone) or self._closed, seconds
            )
        finally:
            del self._wanted[number]

    def _usual_calls(self) -> int:
        """A thread's share of those who were answered in the last passes, and will soon ask again."""
        return -(-sum(last.num_calls for last in self._last) // self._passes_at_once)

    def _linger(self, number: int) -> float:
        return self._last[number].seconds / _LINGER if self._linger_seconds is None else self._linger_seconds

    def _take(self, number: int) -> list[_Part]:
        """Some of every call's texts while there is room, in turn. A call whose last texts are taken can leave no more.

        Whatever raises here, each call is among those that wait or among those that are computed, and hears of it.
        """
        taken: dict[_Call, int] = {}
        try:
            self._share_out(taken)
            wanted = [call for call in taken if call.num_left or call.future.set_running_or_notify_cancel()]
            starts = [(call, call.num_taken - taken[call]) for call in wanted]
            parts = [_Part(call, start, call.texts[start : call.num_taken]) for call, start in starts]
            if parts:
                self._computed[number] = parts
            return parts
        except BaseException as error:
            for call in taken:
                self._fail(call, error)
            raise

    def _share_out(self, taken: dict[_Call, int]) -> None:
        """How many texts of which call go into the next pass."""
        room = self._room()
        share = max(1, room // max(1, len(self._calls)))
        while self._calls and room:
            call = self._calls[0]
            if call.future.done():  # it failed, or its caller has just left
                self._calls.popleft()
                self._num_waiting -= call.num_left
                continue
            number = min(room, share, call.num_left)
            taken[call] = taken.get(call, 0) + number
            call.num_taken += number
            room, self._num_waiting = room - number, self._num_waiting - number
            if call.num_left:
                self._calls.rotate(-1)
            else:
                self._calls.popleft()

    def _room(self) -> int:
        """How many texts a pass may take: no more than its share, so that the other threads have theirs."""
        known = self._num_waiting + sum(map(_num_texts, self._computed.values()))
        known = max(known, sum(last.num_texts for last in self._last))
        return min(self._num_texts, -(-known // self._passes_at_once))

    def _passed(self, number: int, parts: Sequence[_Part], seconds: float) -> None:
        with self._changed:
            self._computed.pop(number, None)
            if number != self._soloist:
                self._last[number] = _Pass(len(parts), _num_texts(parts), seconds)

    def _read(self, parts: Sequence[_Part]) -> None:
        """Encoder and trunk, once for all these texts."""
        pooled = self._system.encode_together([text for part in parts for text in part.texts])
        with self._changed:
            for part, vectors in zip(parts, pooled.split([len(part.texts) for part in parts]), strict=True):
                part.call.pooled[part.start] = vectors

    def _whole(self, parts: Sequence[_Part]) -> list[_Call]:
        """The calls of these parts that lack nothing but their answers; each is given to one thread alone."""
        whole = []
        with self._changed:
            for call in (part.call for part in parts):
                if not call.is_answered and sum(map(len, call.pooled.values())) == len(call.texts):
                    call.is_answered = True
                    whole.append(call)
        return whole

    def _answer(self, parts: Sequence[_Part]) -> None:
        """What the branches say of calls that ask the same ones."""
        calls = [part.call for part in parts]
        features = TextFeatures(
            torch.cat([vectors for call in calls for vectors in call.vectors]),
            [text for call in calls for text in call.texts],
        )
        answers = iter(self._told(calls[0].panel.table(features, calls[0].top_n), features.texts))
        for call in calls:
            call.answers = [next(answers) for _ in call.texts]

    def _done(self, parts: Sequence[_Part], do: Callable[[Sequence[_Part]], object]) -> list[_Part]:
        """Do something for all parts at once; where that fails, for each by itself, and who fails then fails alone.

        Gives those for whom it was done.
        """
        if not parts:
            return []
        try:
            do(parts)
            return list(parts)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is a caller's
            if len(parts) == 1:
                self._fail(parts[0].call, error)
                return []
            return [done for part in parts for done in self._done([part], do)]


_LINGER = 8  # what a pass took over how long the next one waits for company: little beside it, and enough to answer its callers


def _num_texts(parts: Sequence[_Part]) -> int:
    return sum(len(part.texts) for part in parts)


def _alike(calls: Sequence[_Call]) -> list[list[_Call]]:
    """Calls in groups that ask the same branches for as many labels."""
    groups: dict[tuple[int, int], list[_Call]] = {}
    for call in calls:
        groups.setdefault((call.top_n, id(call.panel)), []).append(call)
    return list(groups.values())
