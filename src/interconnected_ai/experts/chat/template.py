"""`ChatTemplate`: messages as the token ids that a model was trained to read, and which of them it would have to say itself."""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, Self

from jinja2 import TemplateError, TemplateSyntaxError
from tokenizers import Tokenizer as FastTokenizer

from interconnected_ai.errors import ConfigError, PromptError, UnknownNameError
from interconnected_ai.experts.chat.advice import Sampling
from interconnected_ai.experts.chat.protection import ControlTokens, Marked, free_mark
from interconnected_ai.experts.chat.sandbox import Allowance, AllowanceError, ChatEnvironment, at_one_moment, rendering
from interconnected_ai.experts.chat.sources import TemplateSource
from interconnected_ai.experts.chat.words import ChatWords, Tokens
from interconnected_ai.text import TextTokenizer
from interconnected_ai.types import ChatMessage

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
BY_ROLE_TOKENS = (  # those of `text.Tokenizer`
    "{% for message in messages %}{{ '<|role=' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|role=assistant|>' }}{% endif %}"
)
ROLES = ("system", "user", "assistant", "tool")
_CHATML_CONTROLS = ("<|im_start|>", "<|im_end|>")
_LONGEST_TEMPLATE = 1 << 18
_JOINT = "\n\n"  # between two messages that become one
_PROBE = "\ufdef"  # a text that no template writes


class CountedTokens(NamedTuple):
    """Token ids of a conversation, and for each whether the model is to learn to say it: the answers with their ends."""

    token_ids: tuple[int, ...]
    counted: tuple[bool, ...]


@dataclass(frozen=True)
class _Rendered:
    """A conversation as the template writes it. blocks: where its `generation` blocks stand."""

    marked: Marked
    blocks: tuple[tuple[int, int], ...]

    @property
    def text(self) -> str:
        return self.marked.text


