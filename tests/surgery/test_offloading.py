"""Mixtures larger than memory: the answers of the whole model, a budget that holds, what is foreseen, what is refused."""

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from interconnected_ai import surgery
from interconnected_ai.bench.tiny_moes import TINY, make, prompts
from interconnected_ai.errors import ClosedError, ConfigError, UnknownNameError
from interconnected_ai.surgery import MoE, open_offloaded
from interconnected_ai.surgery.anatomy.ffn import ExpertWeights
from interconnected_ai.surgery.offloading.store import ExpertStore

IDS = prompts()
RUN = [family for family in TINY if family != "llama4"]


@torch.no_grad()
def logits(model: Any, ids: Tensor = IDS) -> Tensor:
    out: Tensor = model.model(ids).logits
    return out


def saved(family: str, folder: Path) -> Path:
    MoE(make(family)).save(folder / "model", verify=False)
    return folder / "model"


@pytest.mark.parametrize("family", RUN)
def test_offloaded_experts_give_the_logits_of_the_whole_model(family: str, tmp_path: Path) -> None:
    folder = saved(family, tmp_path)
    whole = logits(surgery.open(folder))
    with open_offloaded(folder, 1) as model:
        torch.testing.assert_close(logits(model), whole, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(
            logits(model, IDS[:1, :3]), logits(surgery.open(folder), IDS[:1, :3]), rtol=1e-4, atol=1e-5
        )


def test_the_budget_holds_and_what_is_held_is_not_read_again(tmp_path: Path) -> None:
    folder = saved("qwen3_moe", tmp_path)
    with open_offloaded(folder, 1, foresee=False) as model:
        expert = model.expert_bytes
    with open_offloaded(folder, 5 * expert, foresee=False) as model:
        stacks = [name for name, _ in model.model.named_parameters() if "experts" in name]
        assert stacks == []
        for _ in range(3):
            logits(model)
            assert model.store.num_bytes <= 5 * expert
        held = sum(each.numel() * 4 for each in model.model.parameters())
        assert model.num_bytes <= held + 5 * expert + 4096  # and small tables
    with open_offloaded(folder, 16 * expert) as model:
        for _ in range(3):
            logits(model)
        traffic = model.store.traffic
        assert traffic.bytes_read <= 16 * expert
        assert traffic.at_hand > 0.5


@pytest.mark.parametrize("waiting", ["disk", "memory"])
def test_generation_is_the_whole_models_and_experts_are_foreseen(waiting: Any, tmp_path: Path) -> None:
    folder = saved("qwen3_moe", tmp_path)
    settings = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    with torch.no_grad():
        wanted = surgery.open(folder).model.generate(IDS[:1], **settings)
    with open_offloaded(folder, 4 * 6144, waiting=waiting) as model, torch.no_grad():
        assert torch.equal(model.model.generate(IDS[:1], **settings), wanted)
        assert model.store.traffic.foreseen > 0


def test_several_threads_run_it_at_once(tmp_path: Path) -> None:
    folder = saved("mixtral", tmp_path)
    wanted, wrong = logits(surgery.open(folder)), []
    with open_offloaded(folder, 1) as model:

        def run() -> None:
            for _ in range(5):
                if not torch.allclose(logits(model), wanted, rtol=1e-4, atol=1e-5):
                    wrong.append(1)

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_a_closed_one_says_so_and_closes_twice(tmp_path: Path) -> None:
    model = open_offloaded(saved("qwen3_moe", tmp_path), 1)
    model.close()
    model.close()
    assert model.store.num_bytes == 0
    with pytest.raises(ClosedError, match="open the model anew"):
        logits(model)


def test_what_cannot_be_run_offloaded_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Llama 4"):
        open_offloaded(saved("llama4", tmp_path), 1)
    moe = MoE(make("qwen3_moe"))
    moe.clone(0, 1)
    moe.save(tmp_path / "closed", verify=False)
    with pytest.raises(ConfigError, match=r"surgery\.json"):
        open_offloaded(tmp_path / "closed", 1)
    folder = saved("qwen3_moe", tmp_path / "more")
    with pytest.raises(ConfigError, match="budget_bytes"):
        open_offloaded(folder, 0)
    with pytest.raises(UnknownNameError, match="disk"):
        open_offloaded(folder, 1, waiting="dsik")  # type: ignore[arg-type]


def expert(number: int) -> ExpertWeights:
    return ExpertWeights(*(torch.full((2, 2), float(number)) for _ in range(3)))  # 48 bytes


def test_the_least_recently_used_expert_goes_first_and_what_was_foreseen_in_vain_is_counted() -> None:
    fetched: list[tuple[int, int]] = []

    def fetch(layer: int, number: int) -> ExpertWeights:
        fetched.append((layer, number))
        return expert(number)

    store = ExpertStore(fetch, 96)
    for number in (0, 1, 0, 2, 0, 1):
        assert float(store.get(0, number).gate[0, 0]) == number
    assert fetched == [(0, 0), (0, 1), (0, 2), (0, 1)]
    assert (store.traffic.hits, store.traffic.missed) == (2, 4)
    store.foresee(1, [5])
    store.get(1, 6)
    while store._coming:
        pass
    store.get(1, 7)
    store.get(1, 8)
    assert store.traffic.foreseen == 1
    assert store.traffic.unused == 1
    store.close()


def test_an_expert_that_cannot_be_read_fails_for_who_asks_and_is_asked_for_again() -> None:
    broken = [True]

    def fetch(layer: int, number: int) -> ExpertWeights:
        if broken.pop() if broken else False:
            raise OSError("the disk is gone")
        return expert(number)

    store = ExpertStore(fetch, 96)
    with pytest.raises(OSError, match="disk is gone"):
        store.get(0, 1)
    assert float(store.get(0, 1).gate[0, 0]) == 1
    store.close()
