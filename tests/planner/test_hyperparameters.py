"""What `iai plan explain` says: every knob of both records, the document's names and values, both languages."""

import re
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interconnected_ai.config import Record, SystemConfig, TrainingConfig
from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.planner.hyperparameters import NOT_TUNED, Hyperparameter, Text, explain, hyperparameters
from properties import examples

# The document's section "Hyperparameters (copy and use)" (000_…), as it stands there.
DOCUMENT = """
NUM_EXPERTS = 8          # total experts
TOP_K = 2               # active per token
LORA_RANK = 8           # adapter rank
AUX_LOSS_WEIGHT = 0.01  # load balancing
LR_MoE = 1e-4          # MoE слои
LR_ADAPTER = 5e-4      # LoRA адаптеры
LR_HEAD = 1e-3         # Output heads
BATCH_SIZE = 64        # per GPU
NUM_EPOCHS = 50        # iterations
GRADIENT_CLIP = 1.0    # max norm
WARMUP_STEPS = 500     # linear warmup
WEIGHT_DECAY = 0.01    # L2 regularization
"""
DOCUMENT_VALUES = [(name, float(value)) for name, value in re.findall(r"^(\w+) = (\S+)", DOCUMENT, re.MULTILINE)]

each = pytest.mark.parametrize("known", hyperparameters(), ids=lambda known: known.name)


@pytest.mark.parametrize("record", [SystemConfig, TrainingConfig])
def test_every_setting_is_explained_or_said_to_be_no_knob(record: type[Record]) -> None:
    explained = {known.name for known in hyperparameters() if known.record is record}
    assert explained | set(NOT_TUNED[record]) == set(record.model_fields)
    assert not explained & set(NOT_TUNED[record])


@each
def test_the_default_is_the_records(known: Hyperparameter) -> None:
    record = known.record.from_mapping({})
    assert known.default == getattr(record, known.name)
    assert type(known.default) is type(getattr(record, known.name))
    assert known.section == ("system" if isinstance(record, SystemConfig) else "training")


@pytest.mark.parametrize(("name", "value"), DOCUMENT_VALUES)
def test_the_documents_names_and_values_are_ours(name: str, value: float) -> None:
    known = explain(name)
    assert name in known.aliases
    assert known.document_default == value
    assert known.default == value or known.differs is not None


def test_the_document_has_twelve_of_them() -> None:
    assert len(DOCUMENT_VALUES) == 12


@each
def test_a_default_that_differs_from_the_documents_says_why(known: Hyperparameter) -> None:
    differs = known.document_default is not None and known.document_default != known.default
    assert (known.differs is not None) == differs


@each
def test_both_languages_say_something_of_their_own(known: Hyperparameter) -> None:
    texts = [known.does, *known.ends, *filter(None, (known.differs, known.default_means))]
    for text in texts:
        assert text.in_language("en") == text.en
        assert text.in_language("ru") == text.ru
        assert not re.search("[а-яё]", text.en, re.IGNORECASE)
        assert re.search("[а-яё]", text.ru, re.IGNORECASE)
    assert known.source
    assert len({text.en for text in texts}) == len({text.ru for text in texts}) == len(texts)


@each
def test_both_ends_of_the_sensible_range_are_settings_that_can_be(known: Hyperparameter) -> None:
    for value in known.sensible:
        changes: dict[str, Any] = {known.name: value}
        if known.name == "top_k":
            changes["num_experts"] = max(2, value)
        made = known.record.from_mapping(changes)
        assert getattr(made, known.name) == value
        assert type(getattr(made, known.name)) is type(value)


@each
def test_the_default_lies_in_the_sensible_range(known: Hyperparameter) -> None:
    if known.is_choice:
        assert known.default in known.sensible
        assert len(set(known.sensible)) == len(known.sensible)
        return
    low, high = known.sensible
    assert low < high
    assert (known.default is None) == (known.default_means is not None)
    if known.default is not None:
        assert low <= known.default <= high


@each
def test_choices_are_all_there_are(known: Hyperparameter) -> None:
    if known.is_choice and not isinstance(known.default, bool):
        with pytest.raises(ConfigError) as caught:
            known.record.from_mapping({known.name: "no such choice"})
        allowed = re.findall(r"'([^']+)'", str(caught.value).partition("Input should be")[2])
        assert sorted(allowed) == sorted(known.sensible)


@examples(60)
@given(st.sampled_from(hyperparameters()), st.sampled_from([str, str.upper, str.title]), st.booleans(), st.booleans())
def test_a_name_is_found_however_it_is_written(known: Hyperparameter, case: Any, hyphens: bool, section: bool) -> None:
    for name in (known.name, *known.aliases):
        written = case(name).replace("_", "-") if hyphens else case(name)
        assert explain(f"{known.section}.{written}" if section else f" {written} ") is known


def test_names_lead_to_one_setting_each() -> None:
    names = [name for known in hyperparameters() for name in {n.casefold() for n in (known.name, *known.aliases)}]
    assert len(names) == len(set(names))


def test_an_unknown_name_lists_the_nearest_first() -> None:
    with pytest.raises(UnknownNameError) as caught:
        explain("lr_heads")
    assert caught.value.known[0] == "lr_head"
    assert caught.value.kind == "hyperparameter"
    with pytest.raises(UnknownNameError, match="unknown language 'de'; known, nearest first: 'en', 'ru'"):
        Text(en="a", ru="б").in_language("de")


def test_the_texts_need_neither_torch_nor_numpy() -> None:
    code = (
        "import sys; import interconnected_ai.planner.hyperparameters; "
        "print(sorted({'torch', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