class ChatTemplate:
    """A model's chat template with its vocabulary.

    source: Jinja, as transformers has it; None is ChatML, or the role tokens of a vocabulary that has some for all roles. It
    runs in a sandbox, without a way out and with an end.
    fast: Hugging Face's fast tokenizer of the model; it is copied, and stays as it is. names: what the template may call by
    name, such as {"bos_token": "<s>"}. end_ids: tokens that end an answer whatever the template says. now: the clock of
    `strftime_now`. sampling: how the model's makers advise to sample its answers, for conversations that ask for nothing.

    What a person writes stays text: no message can end itself or change roles by spelling a control token. Where the
    vocabulary lacks ChatML's tokens, and they are text like any other, a message that spells them is refused.
    A template that knows no system message, or refuses it, has its text put before the next user's, and one that refuses two
    messages of one role in a row has them as one, two line breaks between them.
    Raises `ConfigError` for a template that is none.

    Threads: any number at once.
    """

    def __init__(
        self,
        source: str | None,
        fast: FastTokenizer,
        *,
        names: Mapping[str, str] | None = None,
        end_ids: Sequence[int] = (),
        now: Callable[[], datetime] = datetime.now,
        sampling: Sampling | None = None,
    ) -> None:
        self.sampling: Sampling = dict(sampling or {})
        self.source = _default(fast) if source is None else source
        if len(self.source) > _LONGEST_TEMPLATE:
            raise ConfigError(
                f"the chat template has {len(self.source):,} characters, {_LONGEST_TEMPLATE:,} are allowed"
            )
        self._names = {"bos_token": "", "eos_token": "", **(names or {})}
        self._words = ChatWords(fast, self.source)
        spelled = _CHATML_CONTROLS if self.source == CHATML else ()
        self._spelled = tuple(control for control in spelled if control not in self._words.special)
        self._controls = ControlTokens(frozenset({*self._words.controls, *self._spelled}))
        self._special = ControlTokens(frozenset({*self._words.special, *self._spelled}))
        self._own_ends = tuple(end_ids)
        self._now = now
        try:
            with rendering(_allowance([])):
                self._template = ChatEnvironment().from_string(self.source)
        except TemplateSyntaxError as error:
            raise ConfigError(
                f"the chat template is no Jinja (line {error.lineno}: {error.message}); repair it"
            ) from error
        except (TemplateError, RecursionError) as error:
            raise ConfigError(f"the chat template cannot be read ({error}); give another") from error

    @classmethod
    def from_folder(cls, folder: str | Path, fast: FastTokenizer, *, end_ids: Sequence[int] = ()) -> Self:
        """The template of a model's folder: chat_template.jinja, or that in tokenizer_config.json; ChatML where it has none."""
        return cls._of(TemplateSource.in_folder(Path(folder)), fast, end_ids)

    @classmethod
    def from_gguf(cls, metadata: Mapping[str, Any], fast: FastTokenizer, *, end_ids: Sequence[int] = ()) -> Self:
        """The template in a GGUF file's metadata, `tokenizer.chat_template`; ChatML where it has none."""
        return cls._of(TemplateSource.in_gguf(metadata), fast, end_ids)

    @classmethod
    def of_place(cls, place: Path | None, tokenizer: TextTokenizer) -> Self:
        """The template of an expert that was opened from here, a folder or a GGUF file; the default where it has none."""
        return cls.of_source(TemplateSource(None, {}) if place is None else TemplateSource.of_place(place), tokenizer)

    @classmethod
    def of_source(cls, found: TemplateSource, tokenizer: TextTokenizer) -> Self:
        """What was found somewhere, over an expert's tokenizer."""
        names = {**tokenizer.special_names, **found.names}
        return cls(found.template, tokenizer.fast, names=names, sampling=found.sampling)

    @classmethod
    def _of(cls, found: TemplateSource, fast: FastTokenizer, end_ids: Sequence[int]) -> Self:
        return cls(found.template, fast, names=found.names, end_ids=end_ids, sampling=found.sampling)

    @property
    def sha256(self) -> str:
        """What tells this template's text from every other."""
        return hashlib.sha256(self.source.encode()).hexdigest()

    # Messages to text and tokens

    def text(self, messages: Sequence[ChatMessage], *, add_generation_prompt: bool = True) -> str:
        """The conversation as the template writes it: what transformers' `apply_chat_template` gives."""
        with at_one_moment(self._now):
            return self._rendered(self._folded(messages), add_generation_prompt).text

    def render(self, messages: Sequence[ChatMessage], *, add_generation_prompt: bool = True) -> tuple[int, ...]:
        """The token ids of a conversation. add_generation_prompt: end with the beginning of the model's answer.

        Raises `PromptError` for messages that the template refuses, with its words, and for a template that fails or has no
        end; `UnknownNameError` for a role that is none.
        """
        with at_one_moment(self._now):
            rendered = self._rendered(self._folded(messages), add_generation_prompt)
        return self._words.read(self._readable(rendered)).ids

    def count(self, messages: Sequence[ChatMessage], *, add_generation_prompt: bool = True) -> int:
        """How many tokens the conversation takes."""
        return len(self.render(messages, add_generation_prompt=add_generation_prompt))

    def render_with_answers(
        self, messages: Sequence[ChatMessage], *, answers: Collection[int] | None = None
    ) -> CountedTokens:
        """The token ids of a whole conversation, and which are answers: from the first token that the model has to say to
        the one that ends its turn, that included.

        answers: places in `messages` of the answers that count; None is every message of the assistant. Where answers begin
        and end is what the template's `generation` blocks say; without them, what it writes before an answer is compared
        with what it writes for the whole. Raises `PromptError` as `render` does, and where neither shows it.
        """
        with at_one_moment(self._now):
            whole, spans = self._spans(messages, answers)
        tokens = self._words.read(self._readable(whole))
        return CountedTokens(tokens.ids, _within(spans, tokens))

    def _spans(
        self, messages: Sequence[ChatMessage], answers: Collection[int] | None
    ) -> tuple[_Rendered, list[tuple[int, int]]]:
        """The whole conversation, and where the answers that count stand in it."""
        listed = _checked(messages)
        prepared = self._prepared(list(zip(listed, _counting(listed, answers), strict=True)))
        folded, counting = [message for message, _ in prepared], [counts for _, counts in prepared]
        whole = self._rendered(folded, add_generation_prompt=False)
        spans = self._blocks_with_ends(whole) if whole.blocks else self._answers(folded, whole)
        numbers = [number for number, message in enumerate(folded) if message.role == "assistant"]
        if answers is not None and len(spans) != len(numbers):
            raise PromptError(
                f"the chat template has {len(spans)} generation blocks for {len(numbers)} answers, so single ones cannot be "
                "counted; count all, or mend the template"
            )
        if answers is not None:
            spans = [span for span, number in zip(spans, numbers, strict=True) if counting[number]]
        return whole, spans

    # What the template is like

    @cached_property
    def has_system(self) -> bool:
        """Whether it writes system messages."""
        return self._writes([ChatMessage("system", _PROBE), ChatMessage("user", "a")])

    @cached_property
    def has_tools(self) -> bool:
        """Whether it writes messages of tools."""
        asked = [ChatMessage("user", "a"), ChatMessage("assistant", "b")]
        return self._writes([*asked, ChatMessage("tool", _PROBE)])

    @cached_property
    def end_of_turn(self) -> str | None:
        """The control token that it writes behind an answer; None where it writes none."""
        try:
            probe = [ChatMessage("user", "a"), ChatMessage("assistant", _PROBE)]
            whole = self._rendered(probe, add_generation_prompt=False)
        except PromptError:
            return None
        begin = whole.text.find(_PROBE) + len(_PROBE)
        behind = next(((b, e) for b, e in whole.marked.controls if b >= begin), None) if begin >= len(_PROBE) else None
        if behind is None or whole.text[begin : behind[0]].strip():
            return None
        return whole.text[slice(*behind)]

    @property
    def end_ids(self) -> tuple[int, ...]:
        """Tokens that end an answer: the template's own and those given."""
        end = self._words.controls.get(self.end_of_turn or "")
        return tuple(dict.fromkeys([*([] if end is None else [end]), *self._own_ends]))

    @property
    def stop(self) -> tuple[str, ...]:
        """Strings that end an answer, where no token does."""
        return (self.end_of_turn,) if self.end_of_turn in self._spelled else ()

    # Messages that the template takes

    def _folded(self, messages: Sequence[ChatMessage]) -> list[ChatMessage]:
        return [message for message, _ in self._prepared([(message, True) for message in _checked(messages)])]

    def _prepared(self, messages: list["_Counting"]) -> list["_Counting"]:
        """The messages, folded where the template would not take them as they are."""
        roles = {message.role for message, _ in messages}
        if "tool" in roles and not self.has_tools:
            raise PromptError(
                "the chat template writes no messages of tools; leave them out, or give a template that does"
            )
        if "system" in roles and not self.has_system:
            return _alternating(_without_system(messages))
        try:
            self._rendered([message for message, _ in messages], add_generation_prompt=False)
        except _RefusedError:
            if (folded := _alternating(messages)) == messages:
                raise
            return folded
        return messages

    def _writes(self, probe: Sequence[ChatMessage]) -> bool:
        try:
            return _PROBE in self._rendered(probe, add_generation_prompt=True).text
        except PromptError:
            return False

    def _rendered(self, messages: Sequence[ChatMessage], add_generation_prompt: bool) -> _Rendered:
        """What the template writes. Raises `PromptError` where it fails, refuses, or has no end."""
        mark = free_mark([self.source, *(message.content for message in messages)])
        shown = [{"role": one.role, "content": self._kept_as_text(one, mark)} for one in messages]
        wanted = {"messages": shown, "add_generation_prompt": add_generation_prompt, "tools": None, "documents": None}
        try:
            with rendering(_allowance(messages)) as going, at_one_moment(self._now):
                for piece in self._template.generate(**wanted, **self._names):
                    going.pieces.append(piece)
        except AllowanceError as error:
            raise PromptError(f"the chat template was stopped: {error}; give another template") from error
        except TemplateError as error:
            if type(error) is TemplateError:  # its own raise_exception
                raise _RefusedError(f"the chat template refuses these messages: {error}") from error
            raise PromptError(f"the chat template fails: {error}; give another template") from error
        except (MemoryError, RecursionError) as error:
            raise PromptError(
                f"the chat template was stopped: {type(error).__name__}; give another template"
            ) from error
        except Exception as error:  # it is a program of somebody's, and may fail in any way
            raise PromptError(
                f"the chat template fails: {type(error).__name__}: {error}; give another template"
            ) from error
        rendered = "".join(going.pieces)
        blocks = tuple((begin, begin + len(text)) for begin, text in going.blocks)
        if any(rendered[begin:end] != text for (begin, end), (_, text) in zip(blocks, going.blocks, strict=True)):
            blocks = ()  # the template moved what it wrote; where it went is for others to find
        unmarked = tuple((b - rendered.count(mark, 0, b), e - rendered.count(mark, 0, e)) for b, e in blocks)
        return _Rendered(self._controls.read(rendered, mark), unmarked)

    def _kept_as_text(self, message: ChatMessage, mark: str) -> str:
        """A message's words with what must stay text marked: in an answer, a model's own `<think>` is a token."""
        kept = self._special if message.role == "assistant" else self._controls
        return kept.mark(message.content, mark)

    def _readable(self, rendered: _Rendered) -> Marked:
        """What can be tokenised: control tokens that the vocabulary lacks are text, and may be spelled by nobody."""
        marked = rendered.marked
        if not self._spelled:
            return marked
        places = tuple(place for place in marked.controls if marked.text[slice(*place)] not in self._spelled)
        own = {place for place in marked.controls if place not in places}
        for spelling in self._spelled:
            at = marked.text.find(spelling)
            while at >= 0:
                if (at, at + len(spelling)) not in own:
                    raise PromptError(
                        f"a message holds {spelling!r}, which this model's vocabulary cannot tell from a control token; "
                        "reword it"
                    )
                at = marked.text.find(spelling, at + 1)
        return replace(marked, controls=places)

    # Where answers stand

    def _blocks_with_ends(self, whole: _Rendered) -> list[tuple[int, int]]:
        """The template's own blocks, each with the end of the turn where that stands right behind it."""
        ends = {place[0]: place[1] for place in self._ends(whole)}
        return [(begin, ends.get(end, end)) for begin, end in whole.blocks]

    def _ends(self, whole: _Rendered) -> list[tuple[int, int]]:
        return [place for place in whole.marked.controls if whole.text[slice(*place)] == self.end_of_turn]

    def _answers(self, messages: Sequence[ChatMessage], whole: _Rendered) -> list[tuple[int, int]]:
        spans: list[tuple[int, int]] = []
        ends = self._ends(whole)
        for number, message in enumerate(messages):
            if message.role != "assistant":
                continue
            begin = self._answer_begins(messages, number, whole)
            end = next((end for at, end in ends if at >= begin), None) or self._turn_ends(messages, number, whole)
            spans.append((begin, end))
        return spans

    def _answer_begins(self, messages: Sequence[ChatMessage], number: int, whole: _Rendered) -> int:
        """Where the template ends the beginning of an answer, if the whole goes on from there; else where its text stands."""
        try:
            before = self._rendered(messages[:number], add_generation_prompt=True).text
            if number and whole.text.startswith(before):
                return len(before)
        except PromptError:
            pass  # some need a message, or one of the user's at the end; the text itself shows the place then
        answer = messages[number].content
        for content in (
            _PROBE + answer,
            _PROBE + answer.lstrip(),
            answer[: _indent(answer)] + _PROBE + answer.lstrip(),
        ):
            probed = [*messages[:number], ChatMessage("assistant", content), *messages[number + 1 :]]
            text = self._rendered(probed, add_generation_prompt=False).text
            if text.count(_PROBE) == 1 and text.replace(_PROBE, "") == whole.text:
                return text.index(_PROBE)
        raise PromptError(
            f"the chat template does not show where the answer in message {number} begins; put "
            "{% generation %} … {% endgeneration %} around what the model says"
        )

    def _turn_ends(self, messages: Sequence[ChatMessage], number: int, whole: _Rendered) -> int:
        """Where a turn without an end token is over."""
        until = self._rendered(messages[: number + 1], add_generation_prompt=False).text
        return len(until) if whole.text.startswith(until) else len(whole.text)


