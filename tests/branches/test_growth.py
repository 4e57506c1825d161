"""Training a branch on pooled vectors leaves nothing behind but the branch's weights."""

import torch

from conftest import make_system
from interconnected_ai.branches import train_on_pooled
from interconnected_ai.config import TrainingConfig


def test_no_gradient_is_left_for_a_joint_training_to_add() -> None:
    system = make_system("a")
    pooled, targets = torch.randn(12, system.encoder.d_model), torch.arange(12) % 3
    train_on_pooled(system.branch("a"), pooled, targets, None, TrainingConfig(epochs=2, batch_size=4))
    assert [n for n, p in system.named_parameters() if p.grad is not None] == []
