"""The document's quick start, made to run: embedded encoder, six texts, three branches, no network."""

import torch
from torch import Tensor

from interconnected_ai import InterconnectedAISystem, inference, train_epoch

TEXTS = ["muscle electrode", "nerve pulse", "cortex over 6G", "spike latency", "nano device", "molecule bus"]
BRANCHES = [0, 0, 1, 1, 2, 2]  # Bio-Elec, Neuro-6G, IoBNT
LABELS = [0, 1, 0, 1, 0, 1]


def batches(model: InterconnectedAISystem) -> list[dict[str, Tensor]]:
    input_ids, mask = model.encoder.pad(model.encoder.tokenize(TEXTS))
    branch_id, labels = torch.tensor(BRANCHES), torch.tensor(LABELS)
    return [{"input_ids": input_ids, "attention_mask": mask, "branch_id": branch_id, "labels": labels}]


def main(epochs: int = 10) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = InterconnectedAISystem(num_experts=8, k=2, num_branches=3)
    train_loader = batches(model)
    optimizer = torch.optim.AdamW(model.get_trainable_params(), weight_decay=0.01)
    for epoch in range(epochs):
        train_loss = train_epoch(model, train_loader, device, optimizer)
        print(f"epoch {epoch + 1}, loss {train_loss:.4f}")

    result = inference(model, train_loader[0]["input_ids"][0], branch_id=0, device=device)
    print(f"class {result['class']}, confidence {result['confidence']:.2%}")


if __name__ == "__main__":
    main()