def _default(fast: FastTokenizer) -> str:
    known = {token.content for token in fast.get_added_tokens_decoder().values() if token.special}
    return BY_ROLE_TOKENS if {f"<|role={role}|>" for role in ROLES[:3]} <= known else CHATML


class _RefusedError(PromptError):
    """The template's own `raise_exception`."""


def _checked(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    listed = list(messages)
    if not listed:
        raise PromptError("a conversation has no message; needs one at least")
    for number, message in enumerate(listed):
        if not isinstance(message, ChatMessage) or not isinstance(message.content, str):
            raise PromptError(f"message {number} is {type(message).__name__}; needed is ChatMessage(role, content)")
        if message.role not in ROLES:
            raise UnknownNameError(f"role of message {number}", message.role, ROLES)
        if half := next((letter for letter in message.content if "\ud800" <= letter <= "\udfff"), None):
            raise PromptError(
                f"message {number} holds half a character, U+{ord(half):04X}, as bytes that are not UTF-8 become; repair it"
            )
    return listed


_Counting = tuple[ChatMessage, bool]  # a message, and whether it counts


def _counting(messages: Sequence[ChatMessage], answers: Collection[int] | None) -> list[bool]:
    are_answers = [message.role == "assistant" for message in messages]
    if answers is None:
        return are_answers
    if others := sorted(place for place in answers if not 0 <= place < len(messages) or not are_answers[place]):
        raise PromptError(f"message {others[0]} is no answer of the assistant, so it cannot count as one")
    return [place in answers for place in range(len(messages))]


def _without_system(messages: Sequence[_Counting]) -> list[_Counting]:
    """System messages as the beginning of the next user's."""
    folded: list[_Counting] = []
    waiting: list[str] = []
    for message, counts in messages:
        if message.role == "system":
            waiting.append(message.content)
        elif message.role == "user":
            folded.append((ChatMessage("user", _JOINT.join([*waiting, message.content])), counts))
            waiting = []
        else:
            folded.append((message, counts))
    return [*folded, (ChatMessage("user", _JOINT.join(waiting)), False)] if waiting else folded


def _alternating(messages: Sequence[_Counting]) -> list[_Counting]:
    """Messages of one role in a row as one, which counts where all of them do."""
    folded: list[_Counting] = []
    for role, run in groupby(messages, key=lambda one: one[0].role):
        together = list(run)
        text = _JOINT.join(message.content for message, _ in together)
        folded.append((ChatMessage(role, text), all(counts for _, counts in together)))
    return folded


def _within(spans: Sequence[tuple[int, int]], tokens: Tokens) -> tuple[bool, ...]:
    """For each token, whether it begins in one of these places, which are in order."""
    counted: list[bool] = []
    number = 0
    for begin, _ in tokens.places:
        while number < len(spans) and begin >= spans[number][1]:
            number += 1
        counted.append(number < len(spans) and spans[number][0] <= begin)
    return tuple(counted)


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip())


def _allowance(messages: Sequence[ChatMessage]) -> Allowance:
    """Far more than any template needs, and an end."""
    return Allowance(
        100_000 + 1_000 * len(messages), 2_000_000 + 100 * sum(len(message.content) for message in messages)
    )
