"""How long what people send may be, told before anything is loaded for it."""

from collections.abc import Iterable

from interconnected_ai.serving.faults import Refusal
from interconnected_ai.text import estimate_tokens


def refuse_long(texts: Iterable[str], max_tokens: int, *, param: str) -> None:
    """Raise `Refusal` for texts of more tokens together. They are estimated, and only where there are bytes enough for it.

    The exact count is the model's own affair: it refuses what its window does not hold.
    """
    listed = list(texts)
    if sum(len(text.encode("utf-8", "surrogatepass")) for text in listed) <= max_tokens:
        return  # no token is shorter than a byte
    number = sum(map(estimate_tokens, listed))
    if number > max_tokens:
        raise Refusal(
            400, f"{param}: about {number:,} tokens are more than {max_tokens:,}, which a request may have here; send less",
            code="context_length_exceeded", param=param,
        )  # fmt: skip
