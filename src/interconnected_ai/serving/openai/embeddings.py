"""`POST /v1/embeddings`: vectors of texts, by the encoders of the systems that are served."""

import base64
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from interconnected_ai.errors import UnknownNameError
from interconnected_ai.serving.door import AtTheDoor, Classifier, entry_of, errors
from interconnected_ai.serving.faults import Refusal
from interconnected_ai.serving.schemas import Body

router = APIRouter(tags=["openai"])
_MOST_TEXTS = 2048


class EmbeddingRequest(Body):
    """Texts to be made vectors of. dimensions: only what the model has."""

    model: Annotated[str, Field(min_length=1, max_length=200)]
    input: str | list[str] | list[int] | list[list[int]]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1)] | None = None
    user: str | None = None  # says something to OpenAI's own service alone


@router.post("/v1/embeddings", responses=errors(408), response_model=None)
async def embeddings(asked: EmbeddingRequest, request: Request, door: AtTheDoor, caller: Classifier) -> Response:
    """A vector of length 1 for each text, in order; `interconnected_ai.cut` numbers texts that fill the encoder's window."""
    if asked.model not in door.hall.encoders:
        raise UnknownNameError("model", asked.model, door.hall.encoders)
    texts = _texts(asked)
    encoder = door.hall.encoders[asked.model]
    entry_of(request).model = asked.model
    made = await door.errands.run(lambda: encoder.embed(texts))
    if asked.dimensions not in (None, made.vectors.shape[1]):
        raise Refusal(
            400, f"dimensions: {asked.model} has {made.vectors.shape[1]}; leave it out", code="unsupported_value",
            param="dimensions",
        )  # fmt: skip
    is_base64 = asked.encoding_format == "base64"
    data = [
        {"object": "embedding", "index": number, "embedding": _written(vector, is_base64)}
        for number, vector in enumerate(made.vectors)
    ]
    if caller.key is not None:
        door.quotas.take_tokens(caller.key, made.num_tokens)
    door.counters.tokens(asked.model, prompt=made.num_tokens, cached=0, answer=0)
    usage = {"prompt_tokens": made.num_tokens, "total_tokens": made.num_tokens}
    told = {"interconnected_ai": {"cut": list(made.cut)}} if made.cut else {}
    return JSONResponse({"object": "list", "data": data, "model": asked.model, "usage": usage, **told})


def _texts(asked: EmbeddingRequest) -> list[str]:
    listed = [asked.input] if isinstance(asked.input, str) else asked.input
    if not listed or len(listed) > _MOST_TEXTS:
        raise Refusal(400, f"input: 1 to {_MOST_TEXTS} texts at once, got {len(listed)}", param="input")
    texts = [text for text in listed if isinstance(text, str)]
    if len(texts) < len(listed):
        raise Refusal(
            400, "input: token ids of another model's tokenizer say nothing here; send texts (LangChain: "
            "check_embedding_ctx_length=False)", code="unsupported_value", param="input",
        )  # fmt: skip
    if empty := [number for number, text in enumerate(texts) if not text.strip()]:
        raise Refusal(400, f"input.{empty[0]}: it is empty", code="invalid_value", param="input")
    return texts


def _written(vector: Any, is_base64: bool) -> Any:
    """Numbers, or their bytes as float32, the lowest first, which is what OpenAI's clients ask for."""
    small = np.asarray(vector, dtype="<f4")
    return base64.b64encode(small.tobytes()).decode() if is_base64 else small.tolist()
