"""The document's first example: a model, a batch of token ids, logits."""

import torch

from interconnected_ai import ExpertModel


def main() -> None:
    model = ExpertModel(vocab_size=5000, d_model=256, n_layers=4).eval()
    input_ids = torch.randint(0, 5000, (1, 10))
    with torch.inference_mode():
        logits = model(input_ids)
    print(f"{model.get_num_params():,} parameters, {model.get_num_params(non_embedding=True):,} without the embedding")
    print(f"token ids {list(input_ids.shape)} -> logits {list(logits.shape)}")


if __name__ == "__main__":
    main()
