"""Headers of safetensors files: what cannot be true is said by file and tensor, whatever a damaged or hostile file holds."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from interconnected_ai import surgery
from interconnected_ai.bench.tiny_moes import make
from interconnected_ai.errors import IntegrityError, InterconnectedAIError
from interconnected_ai.surgery import Checkpoint
from interconnected_ai.surgery.checkpoints.safetensor_files import read_header
from properties import examples

GOOD = {
    "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "b": {"dtype": "BF16", "shape": [4], "data_offsets": [24, 32]},
}


def written(path: Path, header: Any, body: int = 32) -> Path:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + bytes(body))
    return path


def with_b(**changed: Any) -> dict[str, Any]:
    return {**GOOD, "b": {**GOOD["b"], **changed}}


WRONG: dict[str, tuple[Any, str]] = {
    "a list": ([1], "JSON list, not an object"),
    "no JSON": (b"{", "header is damaged"),
    "no UTF-8": (b"\xff\xfe{}", "header is damaged"),
    "a name twice": (b'{"a": 1, "a": 2}', "'a' stands in it twice"),
    "nested without end": (b"[" * 100_000, "header is damaged"),
    "no object": ({**GOOD, "b": 3}, "tensor 'b': the header says 3"),
    "no offsets": ({**GOOD, "b": {"dtype": "BF16", "shape": [4]}}, "tensor 'b'.*data_offsets"),
    "unknown dtype": (with_b(dtype="Q7"), "tensor 'b': dtype 'Q7' is none of"),
    "dtype of another kind": (with_b(dtype=["F32"]), "tensor 'b': dtype"),
    "negative shape": (with_b(shape=[-2, -2]), "tensor 'b': shape"),
    "shape of text": (with_b(shape=["4"]), "tensor 'b': shape"),
    "no shape": (with_b(shape=4), "tensor 'b': shape"),
    "endless shape": (with_b(shape=[2**62, 2**62]), "tensor 'b': shape"),
    "truth for a size": (with_b(shape=[True, 4]), "tensor 'b': shape"),
    "negative offsets": (with_b(data_offsets=[-8, 0]), "tensor 'b': data_offsets"),
    "offsets the wrong way round": (with_b(data_offsets=[32, 24]), "tensor 'b': data_offsets"),
    "three offsets": (with_b(data_offsets=[24, 28, 32]), "tensor 'b': data_offsets"),
    "broken offsets": (with_b(data_offsets=[24.0, 32.0]), "tensor 'b': data_offsets"),
    "too few bytes": (with_b(shape=[5]), "takes 10 bytes, and the header gives it 8"),
    "an overlap": (with_b(data_offsets=[20, 28]), "tensor 'b' overlaps"),
    "a gap": (with_b(data_offsets=[28, 36]), "tensor 'b' leaves a gap"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_header_that_cannot_be_true_names_file_and_tensor(wrong: str, tmp_path: Path) -> None:
    header, said = WRONG[wrong]
    path = written(tmp_path / "model.safetensors", header, body=36 if wrong == "a gap" else 32)
    with pytest.raises(IntegrityError, match=said) as refused:
        read_header(path)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize(("body", "said"), [(31, "is truncated"), (33, "goes on behind its last tensor")])
def test_tensors_fill_the_file(tmp_path: Path, body: int, said: str) -> None:
    assert [each.size_bytes for each in read_header(written(tmp_path / "x.safetensors", GOOD)).values()] == [24, 8]
    with pytest.raises(IntegrityError, match=said):
        read_header(written(tmp_path / "x.safetensors", GOOD, body))


@pytest.mark.parametrize("content", [b"", b"\x01", struct.pack("<Q", 2**63), struct.pack("<Q", 50) + b"{}"])
def test_what_is_no_safetensors_file_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(IntegrityError, match="fetch it again"):
        read_header(tmp_path / "x.safetensors")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("header") / "x.safetensors"
    save_file({"a": torch.zeros(2, 3), "b": torch.ones(4, dtype=torch.bfloat16), "c": torch.zeros(0, 2)}, path)
    return path.read_bytes()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=6,
)
ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["F32", "BF16", "U8", "F4"]) | VALUES,
        "shape": st.lists(st.integers(-1, 5), max_size=3) | VALUES,
        "data_offsets": st.lists(st.integers(-4, 40), min_size=2, max_size=2) | VALUES,
    },
)


@examples(150)
@given(header=st.dictionaries(st.text(max_size=3), ENTRIES | VALUES, max_size=3) | VALUES, body=st.integers(0, 40))
def test_any_header_is_read_as_safetensors_reads_it_or_refused(
    tmp_path_factory: pytest.TempPathFactory, header: Any, body: int
) -> None:
    path = written(tmp_path_factory.getbasetemp() / "fuzzed.safetensors", header, body)
    try:
        found = read_header(path)
    except IntegrityError:
        return
    for entry in found.values():
        assert all(each.start >= 8 and each.start + each.size <= path.stat().st_size for each in entry.ranges)
    try:
        with safe_open(path, "pt") as file:
            assert set(file.keys()) == set(found)
    except SafetensorError:
        pass  # it may refuse more: a __metadata__ of other kinds


@examples(150)
@given(
    cuts=st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=3)), min_size=1, max_size=4),
    keep=st.integers(0, 400),
)
def test_damaged_bytes_are_read_or_refused_by_our_errors_alone(
    whole: bytes, tmp_path_factory: pytest.TempPathFactory, cuts: list[tuple[int, bytes]], keep: int
) -> None:
    damaged = bytearray(whole)
    for place, content in cuts:
        damaged[place : place + len(content)] = content
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    path.write_bytes(damaged[:keep] if keep < 300 else damaged)
    try:
        for entry in read_header(path).values():
            assert len(entry.content()) == entry.size_bytes
    except IntegrityError:
        pass


def truncated(folder: Path) -> None:
    path = next(folder.glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-40])


def with_index(content: Any) -> Callable[[Path], None]:
    return lambda folder: (folder / "model.safetensors.index.json").write_text(json.dumps(content), encoding="utf-8")


def with_config(content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / "config.json").write_bytes(content)


def with_side_car(content: Any) -> Callable[[Path], None]:
    return lambda folder: (folder / "surgery.json").write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(
    "harm",
    [
        truncated,
        with_index([1]),
        with_index({"weight_map": 3}),
        with_index({"weight_map": {"a": 3}}),
        with_index({"weight_map": {"a": "../model.safetensors"}}),
        with_index({"weight_map": {"a": ""}}),
        with_config(b"[]"),
        with_config(b"\xff"),
        with_config(b'{"text_config": [1]}'),
        with_config(b'{"model_type": 3, "num_experts": 8}'),
        with_config(b'{"model_type": "qwen3_moe", "num_experts": "many"}'),
        lambda folder: (folder / "surgery.json").write_text("{}"),
        lambda folder: (folder / "surgery.json").write_text('{"version": 1, "weights": "vanilla"}'),
        lambda folder: (folder / "surgery.json").write_text(
            '{"version": 1, "weights": "vanilla", "layers": 3, "adapters": []}'
        ),
    ],
)
def test_a_damaged_folder_is_refused_by_our_errors_before_anything_is_computed(
    tmp_path: Path, harm: Callable[[Path], Any]
) -> None:
    make("qwen3_moe").save_pretrained(tmp_path / "model")
    harm(tmp_path / "model")
    with pytest.raises(InterconnectedAIError):
        surgery.open(tmp_path / "model")
    if not (tmp_path / "model" / "surgery.json").exists():
        with pytest.raises(InterconnectedAIError):
            Checkpoint(tmp_path / "model").set_top_k(9)
