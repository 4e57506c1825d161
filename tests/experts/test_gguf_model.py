"""What a GGUF file says of itself as a language model, and why some are none."""

from pathlib import Path
from typing import Any

import pytest

from interconnected_ai.errors import EngineError, IntegrityError, TokenizerError
from interconnected_ai.experts.gguf_model import GgufModel

gguf = pytest.importorskip("gguf")

from tests.experts import gguf_files as tiny  # noqa: E402


def bare(place: Path, architecture: str, **entries: Any) -> Path:
    """A file with entries and one small tensor."""
    import numpy as np

    writer = gguf.GGUFWriter(str(place), architecture)
    for name, value in entries.items():
        tiny_name = name.replace("__", ".")
        writer.add_string(tiny_name, value) if isinstance(value, str) else writer.add_uint32(tiny_name, value)
    writer.add_tensor("a.weight", np.zeros((2, 32), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return place


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    more = {"general.license": "apache-2.0", "general.languages": ("en", "ru"), "tokenizer.chat_template": "{{ 1 }}"}
    return tiny.write(tiny.network(), tmp_path_factory.mktemp("gguf") / "tiny.gguf", precision="q8_0", **more)


def test_a_file_says_what_it_is(file: Path) -> None:
    model = GgufModel.read(file)
    assert (model.architecture, model.name, model.licence, model.languages) == (
        "llama",
        "tiny",
        "apache-2.0",
        ("en", "ru"),
    )
    assert (model.context, model.vocab_size, model.chat_template) == (256, tiny.OWN.vocab_size, "{{ 1 }}")
    network = tiny.network()
    assert model.num_params == sum(parameter.numel() for parameter in network.parameters())
    assert (model.precision, model.size_bytes) == ("Q8_0", file.stat().st_size)
    assert model.vocabulary.end_ids == (tiny.OWN.end_id,)
    assert model.place_bytes == 2 * 2 * 16 * 2  # layers × (keys and values) × width of the heads for keys × float16


@pytest.mark.parametrize(
    ("architecture", "entries", "words"),
    [
        ("llama", {"general__type": "adapter", "adapter__type": "lora"}, "is a lora adapter for a llama and no model"),
        ("llama", {"general__type": "imatrix"}, "importance matrix"),
        ("clip", {"general__type": "mmproj"}, "looks at pictures"),
        ("clip", {}, "looks at pictures"),
        ("bert", {}, "makes vectors of texts"),
        ("t5", {}, "encoder and decoder"),
        ("llada", {}, "by diffusion"),
        ("lama", {}, r"architecture 'lama', which the installed .* do not know \(nearest: llama"),
        ("llama", {"split__count": 2, "split__no": 0}, "its name does not say which"),
    ],
)
def test_a_file_of_another_kind_is_refused_by_its_kind(
    architecture: str, entries: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(EngineError, match=words):
        GgufModel.read(bare(tmp_path / "other.gguf", architecture, **entries))


def test_a_vocabulary_alone_and_a_model_without_one_are_told_apart(file: Path, tmp_path: Path) -> None:
    alone = tmp_path / "vocabulary.gguf"
    writer = gguf.GGUFWriter(str(alone), "llama")
    writer.add_token_list(["a"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(EngineError, match="a vocabulary alone"):
        GgufModel.read(alone)
    with pytest.raises(TokenizerError, match="no tokenizer in it"):
        _ = GgufModel.read(bare(tmp_path / "mute.gguf", "llama", llama__context_length=8)).vocabulary
    with pytest.raises(IntegrityError, match="how many tokens its window holds"):
        GgufModel.read(bare(tmp_path / "windowless.gguf", "llama"))


def test_a_split_file_is_opened_at_its_first_shard_with_all_the_others_beside_it(tmp_path: Path) -> None:
    for number in (1, 2):
        place = tmp_path / f"model-0000{number}-of-00002.gguf"
        bare(place, "llama", split__count=2, split__no=number - 1, llama__context_length=8)
    model = GgufModel.read(tmp_path / "model-00001-of-00002.gguf")
    assert (model.num_params, len(model.tensors)) == (128, 2)
    with pytest.raises(EngineError, match="part 2 of 2; give the first, model-00001"):
        GgufModel.read(tmp_path / "model-00002-of-00002.gguf")
    (tmp_path / "model-00002-of-00002.gguf").unlink()
    with pytest.raises(EngineError, match=r"model-00002.* is missing"):
        GgufModel.read(tmp_path / "model-00001-of-00002.gguf")


def test_a_file_cut_off_is_refused_before_llamacpp_sees_it(file: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.gguf"
    short.write_bytes(file.read_bytes()[:-4096])
    with pytest.raises(IntegrityError, match="is cut off: its tensor"):
        GgufModel.read(short)
