"""The vocabulary of a GGUF file: as a tokenizer of the library `tokenizers`, as bytes of every token, as the tokens that end.

Token ids are those that llama.cpp gives. What a chat looks like is left to whoever chats.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from interconnected_ai.errors import TokenizerError, nearest_first
from interconnected_ai.text.byte_level import byte_letters

BYTE_LEVEL, SENTENCE_PIECE = "gpt2", "llama"  # tokenizer.ggml.model
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6  # tokenizer.ggml.token_type
_SPACE = "▁"

# How a text is cut into words before byte-level BPE: the patterns of the models' own tokenizer.json files, one after another.
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_MARKS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_WORD = r"[^\r\n\p{L}\p{N}]?"
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LLAMA3 = rf"{_CONTRACTIONS}|{_WORD}\p{{L}}+|\p{{N}}{{1,3}}|{_MARKS}|{_REST}"
_QWEN2 = rf"{_CONTRACTIONS}|{_WORD}\p{{L}}+|\p{{N}}|{_MARKS}|{_REST}"
_TEKKEN = rf"{_WORD}{_UPPER}*{_LOWER}+|{_WORD}{_UPPER}+{_LOWER}*|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_REST}"
_GPT4O = (
    rf"{_WORD}{_UPPER}*{_LOWER}+{_CONTRACTIONS}?|{_WORD}{_UPPER}+{_LOWER}*{_CONTRACTIONS}?|\p{{N}}{{1,3}}"
    rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_REST}"
)
_DEEPSEEK3 = (
    r"\p{N}{1,3}",
    r"[一-龥぀-ゟ゠-ヿ]+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
    rf"|{_REST}",
)
_DIGITS = r"\p{N}"
_GPT2_WORDS = _GPT2.removesuffix(r"|\s+")
_QWEN35 = (
    rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{_REST}"
)
_BAILING = rf"'(?i:[sdmt]|ll|ve|re)|{_WORD}\p{{L}}+|\p{{N}}|{_MARKS}|\s*[\r\n]|\s+(?!\S)|\s+"
_SEED = rf"{_CONTRACTIONS}|{_WORD}\p{{L}}+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|{_REST}"
_BLOOM = r" ?[^(\s|.,!?…。，、।۔،)]+"
_PRES: dict[tuple[str, ...], str] = {  # tokenizer.ggml.pre, by how they cut
    (_GPT2,): "gpt-2 phi-2 gigachat a.x-4.0 mellum exaone4 mpt olmo jais trillion",
    (_DIGITS, _GPT2): "smollm starcoder refact command-r codeshell exaone minerva-7b",
    (_LLAMA3,): "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 dbrx smaug-bpe glm4 chatglm-bpe",
    (_QWEN2,): "qwen2 deepseek-r1-qwen kormo megrez stablelm2 hunyuan solar-open grok-2",
    (_GPT4O,): "gpt-4o llama4 kanana2 minimax-m2",
    _DEEPSEEK3: "deepseek-v3 hunyuan-dense joyai-llm",
    (_TEKKEN,): "tekken",
    (r"[\p{P}\$\+<=>\^~\|]+", _GPT2_WORDS, r"\p{N}+", "[0-9][0-9][0-9]"): "default",
    (r"[\p{P}\$\+<=>\^~\|`]+", _GPT2_WORDS, "[0-9][0-9][0-9]"): "falcon",
    (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", r"\p{N}"): "deepseek-coder",
    (_QWEN35,): "qwen35",
    (_BAILING,): "bailingmoe bailingmoe2 llada-moe",
    (_SEED,): "seed-coder",
    (_BLOOM,): "bloom poro-chat gpt3-finnish",
    (_BLOOM, _DIGITS): "viking",
}
CUTS = {pre: cuts for cuts, pres in _PRES.items() for pre in pres.split()}
WHOLE_WORDS_FIRST = frozenset(  # a word that is a token is that token, whatever the merges say
    ["llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "tekken"]
)

# Tokens at which llama.cpp ends an answer, found by their texts (llama-vocab.cpp), beside those that the file names.
_END_TEXTS = frozenset(
    "<|eot_id|> <|im_end|> <|end|> <|return|> <|call|> <|flush|> <|calls|> <end_of_turn> <|endoftext|> </s> <|eom_id|> <EOT> "
    "_<EOT> [EOT] [EOS] <|end_of_text|> <end_of_utterance> <eos> <turn|> <|tool_response> <｜end▁of▁sentence｜> [e~[".split()
)
_FILE_TEXTS = (  # of these kinds the first that a file names, or else any text of the list
    ("fim_pad", frozenset("<|fim_pad|> <fim-pad> <PAD>".split())),
    ("fim_rep", frozenset("<|fim_repo|> <|repo_name|> <fim-repo> <REPO> <reponame>".split())),
    ("fim_sep", frozenset(["<|file_sep|>"])),
)
_DEFAULT_END = {SENTENCE_PIECE: 2, BYTE_LEVEL: 11}


@dataclass(frozen=True)
class GgufVocabulary:
    """What a GGUF file says of its tokens, checked.

    model: "gpt2" for byte-level BPE, "llama" for SentencePiece's, or another that llama.cpp knows. pre: how words are cut.
    kinds: ggml's number for every token. scores: empty where the file has none.
    Threads: any number at once; two that come first may both make what is made at the first look.
    """

    model: str
    pre: str
    tokens: tuple[str, ...]
    kinds: tuple[int, ...]
    scores: tuple[float, ...]
    merges: tuple[str, ...]
    metadata: Mapping[str, Any]

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> "GgufVocabulary":
        """The vocabulary in a file's entries (`storage.read_gguf`); raises `TokenizerError` for none, or one that cannot be."""
        model, tokens = metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.tokens")
        if not isinstance(model, str) or not isinstance(tokens, tuple) or not tokens:
            raise TokenizerError(
                "the GGUF file has no tokenizer in it; fetch one with its vocabulary, or convert it anew"
            )
        tokens = tuple(text or f"[EMPTY_{number}]" for number, text in enumerate(tokens))  # as llama.cpp calls them
        kinds = metadata.get("tokenizer.ggml.token_type", (NORMAL,) * len(tokens))
        scores = metadata.get("tokenizer.ggml.scores", ())
        for name, values in (("token_type", kinds), ("scores", scores or kinds)):
            if len(values) < len(tokens):
                raise TokenizerError(
                    f"tokenizer.ggml.{name} has {len(values)} entries for {len(tokens)} tokens; fetch it anew"
                )
        if len(set(tokens)) < len(tokens):
            raise TokenizerError("the GGUF file has two tokens of one text, which llama.cpp refuses; convert it anew")
        merges = metadata.get("tokenizer.ggml.merges", ())
        return cls(model, metadata.get("tokenizer.ggml.pre", "default"), tokens, kinds, scores, merges, metadata)

    @property
    def vocab_size(self) -> int:
        """Tokens that the file has a text for."""
        return len(self.tokens)

    @property
    def end_id(self) -> int | None:
        """The token that the file names as its end, else the one that llama.cpp takes; None where there is neither."""
        return self._named("eos", _DEFAULT_END.get(self.model))

    @property
    def begin_id(self) -> int | None:
        """The token that begins a text, where the file wants one there."""
        wanted = self.metadata.get("tokenizer.ggml.add_bos_token", self.model == SENTENCE_PIECE or self._is_llama3)
        return self._named("bos", 1 if self.model == SENTENCE_PIECE else None) if wanted else None

    @cached_property
    def end_ids(self) -> tuple[int, ...]:
        """All tokens at which llama.cpp ends an answer, the file's own first."""
        found = [self._named(name) for name in ("eot", "eom")]
        for name, texts in _FILE_TEXTS:
            named = self._named(name)
            found.append(self._first_of(texts) if named is None else named)
        ids = {self.tokens[number]: number for number in self._where(_END_TEXTS)}
        if "<|end|>" in ids and ids.keys() & {"<|call|>", "<|calls|>"} and ids.keys() & {"<|return|>", "<|flush|>"}:
            del ids["<|end|>"]  # of a part of an answer, in OpenAI's harmony format
        if "<|tool_response>" in ids:
            ids.pop("</s>", None)
        numbers = {number for number in [*found, *ids.values()] if number is not None}
        own = self.end_id
        return tuple(sorted(numbers)) if own is None else (own, *sorted(numbers - {own}))

    @cached_property
    def pieces(self) -> tuple[bytes, ...]:
        """The bytes of every token, by id; tokens that steer the model stand for none.

        Joined they are the text, character for character, wherever tokens end.
        """
        ends = set(self.end_ids)
        return tuple(b"" if number in ends else self._piece(number) for number in range(len(self.tokens)))

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """Tokens that no text spells: they steer the model."""
        return frozenset(i for i, kind in enumerate(self.kinds) if kind in (CONTROL, UNKNOWN)) | frozenset(self.end_ids)

    def tokenizer(self) -> Tokenizer:
        """The tokenizer, with `encode_special_tokens`: text that spells a special token stays text.

        Raises `TokenizerError` for a way of cutting words that is not known here, with the known ones.
        """
        if self.model == BYTE_LEVEL:
            fast = self._byte_level()
        elif self.model == SENTENCE_PIECE:
            fast = self._sentence_piece()
        else:
            raise TokenizerError(
                f"tokenizer.ggml.model={self.model!r}: known are {BYTE_LEVEL} (byte-level BPE) and {SENTENCE_PIECE} "
                "(SentencePiece's BPE); give the model as a folder with its tokenizer.json"
            )
        plain = [text for text, kind in zip(self.tokens, self.kinds, strict=False) if kind == USER_DEFINED]
        fast.add_tokens([AddedToken(text, special=False, normalized=False) for text in plain])
        special = [self.tokens[number] for number in sorted(self.special_ids)]
        fast.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in special])
        fast.encode_special_tokens = True
        return fast

    def _byte_level(self) -> Tokenizer:
        if self.pre not in CUTS:
            near = ", ".join(nearest_first(self.pre, CUTS)[:5])
            raise TokenizerError(
                f"tokenizer.ggml.pre={self.pre!r}: how such a file cuts words is not known here (nearest: {near}); give the "
                "model as a folder with its tokenizer.json"
            )
        merges = [tuple(merge.split(" ", 1)) for merge in self.merges]
        known = set(self.tokens)
        whole = [m for m in merges if len(m) == 2 and m[0] in known and m[1] in known and m[0] + m[1] in known]
        ids = {text: number for number, text in enumerate(self.tokens)}
        fast = Tokenizer(models.BPE(vocab=ids, merges=whole, ignore_merges=self.pre in WHOLE_WORDS_FIRST))
        cuts = [pre_tokenizers.Split(Regex(cut), "isolated") for cut in CUTS[self.pre]]
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        fast.pre_tokenizer = pre_tokenizers.Sequence([*cuts, byte_level])
        fast.decoder = decoders.ByteLevel()
        return fast

    def _sentence_piece(self) -> Tokenizer:
        """BPE whose next merge is the one of the best score (Kudo and Richardson 2018), with bytes for unknown letters."""
        if not self.scores:
            raise TokenizerError(
                "the GGUF file's tokens have no scores, which say what is merged first; convert it anew"
            )
        ids = {text: number for number, text in enumerate(self.tokens)}
        unknown = next((text for text, kind in zip(self.tokens, self.kinds, strict=False) if kind == UNKNOWN), None)
        merges = list(self._scored_merges(ids))
        fast = Tokenizer(models.BPE(vocab=ids, merges=merges, unk_token=unknown, fuse_unk=True, byte_fallback=True))
        begins = [normalizers.Prepend(_SPACE)] if self.metadata.get("tokenizer.ggml.add_space_prefix", True) else []
        fast.normalizer = normalizers.Sequence([*begins, normalizers.Replace(" ", _SPACE)])
        fast.decoder = decoders.Sequence([decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])
        return fast

    def _scored_merges(self, ids: Mapping[str, int]) -> Iterable[tuple[str, str]]:
        found = []
        for text, number in ids.items():
            if self.kinds[number] == NORMAL:
                parts = ((text[:cut], text[cut:]) for cut in range(1, len(text)))
                found += [(-self.scores[number], ids[a], ids[b], a, b) for a, b in parts if a in ids and b in ids]
        return ((first, second) for *_, first, second in sorted(found))

    def _piece(self, number: int) -> bytes:
        text, kind = self.tokens[number], self.kinds[number]
        if kind in (CONTROL, UNKNOWN):
            return b""
        if kind == BYTE:
            return bytes([int(text[3:5], 16)]) if len(text) == 6 and text.startswith("<0x") else b""
        if kind == USER_DEFINED:
            return text.encode("utf-8", "surrogateescape")
        if self.model == BYTE_LEVEL:
            letters = byte_letters()
            if all(letter in letters for letter in text):
                return bytes(letters[letter] for letter in text)
        return text.replace(_SPACE, " ").encode("utf-8", "surrogateescape")

    def _named(self, name: str, otherwise: int | None = None) -> int | None:
        """The id that the file names for a purpose, where it has such a token."""
        number = self.metadata.get(f"tokenizer.ggml.{name}_token_id", otherwise)
        return number if isinstance(number, int) and 0 <= number < len(self.tokens) else None

    def _where(self, texts: frozenset[str]) -> Sequence[int]:
        return [number for number, text in enumerate(self.tokens) if text in texts]

    def _first_of(self, texts: frozenset[str]) -> int | None:
        return next(iter(self._where(texts)), None)

    @property
    def _is_llama3(self) -> bool:
        return self.pre in WHOLE_WORDS_FIRST
