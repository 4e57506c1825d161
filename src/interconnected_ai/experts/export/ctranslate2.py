"""An expert as a CTranslate2 folder: its decoder takes both places of the norm, positions as a table, and biases."""

import math
from pathlib import Path
from typing import Any

from interconnected_ai.errors import EngineError
from interconnected_ai.experts.export.vocabulary import vocabulary
from interconnected_ai.experts.network import ExpertNetwork
from interconnected_ai.extras import require
from interconnected_ai.storage import atomic_folder
from interconnected_ai.text import Tokenizer

KIND = "expert exported to CTranslate2"
PRECISIONS = ("float32", "int8")


def write_ctranslate2(
    model: ExpertNetwork, tokenizer: Tokenizer | None, out: str | Path, *, precision: str = "float32"
) -> None:
    """Write the folder that `ctranslate2.Generator` opens. precision: of the weights on disk, "float32" or "int8".

    Raises `MissingExtraError` without CTranslate2.
    """
    if precision not in PRECISIONS:
        raise EngineError(f"ctranslate2 knows no precision {precision!r}; it has {' and '.join(PRECISIONS)}")
    specs = require("ctranslate2.specs", "ctranslate2", "export to CTranslate2")
    spec = _spec(model, specs)
    spec.register_vocabulary(vocabulary(tokenizer, model.config.vocab_size))
    # no token is unknown and the caller says what the answer starts with; the names have to be in the vocabulary all the same
    spec.config.unk_token = spec.config.bos_token = spec.config.eos_token = spec._vocabulary[_end_id(tokenizer)]
    spec.config.layer_norm_epsilon = 1e-5
    spec.config.add_attribute("expert", model.get_model_config())  # the library passes over what it does not know
    spec.validate()
    spec.optimize(quantization=precision)
    with atomic_folder(out, kind=KIND) as scratch:
        spec.save(str(scratch))
        if tokenizer is not None:
            tokenizer.save(scratch / "tokenizer.json")


def _end_id(tokenizer: Tokenizer | None) -> int:
    return 0 if tokenizer is None else tokenizer.end_id


def _spec(model: ExpertNetwork, specs: Any) -> Any:
    """The model in CTranslate2's words. Linear weights are (out, in) there as here, and query, key, value are one matrix."""
    shape = model.config
    spec = specs.TransformerDecoderModelSpec.from_config(
        shape.n_layers, shape.n_heads, activation=specs.Activation.GELU
    )
    # the pre-norm spec with the order changed afterwards: the post-norm one has no room for the last layer norm
    spec.decoder.pre_norm = shape.norm == "pre"
    ours = {name: tensor.detach().float().cpu().numpy() for name, tensor in model.state_dict().items()}

    def fill(place: Any, name: str) -> None:
        is_norm = hasattr(place, "gamma")
        setattr(place, "gamma" if is_norm else "weight", ours[f"{name}.weight"])
        if f"{name}.bias" in ours:
            setattr(place, "beta" if is_norm else "bias", ours[f"{name}.bias"])

    decoder = spec.decoder
    decoder.embeddings.weight = ours["embedding.weight"]
    decoder.scale_embeddings = math.sqrt(shape.d_model)
    decoder.position_encodings.encodings = ours["positions.pe"]
    fill(decoder.layer_norm, "norm")
    fill(decoder.projection, "head")
    for number, layer in enumerate(decoder.layer):
        name = f"blocks.{number}"
        fill(layer.self_attention.layer_norm, f"{name}.norm_1")
        fill(layer.self_attention.linear[0], f"{name}.attention.qkv")
        fill(layer.self_attention.linear[1], f"{name}.attention.out")
        fill(layer.ffn.layer_norm, f"{name}.norm_2")
        fill(layer.ffn.linear_0, f"{name}.feed_forward.w_in")
        fill(layer.ffn.linear_1, f"{name}.feed_forward.w_out")
    return spec
