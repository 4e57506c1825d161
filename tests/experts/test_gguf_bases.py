"""Bases and adapters in llama.cpp: merged or served beside each other they answer as PyTorch does."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import AdapterError, ConfigError, EngineError, StorageError
from interconnected_ai.experts import export_expert, open_expert
from interconnected_ai.experts.adapters.folder import save_adapter
from interconnected_ai.experts.adapters.weights import AdapterWeights, LowRank
from interconnected_ai.experts.bases import base_sha256, find_base
from interconnected_ai.experts.card import ExpertCard
from interconnected_ai.experts.causal_lm import CausalLM
from interconnected_ai.text import GgufVocabulary, PretrainedTokenizer

pytest.importorskip("xllamacpp")
pytest.importorskip("gguf")

from tests.experts import gguf_files as tiny

from interconnected_ai.experts.engines.llama_adapters import adapter_file, open_llamacpp
from interconnected_ai.experts.export.gguf_bases import (
    write_adapter_gguf,
    write_base_gguf,
)
from interconnected_ai.experts.export.gguf_causal import write_causal_gguf
from interconnected_ai.experts.gguf_model import GgufModel

GREEDY = GenerationConfig(max_new_tokens=16, temperature=0.0)
TEMPLATE = "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny.network()


@pytest.fixture
def base(model: Any, tmp_path: Path) -> Path:
    return tiny.write(model, tmp_path / "base.gguf", **{"general.license": "mit", "tokenizer.chat_template": TEMPLATE})


@pytest.fixture
def folder(model: Any, tmp_path: Path) -> Path:
    place = tmp_path / "hf"
    model.save_pretrained(place)
    vocabulary = GgufVocabulary.of(tiny.entries())
    PretrainedTokenizer(vocabulary.tokenizer(), names={"eos_token": "<|end|>"}).save(place)
    (place / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    return place


def saved(model: Any, base: Path, place: Path, seed: int = 1) -> Path:
    card = ExpertCard(name=place.name, base=str(base), base_sha256=base_sha256(base))
    save_adapter(tiny.adapter(model, seed), place, card)
    return place


def answered(file: Path, **settings: Any) -> list[int]:
    with open_llamacpp(file, threads=1, **settings) as engine:
        return list(engine([tiny.PROMPT], GREEDY)[0].token_ids)


def test_a_hugging_face_folder_becomes_one_file_with_its_tokenizer_and_template(
    folder: Path, model: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out.gguf"
    write_base_gguf(folder, out)
    assert tiny.is_greedy(model, tiny.PROMPT, answered(out))
    found = GgufModel.read(out)
    assert (found.chat_template, found.vocabulary.end_ids) == (TEMPLATE, (tiny.OWN.end_id,))
    with open_llamacpp(out, threads=1) as engine:
        assert engine.tokenize("the cat, Привет 123") == PretrainedTokenizer.from_folder(folder).encode(
            "the cat, Привет 123"
        )


@pytest.mark.parametrize("form", ["gguf", "folder"])
def test_a_merged_file_answers_as_the_base_with_its_adapter(
    form: str, base: Path, folder: Path, model: Any, tmp_path: Path
) -> None:
    place = base if form == "gguf" else folder
    adapter, out = saved(model, place, tmp_path / "numpy"), tmp_path / "merged.gguf"
    write_base_gguf(place, out, adapter=adapter)
    assert tiny.is_greedy(tiny.merged(model, tiny.adapter(model, 1)), tiny.PROMPT, answered(out))
    found = GgufModel.read(out)
    assert (found.name, found.chat_template) == ("numpy", TEMPLATE)
    assert found.vocabulary.tokens == GgufVocabulary.of(tiny.entries()).tokens


def test_what_was_merged_is_read_back_by_transformers(base: Path, model: Any, tmp_path: Path) -> None:
    adapter, out = saved(model, base, tmp_path / "numpy"), tmp_path / "merged.gguf"
    write_base_gguf(base, out, adapter=adapter)
    again, wanted = CausalLM.from_pretrained(out).network, tiny.merged(model, tiny.adapter(model, 1))
    for (name, ours), theirs in zip(wanted.named_parameters(), again.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5), name


def test_an_adapter_of_a_head_that_is_the_embedding_is_merged_into_a_head_of_its_own(tmp_path: Path) -> None:
    model = tiny.network(tie_word_embeddings=True)
    base = tiny.write(model, tmp_path / "base.gguf")
    drawn = torch.Generator().manual_seed(5)
    part = LowRank(torch.randn(4, 32, generator=drawn), torch.randn(tiny.OWN.vocab_size, 4, generator=drawn), 1.0)
    card = ExpertCard(name="head", base=str(base), base_sha256=base_sha256(base))
    save_adapter(AdapterWeights({"lm_head": part}), tmp_path / "head", card)
    out = tmp_path / "merged.gguf"
    write_base_gguf(base, out, adapter=tmp_path / "head")
    untied = tiny.network(tie_word_embeddings=False)
    untied.load_state_dict({**model.state_dict(), "lm_head.weight": model.lm_head.weight + part.delta()})
    assert tiny.is_greedy(untied, tiny.PROMPT, answered(out))
    assert "output.weight" in {tensor.name for tensor in GgufModel.read(out).tensors}
    with pytest.raises(EngineError, match="a head that is its embedding"):
        open_llamacpp(base, {"head": tmp_path / "head"})


def test_a_file_with_more_tokens_than_rows_is_refused_before_llamacpp_refuses_it(model: Any, tmp_path: Path) -> None:
    entries, place = tiny.entries(), tmp_path / "long.gguf"
    more = ("<|one|>", "<|two|>")
    entries["tokenizer.ggml.tokens"] += more
    entries["tokenizer.ggml.token_type"] += (4, 4)
    write_causal_gguf(model, entries, place)
    with pytest.raises(EngineError, match=r"names 319 tokens and has 317 rows"):
        open_llamacpp(place)


def test_one_server_has_the_adapters_of_many_folders(base: Path, model: Any, tmp_path: Path) -> None:
    adapters = {name: saved(model, base, tmp_path / name, seed) for seed, name in enumerate(["numpy", "torch", "re"])}
    with open_llamacpp(base, adapters, threads=1) as engine:
        rows: list[str | None] = [*adapters, None]
        answers = engine([tiny.PROMPT] * 4, GREEDY, adapters=rows)
    for seed, answer in enumerate(answers[:3]):
        assert tiny.is_greedy(tiny.merged(model, tiny.adapter(model, seed)), tiny.PROMPT, list(answer.token_ids))
    assert tiny.is_greedy(model, tiny.PROMPT, list(answers[3].token_ids))


def test_an_adapters_file_is_written_once_and_anew_when_its_weights_change(
    base: Path, model: Any, tmp_path: Path
) -> None:
    adapter = saved(model, base, tmp_path / "numpy")
    found = find_base(base)
    first = adapter_file(adapter, found)
    assert first.parent == tmp_path / ".numpy.engines"
    written = first.stat().st_mtime_ns
    assert adapter_file(adapter, found) == first
    assert first.stat().st_mtime_ns == written
    saved(model, base, adapter, seed=2)
    assert adapter_file(adapter, found, tmp_path / "cache") not in (first, tmp_path / "cache" / first.name)


def test_an_adapter_of_a_folder_is_a_file_for_that_folders_gguf(folder: Path, model: Any, tmp_path: Path) -> None:
    adapter, base, lora = saved(model, folder, tmp_path / "numpy"), tmp_path / "base.gguf", tmp_path / "lora.gguf"
    write_base_gguf(folder, base)
    write_adapter_gguf(adapter, lora)
    from interconnected_ai.experts.engines.llamacpp import LlamaCppEngine, LlamaFile

    with LlamaCppEngine(LlamaFile.of_model(GgufModel.read(base)), adapters={"numpy": lora}, threads=1) as engine:
        (answer,) = engine([tiny.PROMPT], GREEDY, adapters=["numpy"])
    assert tiny.is_greedy(tiny.merged(model, tiny.adapter(model, 1)), tiny.PROMPT, list(answer.token_ids))


def test_an_adapter_of_another_base_is_refused_by_hash(base: Path, folder: Path, model: Any, tmp_path: Path) -> None:
    adapter = saved(model, base, tmp_path / "numpy")
    other = tiny.write(tiny.network(rms_norm_eps=1e-5), tmp_path / "other.gguf")
    with pytest.raises(AdapterError, match="base"):
        write_base_gguf(other, tmp_path / "out.gguf", adapter=adapter)
    with pytest.raises(AdapterError, match="base"):
        write_adapter_gguf(adapter, tmp_path / "out.gguf", base=other)
    with pytest.raises(AdapterError, match="base"):
        open_llamacpp(other, {"numpy": adapter})
    with pytest.raises(EngineError, match="is a folder; export it to gguf first"):
        open_llamacpp(folder)
    card = replace(ExpertCard(name="loose"), base=None)
    save_adapter(tiny.adapter(model, 1), tmp_path / "loose", card)
    with pytest.raises(AdapterError, match="loose names no base"):
        write_adapter_gguf(tmp_path / "loose", tmp_path / "out.gguf")
    assert not (tmp_path / "out.gguf").exists()


def test_pretrained_models_are_exported_to_gguf_by_the_table_of_kinds(folder: Path, base: Path, tmp_path: Path) -> None:
    done = export_expert(folder, "gguf", tmp_path / "exports", quantize="q8_0")
    assert (done.path, done.precision) == (tmp_path / "exports" / "hf.gguf", "q8_0")
    assert GgufModel.read(done.path).precision == "Q8_0"
    again = export_expert(base, "gguf", tmp_path / "exports", quantize="float16")
    assert (again.path.name, GgufModel.read(again.path).precision) == ("base.gguf", "F16")
    with pytest.raises(StorageError, match="overwrite"):
        export_expert(base, "gguf", tmp_path / "exports")
    with pytest.raises(ConfigError):
        export_expert(base, "gguf", base, overwrite=True)


def test_an_adapter_is_exported_alone_or_merged(base: Path, model: Any, tmp_path: Path) -> None:
    adapter = saved(model, base, tmp_path / "numpy")
    export_expert(adapter, "gguf", tmp_path / "merged.gguf")
    assert tiny.is_greedy(tiny.merged(model, tiny.adapter(model, 1)), tiny.PROMPT, answered(tmp_path / "merged.gguf"))
    done = export_expert(adapter, "gguf-lora", tmp_path / "lora")
    assert done.path == tmp_path / "lora" / "numpy.gguf"
    for engine in ("llamacpp", "torch"):
        with pytest.raises(EngineError, match="is a lora adapter for a llama and no model"):
            open_expert(done.path, engine=engine)
    with pytest.raises(EngineError, match="is a lora adapter for a llama and no model"):
        find_base(done.path)  # nothing stands on it either
    with pytest.raises(EngineError, match="float32 alone"):
        export_expert(adapter, "gguf-lora", tmp_path / "other", quantize="q8_0")


def test_an_adapters_folder_is_an_expert_on_llamacpp_too(base: Path, model: Any, tmp_path: Path) -> None:
    adapter = saved(model, base, tmp_path / "numpy")
    with open_expert(adapter, engine="llamacpp") as expert:
        answer = expert.generate("the cat sat on the mat", GREEDY)
    prompt = tiny.OWN.encode("the cat sat on the mat")
    assert tiny.is_greedy(tiny.merged(model, tiny.adapter(model, 1)), prompt, list(answer.token_ids))
    assert not tiny.is_greedy(model, prompt, list(answer.token_ids))


def test_an_adapter_of_a_folder_runs_on_torch_alone_and_says_what_to_do(
    folder: Path, model: Any, tmp_path: Path
) -> None:
    adapter = saved(model, folder, tmp_path / "numpy")
    with pytest.raises(EngineError, match="is a folder; export it to gguf first"):
        open_expert(adapter, engine="llamacpp")
