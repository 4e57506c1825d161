"""The document's fourth example: tokens per second at four batch sizes. `iai bench generate` compares engines."""

import time

import torch

from interconnected_ai import ExpertModel, GenerationConfig
from interconnected_ai.experts import TorchEngine


def main(
    vocab_size: int = 10_000,
    d_model: int = 512,
    n_layers: int = 6,
    num_new: int = 50,
    batches: tuple[int, ...] = (1, 2, 4, 8),
) -> None:
    model = ExpertModel(vocab_size, d_model, n_layers, max_seq_len=512)
    engine, config = TorchEngine(model), GenerationConfig(max_new_tokens=num_new, temperature=0.0)
    engine([[1]], config)  # lays the weights out
    print(f"{model.get_num_params():,} parameters, {torch.get_num_threads()} threads")
    print(f"{'rows':>4} {'ms':>8} {'tokens/s':>9}")
    for batch in batches:
        prompts = torch.randint(0, vocab_size, (batch, 10)).tolist()
        began = time.perf_counter()
        engine(prompts, config)
        seconds = time.perf_counter() - began
        print(f"{batch:4} {1000 * seconds:8.1f} {batch * num_new / seconds:9.1f}")


if __name__ == "__main__":
    main()
