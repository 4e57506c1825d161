"""The engine torch-int4: a GGUF file's own 4 bits, the answers of the same file dequantised, adapters over it."""

from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("gguf")

from tests.experts.gguf_files import OWN, PROMPT, entries, network

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import EngineError
from interconnected_ai.experts import AdapterWeights, CausalLM, Expert, GgufModel, LowRank, SharedBase
from interconnected_ai.experts.bases import find_base
from interconnected_ai.experts.causal import CausalEngine, Int4Engine, why_not_int4
from interconnected_ai.experts.causal.int4_weights import Blocks, Int4Head, Int4Weight, can_multiply
from interconnected_ai.experts.compilable_decoder import step_together
from interconnected_ai.experts.compiled import step_library
from interconnected_ai.experts.export.gguf_causal import write_causal_gguf
from interconnected_ai.text import PretrainedTokenizer

pytestmark = pytest.mark.skipif(not can_multiply(), reason="no products of 4-bit weights on this CPU")

VOCAB = -(-OWN.vocab_size // 16) * 16
SHAPE = {"hidden_size": 64, "intermediate_size": 96, "vocab_size": VOCAB}  # multiples of 32, the vocabulary of 16
CONFIG = GenerationConfig(max_new_tokens=24, temperature=0.0)


def written(place: Path, family: str = "llama", precision: str = "q4_1", **settings: Any) -> Path:
    write_causal_gguf(network(family, **SHAPE | settings), entries(), place, precision=precision)
    return place


@pytest.mark.parametrize("precision", ["q4_0", "q4_1"])
def test_blocks_are_read_as_llama_cpp_reads_them(tmp_path: Path, precision: str) -> None:
    place = written(tmp_path / "model.gguf", precision=precision)
    model = CausalLM.from_pretrained(place)  # dequantised by the package gguf
    file = GgufModel.read(place)
    (tensor,) = [one for one in file.tensors if one.name == "blk.0.ffn_up.weight"]
    raw = torch.from_file(str(place), size=file.size_bytes, dtype=torch.uint8).numpy()
    blocks = Blocks.of_gguf(raw[tensor.offset : tensor.offset + tensor.num_bytes], tensor.type_name, (96, 64))
    torch.testing.assert_close(blocks.dense(), model.network.model.layers[0].mlp.up_proj.weight.detach())


def test_a_product_is_that_of_the_dense_matrix_up_to_bfloat16() -> None:
    drawn = torch.Generator().manual_seed(0)
    quanta = torch.randint(16, (48, 64), generator=drawn, dtype=torch.int32)
    blocks = Blocks(quanta, torch.rand(48, 2, generator=drawn), torch.rand(48, 2, generator=drawn))
    hidden = torch.randn(3, 64, generator=drawn)
    exact = hidden @ blocks.dense().T
    assert (Int4Weight.of(blocks)(hidden.bfloat16()).float() - exact).abs().max() < 0.01 * exact.abs().max()


def test_the_best_logits_are_exact_and_all_others_near() -> None:
    drawn = torch.Generator().manual_seed(1)
    table, hidden = torch.randn(4096, 64, generator=drawn), torch.randn(2, 64, generator=drawn)
    exact, found = hidden @ table.T, Int4Head(table)(hidden)
    best = exact.topk(32, dim=-1).indices
    torch.testing.assert_close(found.gather(1, best), exact.gather(1, best), rtol=1e-5, atol=1e-5)
    assert (found - exact).abs().max() < 0.02 * exact.abs().max()
    torch.testing.assert_close(found.logsumexp(-1), exact.logsumexp(-1), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3"])
def test_logits_are_as_near_to_the_dequantised_file_as_a_model_in_bfloat16_is(tmp_path: Path, family: str) -> None:
    place = written(tmp_path / "model.gguf", family)
    exact, rounded = (
        CausalEngine(CausalLM.from_pretrained(place, dtype=dtype).network) for dtype in (None, torch.bfloat16)
    )
    logits = []
    for engine in (exact, rounded, Int4Engine(GgufModel.read(place), step="calls")):
        decoder = engine.decoder()
        first = decoder.start([PROMPT, PROMPT[:5]], 40)
        logits.append(torch.stack([first, *(decoder.step(torch.tensor([token] * 2)) for token in (7, 11))]))
    wanted, of_bfloat16, found = logits
    assert (found - wanted).std() < 1.5 * (of_bfloat16 - wanted).std()


@pytest.mark.skipif(step_library().calls is None, reason=f"no compiled step: {step_library().why_not}")
@pytest.mark.parametrize("precision", ["q4_0", "q4_1"])
@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3"])
def test_the_compiled_step_computes_the_file_as_it_stands(tmp_path: Path, family: str, precision: str) -> None:
    place = written(tmp_path / "model.gguf", family, precision)
    exact = CausalEngine(CausalLM.from_pretrained(place).network).decoder()
    with Int4Engine(GgufModel.read(place), step="compiled") as engine:
        assert engine.why_not_compiled == ""
        found = engine.decoder()
        exact.start([PROMPT[:1]], 40)
        found.start([PROMPT[:1]], 40)
        for decoder in (exact, found):
            decoder.rewind(1)  # what the prompt's own product left is not compared
        for token in PROMPT:
            token_ids = torch.tensor([token])
            torch.testing.assert_close(found.step(token_ids), exact.step(token_ids), rtol=1e-4, atol=1e-4)


def test_a_row_answers_as_it_does_alone(tmp_path: Path) -> None:
    with Int4Engine(GgufModel.read(written(tmp_path / "model.gguf")), step="calls") as engine:
        prompts = [PROMPT, PROMPT[:7], PROMPT[2:20]]
        together = [answer.token_ids for answer in engine(prompts, CONFIG)]
        assert together == [engine([prompt], CONFIG)[0].token_ids for prompt in prompts]


def test_the_weights_are_as_small_as_in_the_file(tmp_path: Path) -> None:
    place = written(tmp_path / "model.gguf", intermediate_size=1024)
    with Int4Engine(GgufModel.read(place)) as small, CausalEngine(CausalLM.from_pretrained(place).network) as large:
        assert small.num_bytes < large.num_bytes / 3
    assert small.num_bytes == 0


def test_adapters_compute_over_it_as_over_the_dequantised_base(tmp_path: Path) -> None:
    base, drawn, modules = find_base(written(tmp_path / "model.gguf")), torch.Generator().manual_seed(2), {}
    with SharedBase.open(base, engine="torch-int4") as small, SharedBase.open(base) as whole:
        assert small.engine.adaptable == whole.engine.adaptable
        for name, (d_out, d_in) in small.engine.adaptable.items():
            if name != "lm_head":
                a, b = (torch.randn(8, d_in, generator=drawn), torch.randn(d_out, 8, generator=drawn))
                modules[name] = LowRank(a * 0.1, b * 0.1, 1.0)
        logits = []
        for shared in (small, whole):
            shared.add("one", AdapterWeights(modules))
            alone = shared.engine.decoder().start([PROMPT], 30)
            adapted = shared.engine_with("one").decoder().start([PROMPT], 30)
            assert (alone - adapted).abs().max() > 0.1 * alone.abs().max()
            logits.append(adapted)
        assert (logits[0] - logits[1]).std() < 0.1 * logits[1].std()
        assert small.base_num_bytes < whole.base_num_bytes
        assert small.model_with(AdapterWeights(modules)).config.vocab_size == VOCAB


@pytest.mark.skipif(step_library().calls is None, reason=f"no compiled step: {step_library().why_not}")
@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_the_compiled_step_adds_an_adapter_as_the_dequantised_base_does(tmp_path: Path, family: str) -> None:
    """Of the kind llama the file's queries and keys stand in another order than the adapter's."""
    base, drawn, modules = find_base(written(tmp_path / "model.gguf", family)), torch.Generator().manual_seed(2), {}
    with SharedBase.open(base, engine="torch-int4") as small, SharedBase.open(base) as whole:
        for name, (d_out, d_in) in small.engine.adaptable.items():
            a, b = (torch.randn(5, d_in, generator=drawn), torch.randn(d_out, 5, generator=drawn))
            modules[name] = LowRank(a * 0.1, b * 0.1, 1.0)
        decoders = []
        for shared in (small, whole):
            shared.add("one", AdapterWeights(modules))
            decoders.append(shared.engine_with("one").decoder())
            decoders[-1].start([PROMPT[:1]], 40)  # type: ignore[attr-defined]
            decoders[-1].rewind(1)  # type: ignore[attr-defined]  # what the prompt's own product left is not compared
        for token in PROMPT:
            found, wanted = (decoder.step(torch.tensor([token])) for decoder in decoders)
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(step_library().calls is None, reason=f"no compiled step: {step_library().why_not}")
@pytest.mark.parametrize("precision", ["q4_0", "q4_1"])
def test_rows_that_step_together_have_the_bits_of_each_alone(tmp_path: Path, precision: str) -> None:
    with Int4Engine(GgufModel.read(written(tmp_path / "model.gguf", precision=precision)), step="compiled") as engine:
        alone, together = ([engine.decoder() for _ in range(7)] for _ in range(2))
        for number in range(7):
            for decoders in (alone, together):
                decoders[number].start([PROMPT[: number + 1]], 30)
        for tokens in ([1, 2, 3, 4, 5, 6, 7], [7, 6, 5, 4, 3, 2, 1]):
            found = step_together(together, tokens)
            for decoder, token, logits in zip(alone, tokens, found, strict=True):
                assert torch.equal(logits, decoder.step(torch.tensor([token])))


def test_an_expert_opens_on_it_by_name_and_samples_as_any_engine(tmp_path: Path) -> None:
    place = written(tmp_path / "model.gguf")
    with Expert.from_pretrained(place, engine="torch-int4") as expert:
        assert isinstance(expert.tokenizer, PretrainedTokenizer)
        first, again = (expert.generate("the cat", max_new_tokens=8, seed=3) for _ in range(2))
        assert first.token_ids == again.token_ids
        (told,) = expert.generate(["the cat"], choices=["mat", "dog"])
        assert told.text in ("mat", "dog")


@pytest.mark.parametrize(
    ("settings", "precision", "reason"),
    [
        ({}, "q8_0", "is Q8_0, not Q4_0 or Q4_1"),
        ({}, "float32", "is F32, not"),
        ({"vocab_size": OWN.vocab_size + 1}, "q4_1", "multiple of 16"),
    ],
)
def test_a_file_that_cannot_be_computed_with_says_why(
    tmp_path: Path, settings: dict[str, Any], precision: str, reason: str
) -> None:
    file = GgufModel.read(written(tmp_path / "model.gguf", precision=precision, **settings))
    assert reason in why_not_int4(file)
    with pytest.raises(EngineError, match="use the engine torch or llamacpp"):
        Int4Engine(file)
