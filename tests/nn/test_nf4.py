"""Four bits: the levels of the paper, and rounding to the nearest."""

import torch

from interconnected_ai.nn import nf4_levels, pack_nf4, unpack_nf4


def test_nf4_levels_are_the_papers_and_rounding_goes_to_the_nearest() -> None:
    found = nf4_levels()
    # QLoRA, appendix E
    assert found[0] == -1.0
    assert found[7] == 0.0
    assert found[15] == 1.0
    torch.testing.assert_close(
        found[[1, 4, 8, 14]], torch.tensor([-0.6962, -0.2844, 0.0796, 0.7230]), atol=1e-4, rtol=0
    )
    weight = torch.randn(7, 37, generator=torch.Generator().manual_seed(0))
    codes, largest = pack_nf4(weight)
    again = unpack_nf4(codes, largest, weight.shape, weight.dtype)
    flat, rounded = weight.flatten(), again.flatten()
    for start in range(0, flat.numel(), 64):
        block = flat[start : start + 64]
        nearest = (block[:, None] - found * block.abs().max()).abs().amin(dim=1)
        torch.testing.assert_close((block - rounded[start : start + 64]).abs(), nearest, atol=1e-6, rtol=1e-5)
