"""Causal language models of transformers as experts' models: what they compute, what is refused, what is saved."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.experts.causal_folders import TEXTS, causal_folder, small_llama, small_tokenizer
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)

from interconnected_ai.errors import EngineError, IntegrityError, PromptError, UnsafeFileError
from interconnected_ai.experts import CausalLM, HeldOut, LanguageModel, measure
from interconnected_ai.text import PretrainedTokenizer

SHAPE = {
    "vocab_size": 320, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "bos_token_id": None, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip


def gemma() -> Any:
    return Gemma2ForCausalLM(Gemma2Config(**SHAPE, head_dim=8, final_logit_softcapping=3.0, initializer_range=0.5))


FAMILIES = {
    "llama": small_llama,
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=320, n_embd=32, n_layer=2, n_head=4, n_positions=64)),
    "gemma2, capped": gemma,
    "cohere, scaled": lambda: CohereForCausalLM(CohereConfig(**SHAPE, logit_scale=0.25)),
    "granite, scaled": lambda: GraniteForCausalLM(GraniteConfig(**SHAPE, logits_scaling=4.0)),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_head_on_hidden_states_gives_the_logits_of_transformers(family: str) -> None:
    torch.manual_seed(1)
    network = FAMILIES[family]().eval()
    model, ids = CausalLM(network), torch.randint(320, (2, 9))
    assert isinstance(model, LanguageModel)
    model.require_exact_head()
    with torch.no_grad():
        torch.testing.assert_close(model(ids), network(ids).logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_on_either_side_changes_nothing(side: str) -> None:
    model = CausalLM(small_llama())
    short, pad = torch.randint(320, (1, 5)), torch.zeros(1, 3, dtype=torch.long)
    real, none = torch.ones(1, 5, dtype=torch.bool), torch.zeros(1, 3, dtype=torch.bool)
    order = (pad, short) if side == "left" else (short, pad)
    mask = torch.cat((none, real) if side == "left" else (real, none), dim=1)
    with torch.no_grad():
        padded = model.hidden(torch.cat(order, dim=1), mask)[mask]
        torch.testing.assert_close(padded, model.hidden(short)[0], rtol=1e-5, atol=1e-5)


def test_bits_per_byte_are_those_of_transformers_own_loss() -> None:
    model, tokenizer = CausalLM(small_llama()), small_tokenizer()
    held = HeldOut.of(TEXTS[:3], tokenizer)
    nats = 0.0
    for text in TEXTS[:3]:
        ids = torch.tensor([[tokenizer.start_id, *tokenizer.encode(text)]])
        with torch.no_grad():
            shares = model.network(ids).logits.log_softmax(-1)
        nats -= float(shares[0, :-1].gather(1, ids[0, 1:, None]).sum())
    assert measure(model, held).nats == pytest.approx(nats, rel=1e-5)


@pytest.mark.parametrize("family", ["gemma2, capped", "llama"])
def test_a_models_mode_is_its_own_while_it_is_measured(family: str) -> None:
    torch.manual_seed(1)
    model = CausalLM(FAMILIES[family]().eval())
    held = HeldOut.of(TEXTS[:3], small_tokenizer())
    evaluated = measure(model, held, seq_len=16)
    assert measure(model.train(), held, seq_len=16) == evaluated
    assert model.training


def test_a_folder_is_loaded_and_what_is_saved_opens_in_plain_transformers(tmp_path: Path) -> None:
    network = small_llama(3)
    model = CausalLM.from_pretrained(causal_folder(tmp_path / "given", network))
    assert (model.config.vocab_size, model.config.max_seq_len, model.config.architecture) == (320, 128, "llama")
    assert not model.training
    assert model.num_bytes == 4 * model.get_num_params() + sum(b.nbytes for b in network.buffers())
    model.save_pretrained(tmp_path / "saved", small_tokenizer(), licence="apache-2.0", languages=("en", "ru"))
    ids = torch.randint(320, (1, 7))
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    with torch.no_grad():
        assert torch.equal(again(ids).logits, network(ids).logits)
    text = "the expert reads, слово"
    words = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert words(text, add_special_tokens=False)["input_ids"] == small_tokenizer().encode(text)
    assert words.eos_token == "<|im_end|>"
    assert "license: apache-2.0" in (tmp_path / "saved" / "README.md").read_text()
    assert PretrainedTokenizer.from_folder(tmp_path / "saved").sha256 == small_tokenizer().sha256


def test_ids_and_lengths_that_a_model_cannot_read_are_refused() -> None:
    model = CausalLM(small_llama())
    for ids, words in {
        "320": (torch.tensor([[320]]), "token id 320 is outside the vocabulary of 320"),
        "-1": (torch.tensor([[-1]]), "token id -1"),
        "long": (torch.zeros(1, 129, dtype=torch.long), "129 tokens are more than the model's window of 128"),
        "flat": (torch.zeros(3, dtype=torch.long), "needed is"),
    }.values():
        with pytest.raises(PromptError, match=words):
            model.hidden(ids)


def test_models_that_are_loaded_at_once_have_the_weights_that_they_have_alone(tmp_path: Path) -> None:
    network = LlamaForCausalLM(LlamaConfig(**SHAPE, tie_word_embeddings=True, initializer_range=0.5))
    folder = causal_folder(tmp_path / "tied", network)
    expected = {name: tensor.clone() for name, tensor in CausalLM.from_pretrained(folder).network.state_dict().items()}
    found: list[dict[str, torch.Tensor]] = []
    start = threading.Barrier(8)

    def load() -> None:
        start.wait()
        for _ in range(3):
            found.append(CausalLM.from_pretrained(folder).network.state_dict())

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 24
    assert all(torch.equal(one[name], tensor) for one in found for name, tensor in expected.items())


def _changed(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_an_architecture_that_nobody_knows_is_refused_and_no_code_of_a_folder_is_run(tmp_path: Path) -> None:
    folder = causal_folder(tmp_path / "model")
    (folder / "modeling_strange.py").write_text("raise SystemExit('this code was run')")
    _changed(folder, model_type="lama", auto_map={"AutoModelForCausalLM": "modeling_strange.Strange"})
    with pytest.raises(EngineError, match=r"no causal language model 'lama' \(nearest: llama.*never run.*GGUF"):
        CausalLM.from_pretrained(folder)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    folder = causal_folder(tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UnsafeFileError, match=r"only as the pickle 'pytorch_model.bin'.*save_pretrained"):
        CausalLM.from_pretrained(folder)


@pytest.mark.parametrize("kept", [0, 5, 100, 20_000])
def test_truncated_weights_are_refused(tmp_path: Path, kept: int) -> None:
    folder = causal_folder(tmp_path / "model")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    with pytest.raises(IntegrityError, match=r"model\.safetensors"):
        CausalLM.from_pretrained(folder)


def test_weights_of_another_shape_and_weights_that_are_missing_are_refused(tmp_path: Path) -> None:
    folder = causal_folder(tmp_path / "model")
    _changed(folder, num_hidden_layers=3)
    with pytest.raises(IntegrityError, match=r"lacks the weights of 'model.layers.2"):
        CausalLM.from_pretrained(folder)
    _changed(folder, num_hidden_layers=2, hidden_size=64, head_dim=8)
    with pytest.raises(IntegrityError, match="config and weights"):
        CausalLM.from_pretrained(folder)
    _changed(folder, hidden_size=32, quantization_config={"quant_method": "gptq"})
    with pytest.raises(EngineError, match="quantised by gptq"):
        CausalLM.from_pretrained(folder)
    _changed(folder, quantization_config=None)
    (folder / "model.safetensors").unlink()
    with pytest.raises(IntegrityError, match="no weights"):
        CausalLM.from_pretrained(folder)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "model-1.safetensors"}}))
    small_llama().save_pretrained(tmp_path / "other")
    (tmp_path / "other" / "model.safetensors").rename(folder / "model.safetensors")
    with pytest.raises(IntegrityError, match=r"lacks 'model-1.safetensors'"):
        CausalLM.from_pretrained(folder)
