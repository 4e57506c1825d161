"""Llama-shaped models and LoRA adapters as GGUF files: llama.cpp computes what PyTorch computes."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from interconnected_ai.errors import EngineError, UnknownNameError
from interconnected_ai.storage import read_gguf

xllamacpp = pytest.importorskip("xllamacpp")
gguf = pytest.importorskip("gguf")

from tests.experts import gguf_files as tiny  # noqa: E402

from interconnected_ai.experts.adapters.weights import AdapterWeights, LowRank  # noqa: E402
from interconnected_ai.experts.engines.llama_server import LlamaServer, whole_answer  # noqa: E402
from interconnected_ai.experts.engines.token_gaps import Pieces  # noqa: E402
from interconnected_ai.experts.export.gguf_llama import GgufShape  # noqa: E402
from interconnected_ai.experts.export.gguf_lora import write_gguf_lora  # noqa: E402
from interconnected_ai.text import GgufVocabulary  # noqa: E402

_GREEDY = {"n_predict": 16, "temperature": 0.0, "samplers": ["temperature"], "return_tokens": True, "n_probs": 1}
_ADAPTERS = ("first", "second")


def served(file: Path, **settings: Any) -> LlamaServer:
    pieces = Pieces(GgufVocabulary.of(tiny.entries()).pieces)
    return LlamaServer(xllamacpp, file, 2, 256, 1, pieces=pieces, **settings)


def answered(server: LlamaServer, adapter: str | None = None, prompt: list[int] = tiny.PROMPT, **more: Any) -> Any:
    request = {**_GREEDY, "prompt": prompt, "cache_prompt": False, "lora": server.lora(adapter), **more}
    (answer,) = server.complete(request)
    return answer


CASES = [
    ("llama", {}),
    ("llama", {"tie_word_embeddings": True}),
    ("llama", {"attention_bias": True}),
    ("llama", {"rope_parameters": tiny.ROPES["linear"]}),
    ("llama", {"rope_parameters": tiny.ROPES["llama3"]}),
    ("mistral", {"head_dim": 16}),
    ("qwen2", {}),
    ("qwen3", {"head_dim": 16}),
]


@pytest.mark.parametrize(("family", "settings"), CASES)
def test_llamacpp_foretells_what_pytorch_foretells(family: str, settings: dict[str, Any], tmp_path: Path) -> None:
    model = tiny.network(family, **settings)
    server = served(tiny.write(model, tmp_path / "model.gguf"))
    answer = answered(server)
    assert tiny.is_greedy(model, tiny.PROMPT, answer["tokens"])
    steps = whole_answer(answer, 0, 1, server.pieces)
    wanted = tiny.logprobs(model, [*tiny.PROMPT, *answer["tokens"]])[len(tiny.PROMPT) - 1 :]
    noted = [(step.logprob, wanted[place, step.token_id].item()) for place, step in enumerate(steps) if step.logprob]
    assert len(noted) >= 4  # the others end within a character
    assert all(theirs == pytest.approx(ours, abs=0.03) for theirs, ours in noted)  # keys and values are in float16


@pytest.mark.parametrize("precision", ["float16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"])
def test_a_quantised_file_is_what_transformers_reads_back(precision: str, tmp_path: Path) -> None:
    model = tiny.network()
    place = tiny.write(model, tmp_path / "model.gguf", precision=precision)
    again = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file=place.name, dtype=torch.float32
    ).eval()
    server = served(place)
    answer = answered(server)
    assert tiny.is_greedy(again, tiny.PROMPT, answer["tokens"], within=0.3)  # llama.cpp rounds activations to 8 bits
    limit = {"float16": 1e-3, "q8_0": 0.01}.get(precision, 0.2)
    ours, theirs = dict(model.named_parameters()), dict(again.named_parameters())
    for name, tensor in ours.items():
        assert (theirs[name] - tensor).abs().max() <= limit * tensor.abs().max(), name


def test_transformers_reads_the_tokenizer_and_the_template_of_a_file_of_ours(tmp_path: Path) -> None:
    template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    place = tiny.write(tiny.network(), tmp_path / "model.gguf", **{"tokenizer.chat_template": template})
    read = transformers.AutoTokenizer.from_pretrained(tmp_path, gguf_file=place.name)
    assert read.chat_template == template
    assert served(place).tokenize("the cat sat") == tiny.OWN.encode("the cat sat")


@pytest.mark.parametrize(("family", "settings"), [("llama", {}), ("qwen2", {}), ("qwen3", {"head_dim": 16})])
def test_an_adapter_changes_llamacpps_answers_as_it_changes_pytorchs(
    family: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    model = tiny.network(family, **settings)
    base = tiny.write(model, tmp_path / "model.gguf")
    adapters, changed = {}, {None: model}
    for number, name in enumerate(_ADAPTERS):
        modules = tiny.adapter(model, number + 1)
        adapters[name], changed[name] = tmp_path / f"{name}.gguf", tiny.merged(model, modules)
        write_gguf_lora(modules, read_gguf(base), adapters[name], name=name)
    server = served(base, adapters=adapters)
    answers = {name: answered(server, name)["tokens"] for name in changed}
    for name, answer in answers.items():
        others = [other for other in changed if other != name]
        assert tiny.is_greedy(changed[name], tiny.PROMPT, answer)
        assert not any(tiny.is_greedy(changed[other], tiny.PROMPT, answer) for other in others)


def test_a_place_never_reuses_what_another_adapter_has_read(tmp_path: Path) -> None:
    """A known fault of other builds of llama.cpp's server: ggml-org/llama.cpp#26207."""
    model = tiny.network()
    base = tiny.write(model, tmp_path / "model.gguf")
    adapters = {}
    for number, name in enumerate(_ADAPTERS):
        adapters[name] = tmp_path / f"{name}.gguf"
        write_gguf_lora(tiny.adapter(model, number + 1), read_gguf(base), adapters[name])
    server = served(base, adapters=adapters, keeps_prompts=True)
    alone = {name: answered(server, name)["tokens"] for name in (*_ADAPTERS, None)}
    for name in ("first", "second", "second", None, "first", None, None):
        again = answered(server, name, cache_prompt=True, id_slot=0)
        assert again["tokens"] == alone[name]
    assert again["timings"]["prompt_n"] == 1  # the same adapter twice: what was read is kept


