"""What ended a run before its time: no memory, or another error."""

import shlex

from interconnected_ai.doctor.history import History
from interconnected_ai.doctor.illness import Illness, Look
from interconnected_ai.doctor.memory import shape_of, smaller_parts, training_demand
from interconnected_ai.doctor.settings import listed
from interconnected_ai.training import OUT_OF_MEMORY


def _out_of_memory(history: History) -> Illness | None:
    failure, training = history.failure, history.config.training
    classes = {name: read.num_classes for name, read in history.data.items()}
    shape = shape_of(history.config.system, classes, encoder_settled=bool(training.encoder_steps))
    demand = training_demand(training, shape, history.tokens_per_text) if shape else None
    counted = "" if demand is None else f"; the planner counts {demand.words}"
    if failure is not None and failure.kind == OUT_OF_MEMORY:
        evidence = f"step {failure.step + 1}: {failure.message}{counted}"
    elif history.results is None and demand is not None and demand.peak_bytes > demand.total_bytes:
        evidence = f"the run is unfinished and noted no error, as when the system kills a process{counted}"
    else:
        return None
    changes = smaller_parts(training, shape, history.tokens_per_text)
    parts = changes.get("training.accumulation_steps")
    remedy = f"every part is one row already; make the system smaller: {listed(changes)}"
    if parts:
        remedy = (
            f"{listed(changes)}: the same batch and the same gradients in parts of {training.batch_size // parts} rows. "
            "Quantised weights would hardly help: what learns stays in float32, and what grows are activations"
        )
    return Illness("out of memory", evidence, "use quantization, or a smaller BATCH_SIZE", remedy, changes)


def _ended_by_error(history: History) -> Illness | None:
    failure = history.failure
    if failure is None or failure.kind in (OUT_OF_MEMORY, "NonFiniteLossError"):
        return None
    return Illness(
        "ended by an error",
        f"step {failure.step + 1}: {failure.kind}: {failure.message}",
        None,
        f"put right what the message names, then go on with: iai train "
        f"{shlex.quote(str(history.run.folder / 'run.yaml'))} --resume",
    )


LOOKS: tuple[Look, ...] = (_out_of_memory, _ended_by_error)
