"""A rendered chat as token ids: what the template wrote may be control tokens, what a person wrote never is."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from tokenizers import AddedToken, processors
from tokenizers import Tokenizer as FastTokenizer

from interconnected_ai.errors import PromptError
from interconnected_ai.experts.chat.protection import Marked

_BEFORE = "\n"  # what a part is read behind, where its beginning would be taken for that of a text


@dataclass(frozen=True)
class Tokens:
    """Token ids, and for each where in the text it stands: (begin, end) in characters."""

    ids: tuple[int, ...]
    places: tuple[tuple[int, int], ...]


class ChatWords:
    """A vocabulary that reads rendered chats.

    fast: Hugging Face's fast tokenizer; it is copied, and stays as it is. written: text of the template, in which tokens that
    are not marked special are control tokens too (Qwen's `<think>`). Where nobody spells a control token in a message, the ids
    are those that transformers' `apply_chat_template` gives.

    Threads: any number at once.
    """

    def __init__(self, fast: FastTokenizer, written: str = "") -> None:
        added: dict[int, AddedToken] = fast.get_added_tokens_decoder()
        self.special: Mapping[str, int] = {
            token.content: i for i, token in added.items() if token.special and token.content
        }
        self.controls: Mapping[str, int] = {
            token.content: i
            for i, token in added.items()
            if token.content and (token.special or (token.content.strip() and token.content in written))
        }
        self._added = added
        self._matching = _copied(fast.to_str())

    def read(self, marked: Marked) -> Tokens:
        """The token ids of a rendered chat. Raises `PromptError` where the vocabulary itself takes text for a control token."""
        wanted = [self.controls[marked.text[begin:end]] for begin, end in marked.controls]
        if marked.is_plain:
            tokens = _encoded(self._matching, marked.text)
            known = set(self.controls.values())
            if [token for token in tokens.ids if token in known] == wanted:
                return tokens
        return self._read_in_parts(marked, wanted)

    def _read_in_parts(self, marked: Marked, wanted: list[int]) -> Tokens:
        """Control tokens by their ids, and what stands between them as ordinary text."""
        ids: list[int] = []
        places: list[tuple[int, int]] = []
        at = 0
        for (begin, end), token_id in zip(marked.controls, wanted, strict=True):
            token = self._added[token_id]
            between = marked.text[at:begin]
            for one, place in self._ordinary(between.rstrip() if token.lstrip else between, at):
                ids.append(one)
                places.append(place)
            ids.append(token_id)
            places.append((begin, end))
            at = end
            if token.rstrip:
                at += len(marked.text[end:]) - len(marked.text[end:].lstrip())
        for one, place in self._ordinary(marked.text[at:], at):
            ids.append(one)
            places.append(place)
        return Tokens(tuple(ids), tuple(places))

    def _ordinary(self, text: str, at: int) -> Iterator[tuple[int, tuple[int, int]]]:
        """Ids of a part that begins at this place, and where each stands."""
        if not text:
            return
        tokens = self._as_text(text, is_first=at == 0)
        if known := set(tokens.ids) & set(self.controls.values()):
            spelled = next(spelling for spelling, token_id in self.controls.items() if token_id in known)
            raise PromptError(
                f"a message holds {spelled!r}, which this model's vocabulary cannot tell from the control token; reword it"
            )
        for token_id, (begin, end) in zip(tokens.ids, tokens.places, strict=True):
            yield token_id, (at + begin, at + end)

    def _as_text(self, text: str, *, is_first: bool) -> Tokens:
        if is_first or not self._minds_beginnings:
            return _encoded(self._ignoring, text)
        before = _encoded(self._ignoring, _BEFORE).ids
        tokens = _encoded(self._ignoring, _BEFORE + text)
        if tokens.ids[: len(before)] != before:
            return _encoded(self._ignoring, text)
        kept = tokens.places[len(before) :]
        return Tokens(tokens.ids[len(before) :], tuple((b - len(_BEFORE), e - len(_BEFORE)) for b, e in kept))

    @cached_property
    def _ignoring(self) -> FastTokenizer:
        """The vocabulary, to which control tokens are text."""
        content = json.loads(self._matching.to_str())
        for token in content["added_tokens"]:
            token["special"] = token["content"] in self.controls
        fast = _copied(json.dumps(content))
        fast.encode_special_tokens = True  # what the library calls it when text that spells a special token stays text
        return fast

    @cached_property
    def _minds_beginnings(self) -> bool:
        """Whether a word behind a control token is read otherwise than at the beginning of a text."""
        control = next((spelling for spelling, i in self.controls.items() if not self._added[i].rstrip), None)
        if control is None:
            return False
        return _encoded(self._matching, control + "a").ids[1:] != _encoded(self._matching, "a").ids


def _copied(content: str) -> FastTokenizer:
    fast = FastTokenizer.from_str(content)
    fast.no_truncation()
    fast.no_padding()
    fast.encode_special_tokens = False
    fast.post_processor = processors.ByteLevel(trim_offsets=False)  # places with their spaces; adds nothing itself
    return fast


def _encoded(fast: FastTokenizer, text: str) -> Tokens:
    encoding = fast.encode(text, add_special_tokens=False)
    return Tokens(tuple(encoding.ids), tuple(encoding.offsets))
