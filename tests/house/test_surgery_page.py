"""The pages on surgery show names that exist."""

import re
from pathlib import Path

import pytest

from interconnected_ai import surgery
from interconnected_ai.surgery import MoE
from interconnected_ai.surgery.analysis.usage import Usage

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["docs/surgery.md", "docs/surgery.ru.md"]


@pytest.mark.parametrize("page", PAGES)
def test_every_python_block_compiles_and_calls_what_is_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(blocks) >= 6
    for block in blocks:
        compile(block, page, "exec")
        assert all(hasattr(MoE, name) or name in ("layers", "model") for name in re.findall(r"\bmoe\.(\w+)", block))
        assert all(hasattr(Usage, name) for name in re.findall(r"\busage\.(\w+)", block))
        assert all(hasattr(surgery, name) for name in re.findall(r"\bsurgery\.(\w+)\(", block))


def test_both_pages_show_the_same_commands() -> None:
    texts = [(ROOT / page).read_text(encoding="utf-8") for page in PAGES]
    shown = [[x.split("#")[0].strip() for x in text.splitlines() if x.startswith("iai ")] for text in texts]
    assert shown[0] == shown[1]
