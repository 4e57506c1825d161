"""One part in this process: `python -m interconnected_ai.bench.gpu.worker PART DEVICE tiny|full RESULT.json`."""

import json
import sys
import traceback
from pathlib import Path
from typing import Any

from interconnected_ai.bench.gpu.parts import PARTS, Place
from interconnected_ai.errors import InterconnectedAIError
from interconnected_ai.storage import atomic_file


def main(name: str, device: str, size: str, result: str) -> int:
    """Run the part and write what it found, or why it failed; the exit code says which."""
    part = next(part for part in PARTS if part.name == name)
    try:
        content: dict[str, Any] = {"result": part.run(Place(device, size == "tiny"))}
    except InterconnectedAIError as error:
        content = {"error": str(error)}
    except Exception as error:  # noqa: BLE001 - what a library raised is a finding of this part, not the end of the others
        traceback.print_exc()
        content = {"error": f"{type(error).__name__}: {error}"}
    with atomic_file(Path(result)) as file:
        file.write_text(json.dumps(content), encoding="utf-8")
    return int("error" in content)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
