"""What top-p routing costs and spares on the quickstart's mixture: experts a token takes, perplexity, tokens a second."""

from pathlib import Path
from typing import Any

from interconnected_ai.bench.surgery_quickstart import SEEN, SEQ_TOKENS, library_texts
from interconnected_ai.bench.timing import take_turns
from interconnected_ai.surgery import open as open_moe
from interconnected_ai.surgery import perplexity

PARTS = (0.4, 0.6, 0.8, 1.0)


def bench_reach(model: Path, repeats: int = 3, *, num_texts: int = 12, most_texts: int | None = None) -> dict[str, Any]:
    """Held-out documents of the libraries that the model learnt, read with each part; 1.0 takes top-k through the same code.

    Without any is the family's own router and kernels. speed: over that.
    """
    found = library_texts(SEEN, most=most_texts)
    texts = [text for library in SEEN for text in found[library].held[:num_texts]]
    models: dict[str, Any] = {"top-k": open_moe(model)}
    for part in PARTS:
        models[f"top-p {part:g}"] = open_moe(model)
        models[f"top-p {part:g}"].set_top_p(part)
    measured = {
        name: {
            "perplexity": perplexity(moe, texts, max_tokens=SEQ_TOKENS),
            "experts_taken": _mean(moe.usage(texts, max_tokens=SEQ_TOKENS).taken("texts")),
        }
        for name, moe in models.items()
    }
    reading = {name: (lambda moe=moe: perplexity(moe, texts, max_tokens=SEQ_TOKENS)) for name, moe in models.items()}
    seconds = take_turns(reading, repeats)
    for name, each in measured.items():
        each["speed"] = seconds["top-k"].median / seconds[name].median
    return {"top_p": measured}


def _mean(values: tuple[float, ...]) -> float:
    return sum(values) / len(values)
