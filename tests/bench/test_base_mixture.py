"""A mixture of a base and its adapted siblings: what it is measured beside, and the story told on it."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from interconnected_ai.bench.base_mixture import domain_texts, mixture_of_base, run_base_surgery_quickstart
from interconnected_ai.bench.expert_quickstart import quickstart_config
from interconnected_ai.bench.surgery_quickstart import SEEN, Course, Texts
from interconnected_ai.data import TRAIN, survey
from interconnected_ai.data import Texts as Corpus
from interconnected_ai.errors import AdapterError, NotAModelError
from interconnected_ai.experts import AdapterWeights, Base, ExpertCard, LowRank, find_base, save_adapter
from interconnected_ai.text import Tokenizer

COURSE = Course(batch_size=2, seq_tokens=16, role_steps=2, expert_steps=2, per_layer=1, most_measured=4)
WORDS = ["Return the sum of the array.", "Open a file for reading.", "Applies a linear map to the tensor."]


def base_in(folder: Path, seed: int = 0) -> Base:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=300, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=True,
        bos_token_id=None, eos_token_id=2, pad_token_id=None,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer = Tokenizer.train(WORDS, 300)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.fast, eos_token=tokenizer.token(tokenizer.end_id)
    ).save_pretrained(folder)
    return find_base(folder)


def adapters_in(folder: Path, base: Base, *, moving: str = "numpy") -> dict[str, Path]:
    """One a library; this one moves its feed-forward blocks, the others so little that no perplexity shows it."""
    for number, name in enumerate(SEEN):
        generator = torch.Generator().manual_seed(number)
        size = 1.0 if name == moving else 1e-6  # no two are the same model
        modules = {
            f"model.layers.{layer}.mlp.{part}": LowRank(
                torch.randn(2, d_in, generator=generator), torch.randn(d_out, 2, generator=generator) * size, 1.0
            )
            for layer in range(2)
            for part, d_in, d_out in (("gate_proj", 32, 48), ("up_proj", 32, 48), ("down_proj", 48, 32))
        }
        card = ExpertCard(base=str(base.path), base_sha256=base.sha256)
        save_adapter(AdapterWeights(modules), folder / name, card)
    return {name: folder / name for name in SEEN}


def small_texts() -> dict[str, Texts]:
    return {name: Texts([f"What {name} is for.", *12 * WORDS], WORDS) for name in (*SEEN, "sklearn")}


def test_the_mixture_stands_beside_every_dense_model_it_was_made_of(tmp_path: Path) -> None:
    base = base_in(tmp_path / "base")
    moe, found, trained = mixture_of_base(
        base, adapters_in(tmp_path, base), small_texts(), router_steps=3, course=COURSE
    )
    assert list(found)[:4] == [base.name, *SEEN]
    assert found["stdlib"] == pytest.approx(found[base.name])  # its adapter moves next to nothing
    assert found["numpy"]["numpy"] != pytest.approx(found[base.name]["numpy"])
    assert found["mean of weights"]["numpy"] != pytest.approx(found["numpy"]["numpy"])
    assert found["mixture, routers trained"] != found["mixture, routers as pointed"]
    assert [layer.num_experts for layer in moe.layers] == [4, 4]
    assert len(trained.losses) == 3


def test_a_mixture_of_adapters_that_move_next_to_nothing_is_the_base(tmp_path: Path) -> None:
    base = base_in(tmp_path / "base")
    still = adapters_in(tmp_path, base, moving="")
    _, found, _ = mixture_of_base(base, still, small_texts(), router_steps=1, course=COURSE)
    for figures in found.values():
        assert figures == pytest.approx(found[base.name], rel=1e-5)


def test_the_story_is_told_on_the_mixture_and_vanilla_opens_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interconnected_ai.bench.base_mixture.domain_texts", lambda **_: small_texts())
    base = base_in(tmp_path / "base")
    adapters_in(tmp_path / "experts", base)
    done = run_base_surgery_quickstart(
        tmp_path / "run", str(base.path), tmp_path / "experts", router_steps=2, course=COURSE
    )
    assert done.insertion.same_bits
    assert done.insertion.vanilla_equal
    assert done.of_base is not None
    assert done.perplexity == done.of_base["mixture, routers trained"]
    opened = AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "base")
    assert type(opened).__name__ == "MixtralForCausalLM"
    kept = json.loads((tmp_path / "run" / "quickstart.json").read_text(encoding="utf-8"))
    assert kept["of_base"] == done.of_base


def test_absent_adapters_and_those_of_another_base_are_named_before_anything_is_read(tmp_path: Path) -> None:
    base, other = base_in(tmp_path / "base"), base_in(tmp_path / "other", seed=1)
    with pytest.raises(NotAModelError, match=r"stdlib; make the three of them: iai expert quickstart --base"):
        run_base_surgery_quickstart(tmp_path / "run", str(base.path), tmp_path / "experts")
    with pytest.raises(AdapterError, match="another base"):
        mixture_of_base(base, adapters_in(tmp_path, other), small_texts(), router_steps=1, course=COURSE)


def test_no_text_that_is_measured_on_was_learnt_by_the_quickstarts_adapters() -> None:
    texts = domain_texts()
    for domain in SEEN:
        found = survey(Corpus.of_config(quickstart_config(Path(), domain).text))
        learnt = {document.text for side, _, document in found.documents() if side == TRAIN}
        assert not learnt & set(texts[domain].held)
        assert set(texts[domain].learnt) == learnt
