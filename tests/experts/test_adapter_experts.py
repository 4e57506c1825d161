"""Adapter folders as experts: they share one base, say what they are, are measured and exported like the other kinds."""

import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from tiny_llamas import saved_base, tiny_adapter, tiny_llama
from transformers import AutoModelForCausalLM

from interconnected_ai.errors import AdapterError, ClosedError, EngineError, NotAModelError
from interconnected_ai.experts import (
    BatchLimits,
    Expert,
    ExpertCard,
    SharedBase,
    expert_card,
    export_expert,
    kind_of,
    open_base,
    open_expert,
    quantize_expert,
    read_adapter,
    save_adapter,
)
from interconnected_ai.experts.adapters.lending import lent_num_bytes

GREEDY = {"max_new_tokens": 8, "temperature": 0.0}
CARD = {"languages": ("en",), "licence": "MIT", "examples": ("The router",), "training": {"bits_per_byte": 1.25}}


@pytest.fixture(scope="module")
def experts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("experts")
    base = saved_base(folder / "base")
    for number, name in enumerate(("numpy", "torch")):
        card = ExpertCard(name=name, base=str(base.path), base_sha256=base.sha256, **CARD)  # type: ignore[arg-type]
        save_adapter(tiny_adapter(tiny_llama(), number), folder / name, card)
    return folder


def test_an_adapters_folder_is_an_expert_of_its_kind(experts: Path) -> None:
    kind, place = kind_of(experts / "numpy")
    card = expert_card(experts / "numpy")
    assert (kind.name, place) == ("adapter", experts / "numpy")
    assert (card.kind, card.name, card.base) == ("adapter", "numpy", str(experts / "base"))
    assert (card.languages, card.licence, card.examples, card.bits_per_byte) == (("en",), "MIT", ("The router",), 1.25)
    assert card.num_params == read_adapter(experts / "numpy").weights.num_params
    assert card.num_bytes == sum(file.stat().st_size for file in (experts / "numpy").iterdir())


