"""The process that trains a branch: reads what to do from its input, and says on its output how far it is."""

import json
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from interconnected_ai.errors import InterconnectedAIError
from interconnected_ai.serving.faults import without_places, words_of
from interconnected_ai.serving.own.growing import end_with_parent


def main() -> int:
    """0 where the branch stands."""
    told = sys.stdout.buffer
    sys.stdout = sys.stderr  # what libraries print is no part of what is told
    order = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=end_with_parent, args=(sys.stdin.buffer,), daemon=True).start()
    with suppress(OSError, AttributeError):
        os.nice(5)  # whoever is served goes first, and leaves it a quarter where all are busy

    def say(**line: Any) -> None:
        told.write(json.dumps(line).encode() + b"\n")
        told.flush()

    try:
        say(result=_added(order, lambda doing, done, total: say(doing=doing, done=done, total=total)))
    except (InterconnectedAIError, OSError) as error:
        say(error=words_of(error).replace(without_places(order["rows"]), order["file"]))
        return 1
    return 0


def _added(order: dict[str, Any], tell: Any) -> dict[str, Any]:
    from interconnected_ai.branches import EMBEDDED_ENCODER, InterconnectedAISystem
    from interconnected_ai.config import TrainingConfig
    from interconnected_ai.data import columns_of, read_rows, remarks_on
    from interconnected_ai.training import add_branch, language_remark

    name, folder = order["branch"], Path(order["folder"])
    tell("reading", 0, 1)
    columns = columns_of(order["rows"], text=order["text"], labels=[order["label"]] if order["label"] else [])
    rows = read_rows(order["rows"], columns.text, {name: columns.labels[0]})
    system = InterconnectedAISystem.from_pretrained(folder)
    run = folder.parent if (folder.parent / "run.yaml").is_file() else None
    config = TrainingConfig(epochs=order["epochs"], patience=min(5, order["epochs"]), seed=order["seed"])
    language = language_remark(system.encoder.name or EMBEDDED_ENCODER, rows.texts)
    grown = add_branch(system, folder, name, rows, run=run, config=config, tell=tell)
    said = [*remarks_on(rows), *([language] if language else [])]
    return {
        "branch": name,
        "system": order["system"],
        "text": columns.text,
        "label": columns.labels[0],
        "num_classes": grown.spec.num_classes,
        "num_rows": grown.fit.card.num_rows,
        "validation_accuracy": grown.fit.validation_accuracy,
        "encode_seconds": grown.fit.encode_seconds,
        "train_seconds": grown.fit.train_seconds,
        "others_max_abs_diff": max((check.max_abs_diff for check in grown.checks), default=0.0),
        "fingerprint": grown.fit.card.fingerprint,
        "confusion": [list(each) for each in grown.fit.confusion],
        "remarks": [str(remark).replace(order["rows"], order["file"]) for remark in (*said, *grown.remarks)],
    }


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # the thread that waits for the parent's end holds the input
