"""The transformer block: the document's count, both orders of norm, and a harness."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interconnected_ai.nn import TransformerBlock

NORMS = ["post", "pre"]


def test_the_documents_block_has_its_parameters() -> None:
    with torch.device("meta"):
        block = TransformerBlock(512, 8, 2048, 0.1)
    assert sum(p.numel() for p in block.parameters()) == 3_152_384


def torchs(block: TransformerBlock, d_model: int, d_ff: int) -> nn.TransformerEncoderLayer:
    """torch's layer with our weights."""
    theirs = nn.TransformerEncoderLayer(
        d_model, block.attention.n_heads, d_ff, activation=F.gelu, batch_first=True, norm_first=block.norm == "pre"
    ).eval()
    pairs = {
        "self_attn.in_proj_": block.attention.qkv, "self_attn.out_proj.": block.attention.out,
        "linear1.": block.feed_forward.w_in, "linear2.": block.feed_forward.w_out,
        "norm1.": block.norm_1, "norm2.": block.norm_2,
    }  # fmt: skip
    theirs.load_state_dict({f"{at}{name}": t for at, part in pairs.items() for name, t in part.state_dict().items()})
    return theirs


@pytest.mark.parametrize("norm", NORMS)
def test_it_is_torchs_layer(norm: str) -> None:
    block = TransformerBlock(24, 3, 40, norm=norm).eval()  # type: ignore[arg-type]
    for linear in (block.attention.qkv, block.attention.out, block.feed_forward.w_in, block.feed_forward.w_out):
        nn.init.normal_(linear.bias)
    hidden = torch.randn(2, 6, 24)
    blind = torch.ones(6, 6, dtype=torch.bool).triu(1)
    with torch.no_grad():
        wanted = torchs(block, 24, 40)(hidden, src_mask=blind)
        torch.testing.assert_close(block(hidden, is_causal=True), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_shapes_gradients_and_dtypes(norm: str) -> None:
    block = TransformerBlock(16, 2, 32, 0.1, norm=norm)  # type: ignore[arg-type]
    hidden = torch.randn(3, 5, 16, requires_grad=True)
    out: Tensor = block(hidden, is_causal=True)
    assert out.shape == hidden.shape
    out.square().mean().backward()
    assert hidden.grad is not None
    assert all(p.grad is not None and p.grad.isfinite().all() for p in block.parameters())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert block(hidden, is_causal=True).isfinite().all()
    assert block.to(torch.bfloat16)(hidden.bfloat16(), is_causal=True).dtype == torch.bfloat16


def test_another_order_of_norm_is_refused() -> None:
    with pytest.raises(ValueError, match="needs 'post' or 'pre'"):
        TransformerBlock(8, 2, 16, norm="middle")  # type: ignore[arg-type]