def test_modules_of_different_scales_and_ranks_keep_each_its_own(tmp_path: Path) -> None:
    model = tiny.network()
    base, place = tiny.write(model, tmp_path / "model.gguf"), tmp_path / "mixed.gguf"
    parts = {}
    for number, (name, part) in enumerate(tiny.adapter(model, 1).named()):
        rank = 1 + number % 4
        parts[name] = LowRank(part.a[:rank], part.b[:, :rank], 0.5 + number % 3)
    weights = AdapterWeights(parts)
    write_gguf_lora(weights, read_gguf(base), place)
    answer = answered(served(base, adapters={"mixed": place}), "mixed")["tokens"]
    assert tiny.is_greedy(tiny.merged(model, weights), tiny.PROMPT, answer)


def test_an_adapter_that_does_not_fit_its_base_is_refused(tmp_path: Path) -> None:
    model = tiny.network(tie_word_embeddings=True)
    base = read_gguf(tiny.write(model, tmp_path / "model.gguf"))
    part = tiny.adapter(model, 1).modules["model.layers.0.self_attn.q_proj"]
    cases: list[tuple[dict[str, LowRank], str]] = [
        ({}, "changes no module"),
        ({"lm_head": LowRank(part.a, torch.zeros(tiny.OWN.vocab_size, 4), 1.0)}, "a head that is its embedding"),
        ({"model.layers.0.self_attn.q_proj": LowRank(part.a[:, :16], part.b, 1.0)}, "belongs to another base"),
        ({"model.layers.0.self_attn.q_proj": LowRank(part.a[:2], part.b, 1.0)}, "ranks 2 and 4"),
        ({"model.layers.0.mlp.experts.0": part}, "has no place for the module"),
    ]
    for modules, words in cases:
        with pytest.raises(EngineError, match=words):
            write_gguf_lora(AdapterWeights(modules), base, tmp_path / "adapter.gguf")
    assert not (tmp_path / "adapter.gguf").exists()
    with pytest.raises(EngineError, match=r"GGUF is written for llama, .*, this model is 'gpt_neox'"):
        GgufShape.of_config({"model_type": "gpt_neox"})


def test_what_the_format_cannot_describe_is_refused(tmp_path: Path) -> None:
    yarn = {"rope_type": "yarn", "rope_theta": 10_000.0, "factor": 4.0, "original_max_position_embeddings": 64}
    with pytest.raises(EngineError, match="rope_type='yarn': written to GGUF are default, linear, llama3"):
        tiny.write(tiny.network(rope_parameters=yarn), tmp_path / "model.gguf")
    with pytest.raises(EngineError, match="have silu, this model has 'gelu'"):
        tiny.write(tiny.network(hidden_act="gelu"), tmp_path / "model.gguf")
    with pytest.raises(UnknownNameError, match="unknown precision 'q3_k'"):
        tiny.write(tiny.network(), tmp_path / "model.gguf", precision="q3_k")
    assert not list(tmp_path.iterdir())


def test_the_server_names_a_file_that_it_does_not_open(tmp_path: Path) -> None:
    place = tmp_path / "broken.gguf"
    place.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(EngineError, match=r"llama\.cpp cannot serve"):
        served(place)
