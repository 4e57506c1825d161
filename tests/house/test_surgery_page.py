"""The pages on surgery show names that exist."""

import re
from pathlib import Path

import pytest

from interconnected_ai import surgery
from interconnected_ai.mixtures import MIXTURES, REFUSED
from interconnected_ai.planner.pretrained import FAMILIES
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


@pytest.mark.parametrize("page", PAGES)
def test_the_table_of_families_on_the_page_is_the_one_in_the_code(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \| ((?:`\w+`(?:, )?)+) \| ([^|]+) \|$", text, flags=re.MULTILINE)
    shown = [(name, tuple(re.findall(r"`(\w+)`", kinds)), rule) for name, kinds, rule in rows]
    assert shown == [(row.name, row.model_types, row.rule) for row in MIXTURES]
    assert set(re.findall(r"^- `(\w+)`: ", text, flags=re.MULTILINE)) >= set(REFUSED)
    if page == "docs/surgery.md":
        assert all(f"- `{name}`: {why}." in text for name, why in REFUSED.items())


@pytest.mark.parametrize("page", ["docs/plan.md", "docs/plan.ru.md"])
def test_the_plans_page_names_every_architecture_that_the_planner_sizes(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if "`deepseek_v2`" in line)
    assert [name for name in re.findall(r"`(\w+)`", line.split(";")[0]) if name in FAMILIES] == sorted(FAMILIES)
