"""The table of mixtures: every causal LM of transformers with experts is in it, or refused with a reason."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import transformers
from transformers import AutoConfig
from transformers.models.auto.configuration_auto import model_type_to_module_name
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from interconnected_ai.bench.tiny_moes import ALL
from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.mixtures import MIXTURES, REFUSED, mixture_of, num_experts_in, text_config_of, with_text_config
from interconnected_ai.surgery.routing.token_routing import RULES

# a class of stacked experts, or of a block around them, in a family's own file
_BLOCK = re.compile(
    r"^class \w*(?:Experts|MoE|Moe|MoeBlock|SparseMoeBlock|MoEBlock|CDMoE|ParallelExperts)\((?:nn\.Module)\):", re.M
)


def causal_mixtures() -> dict[str, str]:
    """transformers' causal LMs whose own file has experts for text: class → one of its model types."""
    found = {}
    for model_type, class_name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.items():
        package = f"transformers.models.{model_type_to_module_name(model_type)}"
        folder = Path(importlib.import_module(package).__file__ or "").parent
        for file in folder.glob("modeling_*.py"):
            text = file.read_text(encoding="utf-8")
            if "ForConditional" not in class_name and f"class {class_name}(" in text and _BLOCK.search(text):
                found[class_name] = model_type
    return found


def test_every_causal_model_with_experts_that_transformers_has_is_known_or_refused_by_name() -> None:
    known = {each for row in MIXTURES for each in row.model_types} | set(REFUSED)
    missing = {name: kind for name, kind in causal_mixtures().items() if kind not in known}
    assert missing == {}, (
        "a family without a row in interconnected_ai/mixtures/families.py and without a reason in REFUSED"
    )
    assert len(causal_mixtures()) == 57


def test_rows_name_rules_that_there_are_and_model_types_once() -> None:
    kinds = [each for row in MIXTURES for each in row.model_types]
    assert len(kinds) == len(set(kinds))
    assert not set(kinds) & set(REFUSED)
    assert {row.rule for row in MIXTURES} == set(RULES)


def test_every_row_of_a_causal_model_has_a_tiny_model_that_the_suite_runs_on() -> None:
    built = {getattr(transformers, config).model_type for _, config, _ in ALL.values()}
    causal = {kind for kind in causal_mixtures().values() if kind not in REFUSED}
    rows = {row.name for row in MIXTURES if causal & set(row.model_types)}
    assert rows == {mixture_of({"model_type": kind}).name for kind in built}


@pytest.mark.parametrize("row", MIXTURES, ids=lambda row: row.name)
def test_the_keys_of_a_row_are_those_of_the_config_class(row: Any) -> None:
    kind = next((each for each in row.model_types if each in transformers.CONFIG_MAPPING), None)
    assert kind is not None, "no config class of transformers has any of its model types"
    config = AutoConfig.for_model(kind).get_text_config()
    assert any(hasattr(config, key) for key in row.count_keys)
    assert any(hasattr(config, key) for key in row.top_k_keys)
    assert hasattr(config, row.d_ff_key)


@pytest.mark.parametrize("model_type", REFUSED)
def test_a_family_that_cannot_be_operated_on_is_refused_with_its_reason(model_type: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(REFUSED[model_type])):
        mixture_of({"model_type": model_type})


def test_an_unknown_family_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="'qwen3_mo'; known, nearest first: 'qwen3_moe'"):
        mixture_of({"model_type": "qwen3_mo"})
    with pytest.raises(ConfigError, match="no model_type"):
        mixture_of({})


def test_the_language_model_of_a_wrapper_is_found_at_any_depth_and_put_back_there() -> None:
    text = {"model_type": "qwen3_omni_moe_text", "num_experts": 8}
    omni = {
        "model_type": "qwen3_omni_moe",
        "thinker_config": {"text_config": text, "vision_config": {}},
        "talker_config": {},
    }
    assert text_config_of(omni) == text
    assert text_config_of({"text_config": text}) == text
    assert text_config_of(text) is text
    changed = with_text_config(omni, {**text, "num_experts": 6})
    assert text_config_of(changed)["num_experts"] == 6
    assert changed["thinker_config"]["vision_config"] == {}
    assert with_text_config(text, {"model_type": "x"}) == {"model_type": "x"}
    with pytest.raises(ConfigError, match="text_config is a list"):
        text_config_of({"text_config": []})


def test_experts_are_counted_under_every_name_and_a_dense_size_of_a_mixture_has_none() -> None:
    for row in MIXTURES:
        assert num_experts_in({row.count_keys[0]: 8}) == 8
    assert num_experts_in({"num_experts": None, "moe_num_experts": 64}) == 64
    assert num_experts_in({"num_experts": 128, "enable_moe_block": False}) == 0
    assert num_experts_in({"hidden_size": 8}) == 0
