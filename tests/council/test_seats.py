"""The council's pool: bases that adapters share, and experts on mapped weights."""

import shutil
from pathlib import Path

import pytest

pytest.importorskip("re2")

from tests.council.tiny_councils import WORDS, saved_expert
from tests.experts.expert_models import made
from tests.experts.tiny_llamas import saved_base, tiny_adapter, tiny_llama

from interconnected_ai.config import CouncilConfig
from interconnected_ai.council import Council
from interconnected_ai.errors import ConfigError
from interconnected_ai.experts import Base, BorrowedBase, ExpertCard, save_adapter, save_expert
from interconnected_ai.experts.adapters.lending import lent_num_bytes


def saved_adapters(home: Path) -> Base:
    base = saved_base(home / "base")
    for number, name in enumerate(("one", "two")):
        card = ExpertCard(name=name, base=str(base.path), base_sha256=base.sha256)
        save_adapter(tiny_adapter(tiny_llama(), number), home / name, card)
    return base


def council_with(home: Path, names: tuple[str, ...], **more: object) -> Council:
    experts = {
        name: {"place": str(home / name), **({"engine": more["engine"]} if "engine" in more else {})} for name in names
    }
    settings = {"experts": experts, "fallback": names[0], "semantic": False, "max_new_tokens": 2}
    return Council(
        CouncilConfig.from_mapping(settings | {key: value for key, value in more.items() if key != "engine"})
    )


def test_a_base_is_in_the_pools_books_once_and_goes_after_its_adapters(tmp_path: Path) -> None:
    base = saved_adapters(tmp_path)
    share = BorrowedBase(base)
    base_bytes = share.num_bytes
    share.close()
    with council_with(tmp_path, ("one", "two"), budget_mb=50) as council:
        pool = council.pool
        assert pool.stats().used_bytes == 0
        with pool.borrow_all("one", "two") as loans:
            adapters = sum(loan.expert.num_bytes for loan in loans)
            assert lent_num_bytes() == base_bytes
            assert pool.stats().used_bytes == base_bytes + adapters
        assert set(pool.names) == {"one", "two"}
    assert lent_num_bytes() == 0


def test_a_budget_that_no_base_fits_is_refused_when_the_council_is_made(tmp_path: Path) -> None:
    saved_adapters(tmp_path)
    with pytest.raises(ConfigError, match="the base of adapters, takes"):
        council_with(tmp_path, ("one", "two"), budget_mb=0.001)


def test_an_adapter_with_damaged_weights_is_named_and_the_other_of_its_base_answers(tmp_path: Path) -> None:
    saved_adapters(tmp_path)
    weights = tmp_path / "one" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-200])
    with council_with(tmp_path, ("one", "two"), budget_mb=50) as council:
        answer = council.chat("hello", temperature=0.0)
        assert answer.experts == ("two",)
        assert answer.notices[0].startswith("one is set aside: ")
        assert set(council.wellness.ailments()) == {"one"}
        assert lent_num_bytes() > 0


def test_adapters_whose_base_has_gone_are_named_and_one_that_stands_on_nothing_answers(tmp_path: Path) -> None:
    saved_adapters(tmp_path)
    saved_expert(tmp_path / "plain", 1)
    with council_with(tmp_path, ("one", "two", "plain"), budget_mb=50) as council:
        shutil.rmtree(tmp_path / "base")
        answer = council.chat("hello", temperature=0.0)
        assert answer.experts == ("plain",)
        assert [notice.split(":")[0] for notice in answer.notices] == ["one is set aside", "two is set aside"]
        assert "base" in answer.notices[0]
        assert council.chat("hello", temperature=0.0).experts == ("plain",)
    assert lent_num_bytes() == 0


def test_an_expert_on_onnx_answers_from_mapped_weights_first_and_alike_when_it_is_hot(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    large = {"d_model": 128, "d_ff": 512}  # so that its weights are more than a session takes
    save_expert(made(vocab_size=WORDS.vocab_size, max_seq_len=512, **large), tmp_path / "tiny", WORDS)
    with council_with(tmp_path, ("tiny",), engine="onnx", budget_mb=50) as council:
        answers, states = [], []
        for number in range(4):
            answers.append(council.chat("hello", session=str(number), temperature=0.0).message.content)
            states.append(council.pool.stats().experts["tiny"].state)
            while number and council.pool.stats().experts["tiny"].state != "resident":
                pass
        assert states[0] == "mapped"
        assert len(set(answers)) == 1
