"""The document's fifth example: save and load, its own way with torch.save and the package's with save_pretrained."""

import tempfile
from pathlib import Path

import torch

from interconnected_ai import ExpertModel


def main() -> None:
    model = ExpertModel(vocab_size=1000, d_model=128, n_layers=2).eval()
    input_ids = torch.randint(0, 1000, (1, 10))
    with tempfile.TemporaryDirectory() as home, torch.inference_mode():
        wanted = model(input_ids)

        torch.save(
            {"model_state_dict": model.state_dict(), "config": model.get_model_config()}, Path(home) / "model.pt"
        )
        checkpoint = torch.load(Path(home) / "model.pt", weights_only=True)  # a pickle: only ever load your own
        again = ExpertModel(**checkpoint["config"]).eval()
        again.load_state_dict(checkpoint["model_state_dict"])
        print(f"torch.save: largest difference of the outputs {(again(input_ids) - wanted).abs().max():.10f}")

        model.save_pretrained(Path(home) / "expert")
        again = ExpertModel.from_pretrained(Path(home) / "expert")
        print(f"save_pretrained: largest difference of the outputs {(again(input_ids) - wanted).abs().max():.10f}")


if __name__ == "__main__":
    main()
