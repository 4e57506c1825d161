"""Bases that experts of one process share: loaded once however many ask, gone with the last."""

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tiny_llamas import saved_base

from interconnected_ai.errors import IntegrityError
from interconnected_ai.experts import BorrowedBase, SharedBase
from interconnected_ai.experts.adapters.lending import lent_num_bytes


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    counted: Counter[str] = Counter()
    real = SharedBase.open

    def counting(base: Any, **settings: Any) -> SharedBase:
        counted[base.sha256] += 1
        return real(base, **settings)

    monkeypatch.setattr(SharedBase, "open", counting)
    return counted


def test_a_base_is_loaded_once_and_closed_with_the_last(tmp_path: Path, loads: Counter[str]) -> None:
    base, other = saved_base(tmp_path / "a"), saved_base(tmp_path / "b", seed=1)
    first, second, third = BorrowedBase(base), BorrowedBase(base), BorrowedBase(other)
    assert first.shared is second.shared is not third.shared
    assert lent_num_bytes() == first.shared.base_num_bytes + third.shared.base_num_bytes
    first.give_back()
    first.give_back()
    assert not second.shared.engine.is_closed
    second.give_back()
    assert second.shared.engine.is_closed
    third.give_back()
    assert lent_num_bytes() == 0
    assert set(loads.values()) == {1}


def test_the_same_content_in_two_folders_is_one_base(tmp_path: Path, loads: Counter[str]) -> None:
    borrowed = [BorrowedBase(saved_base(tmp_path / name)) for name in ("a", "b")]
    assert borrowed[0].shared is borrowed[1].shared
    for one in borrowed:
        one.give_back()
    assert sum(loads.values()) == 1


def test_many_threads_at_once_load_one_base(tmp_path: Path, loads: Counter[str]) -> None:
    base = saved_base(tmp_path / "a")
    start, found = threading.Barrier(8), list[BorrowedBase]()

    def borrow() -> None:
        start.wait()
        found.append(BorrowedBase(base))

    threads = [threading.Thread(target=borrow) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(one.shared) for one in found}) == 1
    assert sum(loads.values()) == 1
    for one in found:
        one.give_back()
    assert lent_num_bytes() == 0


def test_a_base_that_cannot_be_loaded_is_nobodys_and_may_be_tried_again(tmp_path: Path) -> None:
    base = saved_base(tmp_path / "a")
    weights = tmp_path / "a" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(IntegrityError):
        BorrowedBase(base)
    weights.write_bytes(whole)
    borrowed = BorrowedBase(base)
    borrowed.give_back()
    assert lent_num_bytes() == 0
