"""The document's third example: its four sizes, built (without memory for their weights) and counted."""

import torch

from interconnected_ai import ExpertModel
from interconnected_ai.planner.expert import PRESETS

MIB = 2**20


def main() -> None:
    print(f"{'model':8} {'parameters':>12} {'FP32':>8} {'FP16':>8} {'INT8':>8}   MiB")
    for name, shape in PRESETS.items():
        with torch.device("meta"):
            model = ExpertModel(shape.vocab_size, shape.d_model, shape.n_layers, shape.n_heads)
        num_params = model.get_num_params()
        sizes = "".join(f"{num_params * width / MIB:9.1f}" for width in (4, 2, 1))
        print(f"{name:8} {num_params:12,}{sizes}")


if __name__ == "__main__":
    main()
