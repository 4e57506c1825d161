"""The document's sizes of an expert model, as shapes."""

from interconnected_ai.config import ExpertConfig
from interconnected_ai.errors import UnknownNameError

# The document's table of sizes gives parameter counts and no shapes. These shapes have exactly its counts; they are a
# reconstruction: the only ones with a vocabulary of whole thousands, d_model a multiple of 64 and d_ff = 4 · d_model.
# Counts say nothing of heads: they are 64 wide here, as in the document's example (512 / 8).
PRESETS: dict[str, ExpertConfig] = {
    "tiny": ExpertConfig(vocab_size=5_000, d_model=128, n_layers=2, n_heads=2),
    "small": ExpertConfig(vocab_size=10_000, d_model=256, n_layers=4, n_heads=4),
    "medium": ExpertConfig(vocab_size=32_000, d_model=512, n_layers=6, n_heads=8),
    "large": ExpertConfig(vocab_size=50_000, d_model=768, n_layers=8, n_heads=12),
}


def expert_preset(name: str) -> ExpertConfig:
    """One of the document's sizes: tiny, small, medium or large; raises `UnknownNameError` for another."""
    if name.casefold() not in PRESETS:
        raise UnknownNameError("expert size", name, PRESETS)
    return PRESETS[name.casefold()]
