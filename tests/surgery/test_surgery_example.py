"""The document's questions, answered by the example."""

import runpy
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "surgery_document.py"


def test_the_example_shows_what_the_document_asks(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert "False" not in "".join(lines)
    assert lines[1] == "inserted expert 128: outputs equal to the last bit: True"
    assert lines[4] == "only the routers moved, everything else is bit-identical"
