"""Two mixtures side by side: experts are found again wherever they stand, and what is the same is called the same."""

from pathlib import Path
from typing import Any

import pytest
import torch
from test_looking import opened, texts

from interconnected_ai import surgery
from interconnected_ai.bench.tiny_moes import TINY, make
from interconnected_ai.errors import ConfigError
from interconnected_ai.surgery import MoE, Program, Rule, compare, write_comparison
from interconnected_ai.surgery.analysis.comparison_page import to_html, to_markdown


@pytest.mark.parametrize("family", TINY)
def test_a_model_is_the_same_as_itself(family: str) -> None:
    found = compare(MoE(make(family)), MoE(make(family)))
    assert found.same
    assert (found.distance.largest, found.distance.divergence, found.distance.agreement) == (0, 0, 1)


def test_experts_are_found_again_wherever_they_stand() -> None:
    first, second = opened(), opened()
    second.reorder(0, [7, 6, 5, 4, 3, 2, 1, 0])
    second.remove(0, [2])
    gate = second.layers[1].read(4)
    second.replace(1, 4, type(gate)(gate.gate * 1.01, gate.up, gate.down))
    torch.manual_seed(9)
    second.replace(1, 5, type(gate)(*(torch.randn_like(each) for each in (gate.gate, gate.up, gate.down))))
    found = compare(first, second, {"a": texts(0), "b": texts(40)})
    moved, changed = found.layers
    assert [each.was for each in moved.experts] == [7, 6, 4, 3, 2, 1, 0]
    assert moved.gone == (5,)
    assert (moved.changed, moved.new, moved.router) == (0, 0, 0)
    assert [each.was for each in changed.experts] == [0, 1, 2, 3, 4, None, 6, 7]
    assert 0 < changed.experts[4].difference < 0.02
    assert changed.gone == (5,)
    assert not found.same
    assert found.perplexities["a"][0] == pytest.approx(first.perplexity(texts(0)))
    assert found.distance.divergence > 0


def test_routers_and_what_stands_beside_the_weights_are_named() -> None:
    first, second = opened(), opened()
    with torch.no_grad():
        second.layers[1].router.weight[3] *= 1.1  # type: ignore[index]
        second.model.lm_head.weight[0, 0] += 1
    second.set_program(Program(rules=(Rule(do="only", experts=(1, 2, 3)),)))
    second.set_top_k(3)
    found = compare(first, second)
    assert found.layers[0].router == 0 < found.layers[1].router
    assert found.layers[0].top_k == (2, 3)
    assert list(found.tensors) == ["lm_head.weight"]
    assert found.besides[0].startswith("only the second has the rules")


def test_models_that_have_nothing_to_pair_are_refused() -> None:
    with pytest.raises(ConfigError, match="different families"):
        compare(MoE(make("qwen3_moe")), MoE(make("olmoe")))
    with pytest.raises(ConfigError, match="different layers"):
        compare(MoE(make("qwen3_moe")), MoE(make("qwen3_moe", num_hidden_layers=1)))
    for settings in ({"max_tokens": 1}, {"batch_size": 0}):
        with pytest.raises(ConfigError, match=next(iter(settings))):
            compare(opened(), opened(), **settings)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="needs a MoE"):
        compare(make("qwen3_moe"), opened())


def test_the_page_says_it_in_markdown_and_in_html(tmp_path: Path) -> None:
    first, second = opened(), opened()
    second.remove(0, [2])
    second.remove(1, [2])
    found = compare(first, second, {"<law>": texts(0)}, names=("a|b", "<b>"))
    markdown, html = to_markdown(found), to_html(found)
    assert "| 8 → 7 |" in markdown
    assert "a\\|b" in markdown
    assert "<td>8 → 7</td>" in html
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    for name in ("page.md", "page.html"):
        write_comparison(found, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 500
    with pytest.raises(ConfigError, match="ends in"):
        write_comparison(found, tmp_path / "page.pdf")


def test_a_saved_model_is_the_same_as_the_one_that_was_saved(tmp_path: Path) -> None:
    moe: Any = opened()
    moe.insert(0, [None])
    moe.save(tmp_path / "out")
    found = compare(moe, surgery.open(tmp_path / "out"))
    assert found.same
    assert found.to_dict()["same"]
