"""The texts of a first expert: whole docstrings, real ones, each once, the same for everybody."""

import hashlib
import os
import re
import subprocess
import sys
from collections import Counter
from functools import cache

import pytest

from interconnected_ai.data import Document, documentation
from interconnected_ai.data.harvest.documentation import _clean, _without_copies
from interconnected_ai.errors import MissingExtraError, UnknownNameError

LEAST_BYTES = {"stdlib": 800_000, "numpy": 1_000_000, "torch": 1_200_000}
HASH_OF_TEXTS = """
import hashlib, sys
from interconnected_ai.data import documentation
print(hashlib.sha256(repr(documentation(sys.argv[1])).encode()).hexdigest())
"""


@cache
def read(library: str) -> list[Document]:
    return documentation(library)


@pytest.fixture(scope="module", params=LEAST_BYTES)
def library(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def documents(library: str) -> list[Document]:
    return read(library)


def test_every_library_gives_about_a_megabyte_or_more(library: str, documents: list[Document]) -> None:
    assert sum(len(one.text.encode()) for one in documents) >= LEAST_BYTES[library]


def test_sources_are_names_of_the_library_and_stand_in_order(library: str, documents: list[Document]) -> None:
    roots = {one.source.split(".")[0] for one in documents}
    assert roots <= set(sys.stdlib_module_names) if library == "stdlib" else roots == {library}
    assert documents == sorted(documents, key=lambda one: (one.source, one.text))


def test_no_text_stands_twice_however_it_is_spaced_or_cased(documents: list[Document]) -> None:
    counts = Counter(" ".join(one.text.casefold().split()) for one in documents)
    assert counts.most_common(1)[0][1] == 1


def test_modules_classes_functions_and_methods_are_all_there() -> None:
    sources = {one.source for one in read("stdlib")}
    assert {
        "argparse",
        "argparse.ArgumentParser",
        "shutil.copyfile",
        "threading.Condition.wait",
        "math.hypot",
    } <= sources


def test_a_docstring_is_kept_whole_with_its_sections_and_examples() -> None:
    text = next(one.text for one in read("numpy") if one.source == "numpy.linspace")
    assert "Parameters\n----------" in text
    assert "Returns\n-------" in text
    assert ">>> np.linspace(2.0, 3.0, num=5)" in text


def test_a_tensors_methods_are_named_after_the_tensor_not_after_a_private_base() -> None:
    sources = {one.source for one in read("torch")}
    assert "torch.Tensor.scatter_" in sources
    assert not [source for source in sources if source.startswith("torch._C.TensorBase.")]


def test_no_text_holds_tabs_control_characters_trailing_spaces_or_addresses(documents: list[Document]) -> None:
    for one in documents:
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]| $|\n{3,}", one.text, re.MULTILINE), one.source
        assert not re.search(r"at 0x[0-9a-f]{6}", one.text), one.source


def test_cleaning_twice_changes_nothing_more(documents: list[Document]) -> None:
    assert all(_clean(one.text) == one.text for one in documents)


def test_a_copy_with_small_changes_is_left_out_and_a_different_text_is_kept() -> None:
    words = "draw samples from a normal distribution whose mean and width are given and return them as an array"
    copy = f"{words} of the asked shape"
    other = "sort the entries of an array along one of its axes and return the places that they came from"
    kept = _without_copies([Document(words, "a.b"), Document(copy, "a.c.b"), Document(other, "a.d")])
    assert [one.source for one in kept] == ["a.b", "a.d"]


def test_a_signature_alone_and_a_text_of_three_words_are_left_out() -> None:
    given = [Document("addOutput(self: Node, value: Value) -> Value", "a"), Document("Return the name.", "b")]
    assert not list(_without_copies(given))


def test_another_process_with_another_hash_seed_gives_the_same_texts() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-W", "error", "-c", HASH_OF_TEXTS, "numpy"]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == hashlib.sha256(repr(read("numpy")).encode()).hexdigest()


def test_an_unknown_library_is_refused_with_the_known_ones_nearest_first() -> None:
    with pytest.raises(UnknownNameError, match="unknown library 'toch'; known, nearest first: 'torch'"):
        documentation("toch")


@pytest.mark.usefixtures("no_optional_packages")
def test_a_library_that_is_not_installed_is_named_with_the_command_that_brings_it() -> None:
    with pytest.raises(MissingExtraError, match=r'"interconnected-ai\[bench\]"'):
        documentation("sklearn")
