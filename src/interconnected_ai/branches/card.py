"""What a saved system shows the world: its README card."""

from collections.abc import Mapping

from interconnected_ai.config import EMBEDDED_ENCODER, BranchCard, SystemConfig


def card_text(config: SystemConfig, cards: Mapping[str, BranchCard], num_params: Mapping[str, int]) -> str:
    """The README of a saved system: every branch with its classes, rows and validation accuracy, and how to load it."""
    rows = "\n".join(
        f"| {card.name} | {card.spec.num_classes} | {card.num_rows} | {card.trained or 'untrained'} | "
        + (f"{card.metrics['accuracy']:.4f} |" if "accuracy" in card.metrics else "– |")
        for card in cards.values()
    )
    within = f", with a LoRA of rank {config.encoder_lora_rank} inside" if config.encoder_lora_rank else ""
    return (
        "---\nlibrary_name: interconnected-ai\npipeline_tag: text-classification\n---\n\n"
        f"# A system of {len(cards)} branches on one trunk\n\n"
        f"Encoder: `{config.base_model_name or EMBEDDED_ENCODER}` (frozen{within}). Parameters: {num_params['total']:,}, "
        f"of them {num_params['trunk'] + num_params['encoder_lora']:,} shared and trained.\n\n"
        "| branch | classes | training rows | trained | validation accuracy |\n|---|---|---|---|---|\n"
        f"{rows}\n\n"
        "```python\nfrom interconnected_ai import InterconnectedAISystem\n\n"
        'system = InterconnectedAISystem.from_pretrained("this folder")\n'
        'print(system.predict(["a text"])[0])\n```\n'
    )
