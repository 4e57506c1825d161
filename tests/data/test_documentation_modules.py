"""Documentation by the module that it documents."""

from interconnected_ai.data import documentation, documentation_by_module


def test_modules_hold_the_texts_of_their_library_and_each_text_stands_once() -> None:
    modules = documentation_by_module(["stdlib"])
    together = [document for documents in modules.values() for document in documents]
    assert sorted(together, key=lambda one: (one.source, one.text)) == documentation("stdlib")
    assert {"asyncio", "json", "logging"} <= set(modules)
    assert all(document.source.split(".")[0] == name for name in ("json", "asyncio") for document in modules[name])
    assert list(modules) == sorted(modules)


def test_a_librarys_modules_are_named_by_two_parts() -> None:
    modules = documentation_by_module(["numpy", "stdlib"])
    assert {"numpy", "numpy.linalg", "numpy.random", "json"} <= set(modules)
    assert all(name.count(".") <= 1 for name in modules)
    texts = [document.text for documents in modules.values() for document in documents]
    assert len(texts) == len(set(texts))
