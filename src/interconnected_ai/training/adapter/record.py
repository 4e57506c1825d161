"""What the folder of an adapter's training says of it, for those who judge or show the run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interconnected_ai.arguments import checked
from interconnected_ai.config import AdapterRunConfig
from interconnected_ai.errors import InterconnectedAIError, NotAModelError
from interconnected_ai.training.chats import ChatCorpus, PreferenceCorpus
from interconnected_ai.training.curves import Curve, read_curves
from interconnected_ai.training.failures import Failure, failure_of
from interconnected_ai.training.outputs import beside
from interconnected_ai.training.run_folder import content_of

CHATS = "chats"  # folder of the conversations or preferences in that of a training


@dataclass(frozen=True)
class AdapterRecord:
    """A training of an adapter, read from its folder. corpus: the conversations or preferences, None where it learns from
    text; results: what was written at its end, empty before; failure: the error that ended it, if one did.
    """

    folder: Path
    config: AdapterRunConfig
    curves: dict[str, Curve]
    corpus: ChatCorpus | PreferenceCorpus | None
    results: Mapping[str, Any]
    failure: Failure | None

    @property
    def state(self) -> str:
        """finished, ended by an error, or unfinished (it runs, was interrupted or was killed)."""
        if self.results:
            return "finished"
        return "unfinished" if self.failure is None else f"ended by {self.failure.kind} after {self.failure.step} steps"

    def curve(self, name: str) -> Curve:
        """One figure's curve without the steps at which it was no number, empty when it was never logged."""
        return self.curves.get(name, Curve()).finite


@checked
def adapter_run_folder(folder: str | Path) -> Path | None:
    """The training's folder where a folder is one of an adapter, or stands beside one as its adapter; else None."""
    for place in (Path(folder), beside(Path(folder))):
        try:
            AdapterRunConfig.from_file(place / "run.yaml")
        except (InterconnectedAIError, OSError):
            continue
        return place
    return None


@checked
def read_adapter_run(folder: str | Path) -> AdapterRecord:
    """Read what a training of an adapter has written so far. folder: its own, or the adapter's. May be called while it is at
    work, from any thread or process.

    Raises `NotAModelError` for a folder that is none, `IntegrityError` for a file that is not what a run writes there.
    """
    place = adapter_run_folder(folder)
    if place is None:
        raise NotAModelError(f"{folder} is no training of an adapter; give the folder that `iai expert adapt` wrote")
    config = AdapterRunConfig.from_file(place / "run.yaml")
    results = place / "results.json"
    return AdapterRecord(
        place,
        config,
        read_curves(place / "metrics.jsonl"),
        _corpus(place / CHATS, config),
        content_of(results) if results.exists() else {},
        failure_of(place),
    )


def _corpus(folder: Path, config: AdapterRunConfig) -> ChatCorpus | PreferenceCorpus | None:
    if not folder.is_dir():
        return None
    return ChatCorpus.load(folder) if config.preferences is None else PreferenceCorpus.load(folder)
