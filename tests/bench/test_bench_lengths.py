"""`iai bench generate --lengths`: memory over prompts of many lengths, small."""

from pathlib import Path

import pytest
from tests.cli import command_line

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="resident memory is read from /proc")


def test_the_command_says_how_much_the_worst_model_grew(capsys: pytest.CaptureFixture[str]) -> None:
    found = command_line.run_json(capsys, "bench", "generate", "--lengths", "40")
    assert [row["model"] for row in found["length_rows"]] == [
        "expert, as it comes", "expert, its own weights", "Llama, the lean way", "GPT-NeoX, its own forward"
    ]  # fmt: skip
    growths = [row["after_mb"] / row["before_mb"] - 1 for row in found["length_rows"]]
    assert found["rss_growth_lengths"] == pytest.approx(max(growths))
    assert all(row["before_mb"] > 50 for row in found["length_rows"])
