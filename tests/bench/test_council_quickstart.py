"""The council's quickstart: what is not there is made, what is there is used, and a run that was cut goes on."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("Stemmer", reason='needs the extra "memory"')
pytest.importorskip("re2")

from made_up_documentation import READ, SUBJECTS, documents
from tests.council.tiny_councils import saved_expert

from interconnected_ai.bench import council_quickstart, run_council_quickstart
from interconnected_ai.bench.documentation_requests import documentation_requests
from interconnected_ai.bench.everyday_requests import EVERYDAY_REQUESTS
from interconnected_ai.config import CouncilConfig
from interconnected_ai.council import Council
from interconnected_ai.data import Texts, survey
from interconnected_ai.errors import ConfigError, DataError, NotAModelError
from interconnected_ai.experts import expert_card


@pytest.fixture(autouse=True)
def _short_documentation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(READ, "documentation", documents)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_expert(tmp_path_factory.mktemp("base") / "tiny", 0)


def made(folder: Path, base: Path, **more: Any) -> council_quickstart.CouncilQuickstart:
    return run_council_quickstart(folder, str(base), steps=2, say=lambda words: None, **more)


def test_the_first_run_makes_a_council_that_answers_and_the_second_makes_nothing(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = made(tmp_path / "hall", base)
    assert first.made == (
        "the adapter stdlib", "the adapter numpy", "the adapter torch", "the router", "council.yaml",
    )  # fmt: skip
    assert first.router is not None
    assert (first.router.accuracy or 0) > 0.9
    assert (first.router.oos_recall or 0) > 0.5
    config = CouncilConfig.from_file(first.council)
    assert config.fallback == config.seed == "tiny"
    settings = {"temperature": 0.0, "max_new_tokens": 3}
    with Council.from_config(first.council) as council:
        answer = council.chat("How do I sum the elements of a numpy array along an axis?", session="a", **settings)
        assert answer.experts == ("numpy",)
        assert council.chat("Расскажи сказку про лису.", session="b", **settings).experts == ("tiny",)
    assert (tmp_path / "hall" / "memory.db").exists()

    monkeypatch.setattr(council_quickstart, "survey", lambda texts: pytest.fail("read again"))
    before = first.council.read_bytes()
    again = made(tmp_path / "hall", base)
    assert again.made == ()
    assert again.experts == first.experts
    assert first.council.read_bytes() == before


def test_a_run_that_was_cut_goes_on_with_what_is_missing(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = council_quickstart.train_adapter

    def cut(config: Any, **more: Any) -> Any:
        if config.output.endswith("numpy"):
            raise KeyboardInterrupt
        return real(config, **more)

    with monkeypatch.context() as cutting:
        cutting.setattr(council_quickstart, "train_adapter", cut)
        with pytest.raises(KeyboardInterrupt):
            made(tmp_path / "hall", base)
    assert not (tmp_path / "hall" / "council.yaml").exists()
    stdlib = tmp_path / "hall" / "experts" / "stdlib" / "adapter_model.safetensors"
    before = stdlib.read_bytes()
    done = made(tmp_path / "hall", base)
    assert done.made[:2] == ("the adapter numpy", "the adapter torch")
    assert stdlib.read_bytes() == before


def test_adapters_that_stand_elsewhere_are_used_where_they_are(base: Path, tmp_path: Path) -> None:
    first = made(tmp_path / "one", base)
    other = made(tmp_path / "two", base, adapters=tmp_path / "one" / "experts")
    assert other.made == ("the router", "council.yaml")
    assert other.experts["numpy"] == first.experts["numpy"]
    assert not (tmp_path / "two" / "experts").exists()
    assert made(tmp_path / "two", base).made == ()  # where they stand is written down
    with pytest.raises(ConfigError, match=r"has stdlib in .*one.*, not in .*three.*--overwrite"):
        made(tmp_path / "two", base, adapters=tmp_path / "three")
    with pytest.raises(DataError, match=r"holds no adapter; name a folder with stdlib"):
        made(tmp_path / "three", base, adapters=tmp_path)
    assert not (tmp_path / "three").exists()


def test_adapters_of_another_base_and_what_is_no_council_are_refused(base: Path, tmp_path: Path) -> None:
    made(tmp_path / "hall", base)
    another = saved_expert(tmp_path / "another", 1)
    with pytest.raises(ConfigError, match=r"is no adapter of .*another"):
        made(tmp_path / "hall", another)
    card = expert_card(str(tmp_path / "hall" / "experts" / "numpy"))
    (tmp_path / "hall" / "council.yaml").write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"no council: .*--overwrite"):
        made(tmp_path / "hall", base)
    assert expert_card(str(tmp_path / "hall" / "experts" / "numpy")) == card
    with pytest.raises(NotAModelError):
        made(tmp_path / "nothing", tmp_path / "no base")
    assert not (tmp_path / "nothing").exists()


def test_no_document_that_is_asked_about_in_the_test_was_learnt_from() -> None:
    requests = documentation_requests({name: survey(_texts(name)) for name in SUBJECTS})
    every = (requests.train, requests.validation, requests.test)
    sides = [{each.text for each in side} for side in every]
    assert all(sides)
    assert not sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2]
    everyday = [each.text for side in every for each in side if each.expert is None]
    assert sorted(everyday) == sorted(EVERYDAY_REQUESTS)
    for side in every:
        assert {each.expert for each in side} == {*SUBJECTS, None}


def _texts(library: str) -> Texts:
    config = council_quickstart.adapter_config(Path("experts"), "base", library).text
    assert config is not None
    return Texts.of_config(config)
