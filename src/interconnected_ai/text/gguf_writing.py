"""A tokenizer as the entries of a GGUF file, from which llama.cpp makes the same token ids."""

import json
from typing import Any

from tokenizers import Regex, pre_tokenizers

from interconnected_ai.errors import TokenizerError
from interconnected_ai.text.gguf import (
    BYTE,
    BYTE_LEVEL,
    CONTROL,
    CUTS,
    NORMAL,
    SENTENCE_PIECE,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    WHOLE_WORDS_FIRST,
)
from interconnected_ai.text.text_tokenizer import TextTokenizer

# Letters, marks, numbers, spaces and contractions: pieces by which one way of cutting words differs from every other.
_PROBE = (
    "He'LL've 12345 ٣٤ x²½ HTTPServer aBc日本語テスト привет\u0301 don't\n\n \t  end  \r\n ...!?/\n// "
    "$a_b (x) ~`^|<=> 🙂é  "
)
_HARMLESS_NORMALIZERS = ("NFC",)  # llama.cpp has none; it is given text as it is typed
_NEVER = -1e6  # the score of a token that no merge makes


def gguf_entries(tokenizer: TextTokenizer, vocab_size: int, *, template: str | None = None) -> dict[str, Any]:
    """Names that begin with "tokenizer." → values, as `GgufVocabulary` reads them.

    vocab_size: of the model; ids beyond the tokenizer get names that no text spells. template: of chats, Jinja.
    Raises `TokenizerError` for a tokenizer whose way of cutting words or of merging llama.cpp does not have.
    """
    content = json.loads(tokenizer.fast.to_str())
    if content["model"].get("type") != "BPE":
        raise TokenizerError(
            f"a GGUF file holds BPE tokenizers, this one is {content['model'].get('type')}; convert the model with "
            "llama.cpp's convert_hf_to_gguf.py"
        )
    if tokenizer.vocab_size > vocab_size:
        raise TokenizerError(
            f"the tokenizer has {tokenizer.vocab_size} tokens, the model {vocab_size} rows for them; resize its embedding, or "
            "take out the tokens that were added"
        )
    is_sentence_piece = bool(content["model"].get("byte_fallback"))
    kinds = _kinds(tokenizer, content, vocab_size, is_sentence_piece)
    named: dict[str, Any] = {
        "model": SENTENCE_PIECE if is_sentence_piece else BYTE_LEVEL,
        "tokens": tuple(tokenizer.fast.id_to_token(i) or f"<|row={i}|>" for i in range(vocab_size)),
        "token_type": tuple(kinds),
        "add_bos_token": bool(tokenizer.lead_ids),
        "eos_token_id": tokenizer.end_id,
    }
    for name, word in (("bos_token", "bos"), ("unk_token", "unknown"), ("pad_token", "padding")):
        text = tokenizer.special_names.get(name)
        if text is not None and text in tokenizer.special_tokens:
            named[f"{word}_token_id"] = tokenizer.special_tokens[text]
    if len(tokenizer.end_ids) > 1:
        named["eot_token_id"] = tokenizer.end_ids[1]
    merges = [pair.split(" ") if isinstance(pair, str) else pair for pair in content["model"]["merges"]]
    if is_sentence_piece:
        named |= _by_scores(content, merges, vocab_size, named["tokens"])
    else:
        named |= {
            "pre": _pre(tokenizer, content),
            "merges": tuple(" ".join(pair) for pair in merges) or ("<|no|> <|merge|>",),
        }
    entries = {f"tokenizer.ggml.{name}": value for name, value in named.items()}
    return entries if template is None else entries | {"tokenizer.chat_template": template}


def _kinds(tokenizer: TextTokenizer, content: dict[str, Any], vocab_size: int, has_bytes: bool) -> list[int]:
    kinds = [NORMAL if i < tokenizer.vocab_size else UNUSED for i in range(vocab_size)]
    if has_bytes:
        for number in range(256):
            if (place := tokenizer.fast.token_to_id(f"<0x{number:02X}>")) is not None:
                kinds[place] = BYTE
    for place, token in tokenizer.fast.get_added_tokens_decoder().items():
        kinds[place] = CONTROL if token.special else USER_DEFINED
    unknown = content["model"].get("unk_token")
    if unknown is not None and (place := tokenizer.fast.token_to_id(unknown)) is not None:
        kinds[place] = UNKNOWN
    return kinds


def _pre(tokenizer: TextTokenizer, content: dict[str, Any]) -> str:
    """The name of the way in which words are cut: the one that cuts a text full of odd things alike."""
    normalizer = (content.get("normalizer") or {}).get("type", _HARMLESS_NORMALIZERS[0])
    own = tokenizer.fast.pre_tokenizer
    if own is None or normalizer not in _HARMLESS_NORMALIZERS:
        raise TokenizerError(
            f"llama.cpp has no byte-level BPE with the normalizer {normalizer} and pre-tokenizer {own}"
        )
    wanted, is_whole_first = own.pre_tokenize_str(_PROBE), bool(content["model"].get("ignore_merges"))
    for name, cuts in CUTS.items():
        splits = [pre_tokenizers.Split(Regex(cut), "isolated") for cut in cuts]
        other = pre_tokenizers.Sequence([*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        if (name in WHOLE_WORDS_FIRST) == is_whole_first and other.pre_tokenize_str(_PROBE) == wanted:
            return name
    raise TokenizerError(
        "the tokenizer cuts words in a way that llama.cpp has no name for, as far as is known here; convert the model with "
        "llama.cpp's convert_hf_to_gguf.py"
    )


def _by_scores(
    content: dict[str, Any], merges: list[list[str]], vocab_size: int, tokens: tuple[str, ...]
) -> dict[str, Any]:
    """What SentencePiece's BPE is told by: a score for every token, the better the earlier its merge."""
    made: dict[str, int] = {}
    for place, (first, second) in enumerate(merges):
        made.setdefault(first + second, place)
    scores = tuple(-float(made[text]) if text in made else 0.0 if len(text) == 1 else _NEVER for text in tokens)
    stated = json.dumps([content.get("normalizer"), content.get("pre_tokenizer")])
    begins = '"Prepend"' in stated or '"prepend_scheme": "always"' in stated or '"prepend_scheme": "first"' in stated
    return {"scores": scores, "add_space_prefix": begins}
