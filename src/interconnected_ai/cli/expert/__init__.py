"""`iai expert`: small language models of one's own. One file a command, imported when it is called."""

import click

from interconnected_ai.cli import Verbs

# file → what the command does
VERBS = {
    "quickstart": "Three experts on the documentation of Python, NumPy and PyTorch, in five minutes.",
    "data": "What text holds, before an expert is trained on it.",
    "train": "Train an expert on text of your own.",
    "adapt": "Adapt a pretrained base to text or conversations of your own.",
    "evaluate": "Perplexity and bits per byte of an expert on text.",
    "list": "The experts in a folder.",
    "quantize": "Weights in 8 or 4 bits, and what that costs in perplexity.",
    "export": "Write an expert for transformers, llama.cpp, ONNX Runtime or CTranslate2.",
}


@click.group("expert", cls=Verbs, room=__name__, verbs=VERBS)
def command() -> None:
    """Train, measure and list experts: small language models, each for a domain."""
