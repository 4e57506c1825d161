"""Experts of transformers that are loaded at once: each has its own weights, as when it is loaded alone."""

import threading
from pathlib import Path

import torch
from causal_folders import causal_folder, small_llama

from interconnected_ai.experts import CausalLM


def test_networks_that_are_loaded_at_once_have_all_their_weights(tmp_path: Path) -> None:
    folders = [causal_folder(tmp_path / str(seed), small_llama(seed, tie_word_embeddings=True)) for seed in range(3)]
    alone = [CausalLM.from_pretrained(folder).state_dict() for folder in folders]
    found: list[tuple[int, dict[str, torch.Tensor]]] = []

    def load(number: int, ready: threading.Barrier) -> None:
        ready.wait(60)
        found.append((number, CausalLM.from_pretrained(folders[number]).state_dict()))

    for _ in range(4):
        ready = threading.Barrier(len(folders))
        threads = [threading.Thread(target=load, args=(number, ready)) for number in range(len(folders))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    assert len(found) == 12
    for number, weights in found:
        assert all(torch.equal(tensor, alone[number][name]) for name, tensor in weights.items())
