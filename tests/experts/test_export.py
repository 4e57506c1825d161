"""Exports: other people's programs read the files and compute the same function."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from expert_models import ids, made, tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from interconnected_ai.errors import EngineError, MissingExtraError, StorageError, TokenizerError, UnknownNameError
from interconnected_ai.experts import ExpertModel, export_expert, save_expert
from interconnected_ai.experts.export.ctranslate2 import write_ctranslate2
from interconnected_ai.experts.export.gguf import write_gguf
from interconnected_ai.experts.export.gpt2 import write_gpt2
from interconnected_ai.experts.export.onnx import write_onnx
from interconnected_ai.experts.export.vocabulary import vocabulary
from interconnected_ai.text import END

SHAPES = [
    {"norm": "pre"},
    {"norm": "pre", "tie_weights": True, "d_model": 64, "n_layers": 1, "d_ff": None},
    {"norm": "pre", "d_model": 48, "n_heads": 2, "n_layers": 3, "vocab_size": 330},
]
POST_SHAPES = [{**shape, "norm": "post"} for shape in SHAPES]
EXACT = 1e-4


def shown(shape: dict[str, Any]) -> str:
    return " ".join(str(value) for value in shape.values())


@torch.inference_mode()
def greedy(model: ExpertModel, prompt: list[int], num_tokens: int) -> list[int]:
    """The slow obvious way: the whole text anew for every token."""
    whole = list(prompt)
    for _ in range(num_tokens):
        whole.append(int(model(torch.tensor([whole]))[0, -1].argmax()))
    return whole[len(prompt) :]


@pytest.mark.parametrize("shape", SHAPES, ids=shown)
def test_transformers_opens_the_export_as_gpt2_and_computes_the_same(shape: dict[str, Any], tmp_path: Path) -> None:
    model, input_ids = made(**shape), ids(3, 17)
    write_gpt2(model, None, tmp_path / "gpt2")
    opened = AutoModelForCausalLM.from_pretrained(tmp_path / "gpt2").eval()
    assert opened.config.model_type == "gpt2"
    with torch.inference_mode():
        assert torch.allclose(opened(input_ids).logits, model(input_ids), atol=EXACT, rtol=0)
    prompt = input_ids[:1, :5]
    asked = {"max_new_tokens": 12, "min_new_tokens": 12, "do_sample": False, "pad_token_id": 0}
    answer = opened.generate(prompt, attention_mask=torch.ones_like(prompt), **asked)
    assert answer[0, 5:].tolist() == greedy(model, prompt[0].tolist(), 12)


def test_tied_weights_stay_tied_in_gpt2(tmp_path: Path) -> None:
    write_gpt2(made(norm="pre", tie_weights=True), None, tmp_path / "gpt2")
    opened = AutoModelForCausalLM.from_pretrained(tmp_path / "gpt2")
    assert opened.lm_head.weight is opened.transformer.wte.weight


@pytest.mark.parametrize("text", ["The router, and й typed as и\u0306.", "<|role=code|> x = [1]", "naïve 12\n\n", ""])
def test_the_exported_tokenizer_cuts_text_as_ours_does(text: str, tmp_path: Path) -> None:
    write_gpt2(made(norm="pre", vocab_size=330), tokenizer(), tmp_path / "gpt2")
    opened = AutoTokenizer.from_pretrained(tmp_path / "gpt2")
    assert opened(text).input_ids == tokenizer().encode(text, special=True)
    assert (opened.eos_token, opened.eos_token_id) == (END, tokenizer().end_id)
    assert opened.model_max_length == 40


def test_a_post_norm_expert_is_no_gpt2(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r'this expert is norm="post"; export it to onnx or ctranslate2'):
        write_gpt2(made(norm="post"), None, tmp_path / "gpt2")
    assert not (tmp_path / "gpt2").exists()


@pytest.mark.parametrize("shape", [*SHAPES, *POST_SHAPES], ids=shown)
def test_ctranslate2_computes_the_same(shape: dict[str, Any], tmp_path: Path) -> None:
    library = pytest.importorskip("ctranslate2")
    model, input_ids = made(**shape), ids(3, 17)
    write_ctranslate2(model, None, tmp_path / "ct2")
    opened = library.Generator(str(tmp_path / "ct2"), compute_type="float32", intra_threads=1)
    found = np.asarray(opened.forward_batch(input_ids.tolist()))
    with torch.inference_mode():
        assert torch.allclose(torch.from_numpy(found), model(input_ids), atol=EXACT, rtol=0)


def test_every_row_of_the_embedding_has_a_name_of_its_own() -> None:
    named = vocabulary(tokenizer(), 340)
    assert len(named) == len(set(named)) == 340
    assert [named.index(tokenizer().token(number)) for number in (0, 5, 200)] == [0, 5, 200]


@pytest.mark.parametrize("seq", [1, 7, 23])
@pytest.mark.parametrize("shape", [*SHAPES, *POST_SHAPES], ids=shown)
def test_onnx_runtime_computes_the_same_at_every_length(shape: dict[str, Any], seq: int, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    model, input_ids = made(**shape), ids(3, seq)
    write_onnx(model, None, tmp_path / "onnx")
    opened = runtime.InferenceSession(str(tmp_path / "onnx" / "model.onnx"), providers=["CPUExecutionProvider"])
    logits, past = np.zeros(0), empty_past(model, 3)
    for first, last in ((0, seq - 1), (seq - 1, seq)):  # all but one at once, and that one after it, from the cache
        if first == last:
            continue
        fed = {
            "input_ids": input_ids[:, first:last].numpy(),
            "positions": np.tile(np.arange(first, last), (3, 1)),
            "last": np.full(3, last - 1, np.int32),
            "total": np.array([last], np.int32),
        }
        logits, *present = opened.run(None, {**fed, **past})
        past = dict(zip(past, present, strict=True))
    with torch.inference_mode():
        assert torch.allclose(torch.from_numpy(logits), model(input_ids)[:, -1], atol=EXACT, rtol=0)


def empty_past(model: ExpertModel, batch: int) -> dict[str, np.ndarray]:
    shape = model.config
    empty = np.zeros((batch, shape.n_heads, 0, shape.head_width), np.float32)
    return {f"past.{number}.{part}": empty for number in range(shape.n_layers) for part in ("key", "value")}


@pytest.mark.parametrize(("precision", "smaller"), [("int8", 0.35), ("int4", 0.3)])
def test_quantised_onnx_is_smaller_and_close(precision: str, smaller: float, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    model, input_ids = made(norm="pre", d_model=64, d_ff=128, max_seq_len=8), ids(2, 8)
    sizes, found = {}, {}
    for name in ("float32", precision):
        write_onnx(model, None, tmp_path / name, precision=name)
        sizes[name] = (tmp_path / name / "model.onnx.data").stat().st_size
        opened = runtime.InferenceSession(str(tmp_path / name / "model.onnx"), providers=["CPUExecutionProvider"])
        fed = {"input_ids": input_ids.numpy(), "positions": np.tile(np.arange(8), (2, 1))}
        lengths = {"last": np.full(2, 7, np.int32), "total": np.array([8], np.int32)}
        found[name] = opened.run(["logits"], {**fed, **lengths, **empty_past(model, 2)})[0]
    assert sizes[precision] < smaller * sizes["float32"]
    apart = np.abs(found[precision] - found["float32"]).mean() / np.abs(found["float32"]).mean()
    assert 0 < apart < (0.05 if precision == "int8" else 0.4)


def test_a_shape_that_onnx_runtime_does_not_take_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"multiple of 8, here it is 4 .*use the engine torch or ctranslate2"):
        write_onnx(made(n_heads=8), None, tmp_path / "onnx")


@pytest.mark.parametrize("write", [write_ctranslate2, write_onnx])
def test_an_unknown_precision_lists_the_known_ones(write: Any, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"no precision 'int3'; it has float32.*int8"):
        write(made(), None, tmp_path / "out", precision="int3")


@pytest.mark.usefixtures("no_optional_packages")
@pytest.mark.parametrize(("write", "package"), [(write_ctranslate2, "ctranslate2"), (write_onnx, "onnx")])
def test_a_missing_package_is_named_with_its_extra(write: Any, package: str, tmp_path: Path) -> None:
    with pytest.raises(MissingExtraError, match=rf'pip install "interconnected-ai\[{package}\]"'):
        write(made(), None, tmp_path / "out")


@pytest.mark.parametrize("precision", ["float32", "q8_0", "q4_0"])
@pytest.mark.parametrize("tie_weights", [False, True])
def test_a_gguf_file_holds_the_weights_and_the_tokenizer(precision: str, tie_weights: bool, tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    model = made(norm="pre", vocab_size=340, d_model=64, d_ff=128, tie_weights=tie_weights)
    write_gguf(model, tokenizer(), tmp_path / "expert.gguf", precision=precision)
    opened = gguf.GGUFReader(tmp_path / "expert.gguf")
    found = {tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type) for tensor in opened.tensors}
    tolerance = {"float32": 0, "q8_0": 0.02, "q4_0": 0.3}[precision]
    wanted = {
        "token_embd.weight": 8 * model.embedding.weight,
        "position_embd.weight": model.positions.pe,
        "blk.1.attn_qkv.weight": model.blocks[1].attention.qkv.weight,
        "blk.0.ffn_down.bias": model.blocks[0].feed_forward.w_out.bias,
    }
    for name, tensor in wanted.items():
        scale = tensor.abs().max().item() if tensor.dim() == 2 else 0.0
        assert np.allclose(found[name], tensor.detach().numpy(), atol=tolerance * scale, rtol=0)
    assert ("output.weight" in found) is not tie_weights
    tokens = opened.get_field("tokenizer.ggml.tokens").contents()
    assert tokens[:330] == [tokenizer().token(number) for number in range(330)]
    assert len(tokens) == 340
    assert opened.get_field("tokenizer.ggml.merges").contents() == tokenizer().merges


def test_gguf_wants_pre_norm_a_tokenizer_and_a_known_precision(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match='this expert is norm="post"'):
        write_gguf(made(norm="post"), tokenizer(), tmp_path / "expert.gguf")
    with pytest.raises(EngineError, match="no precision 'q3'; it has float32, q8_0, q4_0"):
        write_gguf(made(norm="pre"), tokenizer(), tmp_path / "expert.gguf", precision="q3")
    assert not list(tmp_path.iterdir())
    save_expert(made(norm="pre"), tmp_path / "wordless")
    with pytest.raises(TokenizerError, match="carries its tokenizer, and this expert has none"):
        export_expert(tmp_path / "wordless", "gguf", tmp_path / "expert.gguf")


@pytest.mark.parametrize(
    ("to", "quantize", "package"),
    [
        ("gpt2", None, "transformers"),
        ("gguf", "q8_0", "gguf"),
        ("onnx", "int8", "onnx"),
        ("onnx", None, "onnx"),
        ("ctranslate2", "int8", "ctranslate2"),
    ],
)
def test_an_experts_folder_is_exported_by_the_formats_name(
    to: str, quantize: str, package: str, tmp_path: Path
) -> None:
    pytest.importorskip(package)
    save_expert(made(norm="pre", vocab_size=330, d_model=64, d_ff=128), tmp_path / "mine", tokenizer())
    done = export_expert(tmp_path / "mine", to, tmp_path / "out", quantize=quantize)
    assert done.path == (tmp_path / "out" / "mine.gguf" if to == "gguf" else tmp_path / "out")
    assert done.precision == (quantize or "float32")
    files = [done.path] if done.path.is_file() else [file for file in done.path.iterdir() if file.is_file()]
    assert done.size_bytes == sum(file.stat().st_size for file in files) > 50_000
    assert (tmp_path / "out" / "tokenizer.json").is_file() is (to != "gguf")


def test_unknown_formats_and_precisions_say_what_there_is(tmp_path: Path) -> None:
    save_expert(made(norm="pre", vocab_size=330), tmp_path / "mine", tokenizer())
    with pytest.raises(UnknownNameError, match="unknown format 'ggml'; known, nearest first: 'gguf'"):
        export_expert(tmp_path / "mine", "ggml", tmp_path / "out")
    with pytest.raises(EngineError, match="gpt2 is exported in float32 alone, not 'int8'; gguf, onnx and ctranslate2"):
        export_expert(tmp_path / "mine", "gpt2", tmp_path / "out", quantize="int8")


def test_an_export_replaces_an_export_and_nothing_else(tmp_path: Path) -> None:
    write_gpt2(made(norm="pre"), None, tmp_path / "gpt2")
    write_gpt2(made(norm="pre", seed=1), None, tmp_path / "gpt2")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("keep")
    with pytest.raises(StorageError, match="was not written by this package"):
        write_gpt2(made(norm="pre"), None, tmp_path / "notes")