def test_looking_at_it_loads_no_torch(experts: Path) -> None:
    code = (
        "import sys; from interconnected_ai.experts import expert_card\n"
        "assert expert_card(sys.argv[1]).kind == 'adapter' and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(experts / "numpy")], check=True)


def test_experts_on_one_base_have_it_once_and_the_last_lets_it_go(
    experts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: Counter[str] = Counter()
    real = SharedBase.open
    monkeypatch.setattr(SharedBase, "open", lambda base, **more: (loads.update([base.sha256]), real(base, **more))[1])
    numpy, torch_ = Expert.from_pretrained(experts / "numpy"), Expert.from_pretrained(experts / "torch")
    assert sum(loads.values()) == 1
    one = lent_num_bytes()
    assert numpy.num_bytes == read_adapter(experts / "numpy").weights.num_bytes < one
    answers = {str(expert.generate("The router", **GREEDY)) for expert in (numpy, torch_)}
    assert len(answers) == 2
    numpy.close()
    assert lent_num_bytes() == one
    assert str(torch_.generate("The router", **GREEDY)) in answers
    torch_.close()
    torch_.close()
    assert lent_num_bytes() == 0
    with pytest.raises(ClosedError):
        torch_.generate("The router", **GREEDY)


def test_a_base_that_is_an_expert_too_is_in_memory_once(experts: Path) -> None:
    with Expert.from_pretrained(experts / "numpy") as numpy, Expert.from_pretrained(experts / "base") as alone:
        one, expected = lent_num_bytes(), str(alone.generate("The router", **GREEDY))
        base = open_base(experts / "base")
        assert lent_num_bytes() == one
        assert base.num_bytes == 0
        assert str(base.generate("The router", **GREEDY)) == expected
        assert base.card.kind == "causal"
        assert base.score(["The router gives"]).nats == pytest.approx(alone.score(["The router gives"]).nats)
        base.close()
        assert str(numpy.generate("The router", **GREEDY)) != expected  # and goes on
    assert lent_num_bytes() == 0
    with open_base(experts / "base") as base:
        assert lent_num_bytes() > 0
    assert lent_num_bytes() == 0


def test_a_base_answers_together_with_the_adapters_over_it(experts: Path) -> None:
    """Whichever of both was opened first, and each as it does alone."""
    prompts = ("The router gives", "every token", "two experts")
    with open_base(experts / "base") as base, Expert.from_pretrained(experts / "numpy") as numpy:
        alone = [str(each.generate(prompt, **GREEDY)) for each in (base, numpy) for prompt in prompts]
    for first, second in ((open_base, open_expert), (open_expert, open_base)):
        with ExitStack() as opened:
            both = {
                opener: opened.enter_context(
                    opener(experts / ("base" if opener is open_base else "numpy"), batching=BatchLimits(num_rows=4))
                )
                for opener in (first, second)
            }
            asked = [(both[opener], prompt) for opener in (open_base, open_expert) for prompt in prompts]
            with ThreadPoolExecutor(len(asked)) as callers:
                found = list(callers.map(lambda one: str(one[0].generate(one[1], **GREEDY)), asked))
            assert found == alone
            engines = [each.engine for each in both.values()]
            assert engines[0].batcher is engines[1].batcher is not None


def test_an_expert_that_is_dropped_gives_its_share_back(experts: Path) -> None:
    Expert.from_pretrained(experts / "numpy").generate("x", **GREEDY)
    import gc

    gc.collect()
    assert lent_num_bytes() == 0


def test_it_answers_and_scores_as_the_merged_model_does(experts: Path, tmp_path: Path) -> None:
    export_expert(experts / "numpy", "safetensors", tmp_path / "merged")
    with Expert.from_pretrained(experts / "numpy") as adapter, Expert.from_pretrained(tmp_path / "merged") as merged:
        for prompt in ("The router gives", "", "Ёлка"):
            assert adapter.generate(prompt, **GREEDY).token_ids == merged.generate(prompt, **GREEDY).token_ids
            assert "".join(adapter.stream(prompt, **GREEDY)) == str(merged.generate(prompt, **GREEDY))
        texts = ["The experts answer.", "Эксперт отвечает."]
        assert adapter.score(texts).nats == pytest.approx(merged.score(texts).nats, rel=1e-5)
        assert adapter.config.vocab_size == merged.config.vocab_size == 300
    opened = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert opened.config.model_type == "llama"


def test_it_is_exported_for_peft_and_as_gguf(experts: Path, tmp_path: Path) -> None:
    export_expert(experts / "numpy", "peft", tmp_path / "peft")
    wanted = read_adapter(experts / "numpy").weights.modules
    found = read_adapter(tmp_path / "peft").weights.modules
    assert all(torch.equal(found[name].a, part.a) for name, part in wanted.items())
    done = export_expert(experts / "numpy", "gguf-lora", tmp_path / "numpy.gguf")
    assert done.path.read_bytes()[:4] == b"GGUF"
    with pytest.raises(EngineError, match="float32 alone"):
        export_expert(experts / "numpy", "peft", tmp_path / "other", quantize="q8_0")
    with pytest.raises(EngineError, match="adapter"):
        export_expert(experts / "numpy", "onnx", tmp_path / "other")
    with pytest.raises(EngineError, match="a few MB"):
        quantize_expert(experts / "numpy", tmp_path / "small", "int8")


def test_a_base_that_changed_or_is_gone_is_told_before_it_is_loaded(experts: Path, tmp_path: Path) -> None:
    weights = tiny_adapter(tiny_llama(), 3)
    save_adapter(weights, tmp_path / "a", ExpertCard(base=str(experts / "base"), base_sha256="00" * 32))
    with pytest.raises(AdapterError, match="another base"):
        Expert.from_pretrained(tmp_path / "a")
    save_adapter(weights, tmp_path / "b", ExpertCard(base=str(tmp_path / "gone"), base_sha256="00" * 32))
    with pytest.raises(NotAModelError, match="gone"):
        Expert.from_pretrained(tmp_path / "b")
    with pytest.raises(EngineError, match="onnx"):
        Expert.from_pretrained(experts / "numpy", engine="onnx")
    assert lent_num_bytes() == 0


def test_adapters_and_their_base_are_opened_where_both_were_moved_to(experts: Path, tmp_path: Path) -> None:
    base = saved_base(tmp_path / "first" / "base")
    save_adapter(
        tiny_adapter(tiny_llama(), 0),
        tmp_path / "first" / "a",
        ExpertCard(base=str(base.path), base_sha256=base.sha256),
    )
    (tmp_path / "first").rename(tmp_path / "new place")
    moved = tmp_path / "new place"
    with Expert.from_pretrained(moved / "a") as expert, Expert.from_pretrained(experts / "numpy") as same:
        assert expert.generate("The router", **GREEDY).token_ids == same.generate("The router", **GREEDY).token_ids
    export_expert(moved / "a", "safetensors", tmp_path / "merged")
    (moved / "base").rename(tmp_path / "away")
    saved_base(moved / "base", seed=1)  # another one of its name
    with pytest.raises(NotAModelError, match=r"nothing is there; .* put it beside the adapter: .*new place.base"):
        Expert.from_pretrained(moved / "a")
    assert lent_num_bytes() == 0
