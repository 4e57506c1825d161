"""The document's second example: ways to continue a prompt, and a few more. Random weights, so the tokens mean nothing."""

from typing import Any

import torch

from interconnected_ai import ExpertModel

STRATEGIES: dict[str, dict[str, Any]] = {
    "default": {"temperature": 1.0},
    "low temperature": {"temperature": 0.5},
    "high temperature": {"temperature": 1.5},
    "top-k": {"temperature": 0.8, "top_k": 20},
    "top-p": {"temperature": 0.8, "top_p": 0.9},
    "combined": {"temperature": 0.7, "top_k": 50, "top_p": 0.9},
    "min-p": {"temperature": 0.8, "min_p": 0.1},
    "greedy": {"temperature": 0.0},
    "greedy, repetition penalty": {"temperature": 0.0, "repetition_penalty": 1.3},
    "beam search": {"num_beams": 4},
}


def main() -> None:
    model = ExpertModel(vocab_size=1000, d_model=128, n_layers=2, generator=torch.Generator().manual_seed(0))
    prompt = torch.randint(0, 1000, (1, 5), generator=torch.Generator().manual_seed(1))
    print(f"{'prompt':27} {prompt[0].tolist()}")
    for name, settings in STRATEGIES.items():
        tokens = model.generate(prompt, max_new_tokens=10, generator=torch.Generator().manual_seed(2), **settings)
        print(f"{name:27} {tokens[0, 5:].tolist()}")


if __name__ == "__main__":
    main()
