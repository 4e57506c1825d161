"""`Desk`: what the server's own routes share beside the door: who predicts, jobs, and what is to stay in a folder."""

import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import Depends, Request

from interconnected_ai.errors import ClosedError
from interconnected_ai.serving.door import Door
from interconnected_ai.serving.own.classification import AnswerWriter
from interconnected_ai.serving.own.confusions import Confusions
from interconnected_ai.serving.own.conversation_file import ConversationFile
from interconnected_ai.serving.own.feedback_file import FeedbackFile
from interconnected_ai.serving.own.growing import BranchWork
from interconnected_ai.serving.own.reloading import Reloading
from interconnected_ai.serving.own.returning import Returning
from interconnected_ai.serving.own.workshop import Workshop

if TYPE_CHECKING:
    from interconnected_ai.branches import BatchedPredictor, InterconnectedAISystem

_LOOK_SECONDS = 0.05


class Desk:
    """Made when the server begins, in its event loop; closed when it ends.

    returning: how what the predictors answer comes back to that loop.

    Threads: everything may be called from any number of them.
    """

    def __init__(self, door: Door) -> None:
        self._door = door
        self._guard, self._closed = threading.Lock(), False
        self.returning: Returning[list[bytes]] = Returning()
        self._predictors: dict[str, tuple[InterconnectedAISystem, BatchedPredictor[bytes]]] = {}
        state = door.config.state
        with ExitStack() as opened:
            place = Path(opened.enter_context(tempfile.TemporaryDirectory())) if state is None else Path(state)
            place = place.expanduser()
            self.feedback = FeedbackFile(place / "feedback.jsonl")
            self.confusions = Confusions(place / "confusions")
            self.conversations = ConversationFile(place / "conversations.db")
            opened.callback(self.conversations.close)
            self._reloading = opened.enter_context(Reloading(door.hall))
            kinds = {BranchWork.kind: BranchWork(door.hall, self.confusions)}
            self.jobs = opened.enter_context(Workshop(place / "jobs", kinds))
            self._opened = opened.pop_all()

    def predictor(self, system: str) -> "BatchedPredictor[bytes]":
        """Who answers all requests to a system in JSON, those that wait together in one pass; see `AnswerWriter`."""
        from interconnected_ai.branches import BatchedPredictor

        with self._guard:
            if self._closed:
                raise ClosedError("the server is about to end")
            standing = self._door.hall.systems[system]
            known, predictor = self._predictors.get(system, (None, None))
            if predictor is None or known is not standing:
                if predictor is not None:  # of the system that stood there before; who asked it is answered by it
                    threading.Thread(target=_close_when_idle, args=(predictor,), daemon=True).start()
                predictor = BatchedPredictor(standing, told=AnswerWriter(), answered=self.returning.tell)
                self._predictors[system] = standing, predictor
            return predictor

    @property
    def kept(self) -> dict[str, str]:
        """What is served as it was, since what stands on disk cannot be, and why."""
        return self._reloading.kept

    def close(self) -> None:
        """End jobs and predictors. A job that runs is interrupted, and says so when the server begins again."""
        with self._guard:
            self._closed = True
            predictors = [predictor for _, predictor in self._predictors.values()]
        for predictor in predictors:
            predictor.close()
        self._opened.close()


def _close_when_idle(predictor: "BatchedPredictor[bytes]") -> None:
    while predictor.stats().num_waiting:
        time.sleep(_LOOK_SECONDS)
    predictor.close()


def desk_of(request: Request) -> Desk:
    """The desk of the server that a request came to."""
    return cast("Desk", request.app.state.desk)


async def _desk(request: Request) -> Desk:
    """As a dependency; async, or FastAPI would call it in a thread."""
    return desk_of(request)


AtTheDesk = Annotated[Desk, Depends(_desk)]
