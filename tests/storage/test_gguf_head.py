"""The head of a GGUF file: what it says, and every way in which it can be wrong."""

import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from interconnected_ai.errors import FormatVersionError, IntegrityError, NotAModelError, StorageError
from interconnected_ai.storage import is_gguf, read_gguf
from interconnected_ai.storage.gguf import _TENSOR_TYPES

gguf = pytest.importorskip("gguf")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    place = tmp_path / "tiny.gguf"
    writer = gguf.GGUFWriter(str(place), "llama")
    writer.add_name("tiny")
    writer.add_context_length(64)
    writer.add_token_list(["a", "é", "ю"])
    writer.add_token_scores([0.0, -1.0, -2.5])
    writer.add_array("names", ["x", "y"])
    writer.add_bool("tokenizer.ggml.add_bos_token", True)
    weight = np.arange(64 * 2, dtype=np.float32).reshape(2, 64)
    writer.add_tensor("a.weight", weight)
    kind = gguf.GGMLQuantizationType.Q8_0
    writer.add_tensor("b.weight", gguf.quants.quantize(weight, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return place


def test_entries_and_tensors_are_those_of_the_package_gguf(file: Path) -> None:
    head, wanted = read_gguf(file), gguf.GGUFReader(str(file))
    named = {name: field.contents() for name, field in wanted.fields.items() if not name.startswith("GGUF.")}
    assert {n: list(v) if isinstance(v, tuple) else v for n, v in head.metadata.items()} == named
    assert [(t.name, t.offset, t.num_bytes, t.shape) for t in head.tensors] == [
        (t.name, t.data_offset, t.n_bytes, tuple(int(n) for n in reversed(t.shape))) for t in wanted.tensors
    ]
    assert (head.num_params, head.size_bytes) == (256, file.stat().st_size)


def test_the_table_of_tensor_types_is_ggmls() -> None:
    ours = {number: (block, size) for number, (_, block, size) in _TENSOR_TYPES.items()}
    theirs = {int(kind): sizes for kind, sizes in gguf.GGML_QUANT_SIZES.items()}
    assert {number: theirs[number] for number in ours if number in theirs} == {
        n: s for n, s in ours.items() if n in theirs
    }
    assert all(name == gguf.GGMLQuantizationType(n).name for n, (name, *_) in _TENSOR_TYPES.items() if n in theirs)


def test_a_file_cut_off_anywhere_is_refused_and_says_so(file: Path) -> None:
    whole = file.read_bytes()
    end = max(tensor.offset + tensor.num_bytes for tensor in read_gguf(file).tensors)  # what follows only fills up
    for length in [*range(60), *range(60, end, 37), end - 1]:
        file.write_bytes(whole[:length])
        with pytest.raises((IntegrityError, NotAModelError), match=r"cut off|no GGUF file"):
            read_gguf(file)


def test_no_single_damaged_byte_of_the_head_does_more_than_raise_our_errors(file: Path) -> None:
    whole = file.read_bytes()
    for place in range(min(len(whole), 700)):
        for byte in (0, 0x7F, 0xFF):
            file.write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
            with suppress(StorageError):
                dict(read_gguf(file).metadata)


def test_lengths_that_no_file_has_ask_for_no_memory(file: Path) -> None:
    whole = bytearray(file.read_bytes())
    for place in (8, 16):  # numbers of tensors and of entries
        damaged = bytes(whole[:place]) + struct.pack("<Q", 2**62) + bytes(whole[place + 8 :])
        file.write_bytes(damaged)
        with pytest.raises(IntegrityError, match="cut off"):
            read_gguf(file)


def test_a_big_endian_file_another_version_and_what_is_no_gguf_are_told_apart(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[:4] + struct.pack(">I", 3) + whole[8:])
    with pytest.raises(StorageError, match="big-endian"):
        read_gguf(file)
    file.write_bytes(whole[:4] + struct.pack("<I", 1) + whole[8:])
    with pytest.raises(FormatVersionError, match="version 1, known are 2 and 3"):
        read_gguf(file)
    other = tmp_path / "text.gguf"
    other.write_text("<!doctype html> the page of a server that has no such file", encoding="utf-8")
    with pytest.raises(NotAModelError, match="does not begin with GGUF"):
        read_gguf(other)
    assert [is_gguf(file), is_gguf(other), is_gguf(tmp_path), is_gguf(tmp_path / "none")] == [True, False, False, False]
    with pytest.raises(NotAModelError, match="does not exist"):
        read_gguf(tmp_path / "none")
