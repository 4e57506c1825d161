"""During or after a run: every illness that its figures show.

The document (`000_…`, "Отладка") names five problems. Two of its remedies make the symptom worse: more experts leave each of
them fewer tokens, and a higher clip lets larger steps through. They are told as its own, beside those that practice supports.
"""

from dataclasses import dataclass
from pathlib import Path

from interconnected_ai.doctor import adapters, answering, branches, learning, routing, stops
from interconnected_ai.doctor import thresholds as limit
from interconnected_ai.doctor.history import History, read_history
from interconnected_ai.doctor.illness import Illness
from interconnected_ai.errors import DataError
from interconnected_ai.training import adapter_run_folder, read_adapter_run


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor found. state: how far the run is; unjudged: what could not be looked at, and why."""

    run: Path
    state: str
    illnesses: tuple[Illness, ...]
    unjudged: tuple[str, ...]

    @property
    def is_healthy(self) -> bool:
        """Whether nothing was found."""
        return not self.illnesses


def diagnose(folder: str | Path) -> Diagnosis:
    """Look at a run that is finished, stopped or still learning: of a system, or of a language model's adapter.

    Raises `StorageError` when the folder is no run, `DataError` when there is nothing to look at yet.
    """
    if adapter_run_folder(folder) is not None:
        return _of_adapter(folder)
    history = read_history(folder)
    looks = [*stops.LOOKS, answering.reads_another_language, learning.rate_too_high]
    if len(history.curve("loss/task")) >= limit.LINES.value:
        looks += [*learning.LOOKS, *routing.LOOKS]
    looks += [*branches.LOOKS, *answering.LOOKS]
    # In the order in which they are cured: where two want the same setting, the first has its way.
    found = [illness for look in looks if (illness := look(history)) is not None]
    if (weak := branches.weak_branch(history, found)) is not None:
        found.append(weak)
    return Diagnosis(Path(folder), history.state, tuple(found), tuple(_unjudged(history)))


def _of_adapter(folder: str | Path) -> Diagnosis:
    run = read_adapter_run(folder)
    if not run.curves and run.failure is None:
        raise DataError(
            f"{run.folder} has no figures in metrics.jsonl yet; wait for the training's first step, and ask again"
        )
    return Diagnosis(run.folder, run.state, adapters.illnesses_of(run), adapters.unjudged_of(run))


def _unjudged(history: History) -> list[str]:
    """What could not be looked at, and why."""
    out = []
    lines = len(history.curve("loss/task"))
    if lines < limit.LINES.value:
        out.append(f"trends and routing: {lines} lines of step figures, needed are {limit.LINES.value:.0f} (80 steps)")
    if unmeasured := [name for name in history.branches if history.accuracy(name) is None]:
        out.append(f"accuracy and overfitting of {', '.join(unmeasured)}: no held-out rows, or no epoch is over yet")
    if history.results is None:
        out.append("calibration: temperatures are fitted when the training ends")
    if history.results is not None and history.results.test and not history.run.answers:
        out.append("single answers: the run kept none, as one by an earlier version")
    if lines and not len(history.curve("drift/moe")):
        out.append("drift: none was logged yet, or the run is by an earlier version")
    return out
