"""Training with dropout on a CPU goes its own way through attention: the same numbers, and a share of them dropped."""

import torch
from torch.nn import functional as F

from interconnected_ai.nn import MultiHeadAttention


def test_the_way_with_dropout_is_causal_attention() -> None:
    attention = MultiHeadAttention(32, 4, 0.3, generator=torch.Generator().manual_seed(0)).eval()
    q, k, v = (torch.randn(2, 4, 7, 8, generator=torch.Generator().manual_seed(n)) for n in range(3))
    torch.testing.assert_close(
        attention._causal_in_memory(q, k, v), F.scaled_dot_product_attention(q, k, v, is_causal=True)
    )


def test_training_with_dropout_is_attention_on_average_and_sees_no_future() -> None:
    attention = MultiHeadAttention(16, 2, 0.2, generator=torch.Generator().manual_seed(0))
    hidden = torch.randn(1, 5, 16, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(2)
    mean = torch.stack([attention(hidden, is_causal=True) for _ in range(4000)]).mean(dim=0)
    torch.testing.assert_close(mean, attention.eval()(hidden, is_causal=True), atol=0.05, rtol=0.05)
    attention.train()
    changed = hidden.clone()
    changed[:, 3:] += 1.0
    torch.manual_seed(3)
    before = attention(hidden, is_causal=True)
    torch.manual_seed(3)
    after = attention(changed, is_causal=True)
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.equal(before[:, 3:], after[:, 3:])


def test_gradients_of_the_way_with_dropout_are_those_of_plain_attention() -> None:
    attention = MultiHeadAttention(16, 2, 0.3, generator=torch.Generator().manual_seed(0)).eval()
    tensors = [
        torch.randn(1, 2, 5, 8, generator=torch.Generator().manual_seed(n), requires_grad=True) for n in range(3)
    ]
    ours = torch.autograd.grad(attention._causal_in_memory(*tensors).square().sum(), tensors)
    theirs = torch.autograd.grad(F.scaled_dot_product_attention(*tensors, is_causal=True).square().sum(), tensors)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)
