"""`BatchedCall` and its rows, `BatchedRow`: generation loops that are driven from outside, together with those of others."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from queue import Empty, SimpleQueue

from interconnected_ai.config import GenerationConfig
from interconnected_ai.experts.asked import Asked
from interconnected_ai.experts.batching.reading import RowDecoder, WaitingDecoder
from interconnected_ai.experts.compilable_decoder import CompilableDecoder, step_together
from interconnected_ai.experts.engine import Steps
from interconnected_ai.experts.generation import generation_steps
from interconnected_ai.experts.sampling import fresh_seed
from interconnected_ai.types import Generation, TokenStep

_LOOK_SECONDS = 0.05  # how soon a reader that waits notices that the stream was closed
Message = TokenStep | tuple[int, Generation] | BaseException


class BatchedCall:
    """What one caller asked, whose rows each go their own way, and what has been said so far and not been read.

    Threads: one reads, another puts in.
    """

    def __init__(self, asked: Asked, decoders: Sequence[RowDecoder], *, num_unread: int) -> None:
        self.is_left = False
        """Whether the caller wants no more."""
        self._messages: SimpleQueue[Message] = SimpleQueue()
        self._held: list[Message] = []
        self._num_unread, self._rests = num_unread * len(decoders), False
        self.rows = tuple(
            BatchedRow(self, number, one, decoder)
            for number, (one, decoder) in enumerate(zip(rows_of(asked), decoders, strict=True))
        )

    def put(self, message: Message) -> None:
        """A token, a row's answer, or what went wrong; the reader has it from `tell` on."""
        self._held.append(message)

    def tell(self) -> None:
        """Let the reader have what was put in."""
        for message in self._held:
            self._messages.put(message)
        self._held.clear()

    def take(self) -> Message | None:
        """The next message; None where none comes for a moment."""
        try:
            return self._messages.get(timeout=_LOOK_SECONDS)
        except Empty:
            return None

    def rests(self) -> bool:
        """Whether its rows wait until the caller has read some of what they said: from all of the allowance down to a half."""
        unread = self._messages.qsize()
        self._rests = unread > self._num_unread // 2 if self._rests else unread >= self._num_unread
        return self._rests

    @property
    def may_go_on(self) -> bool:
        """Whether rows that rested need rest no more."""
        return self._rests and self._messages.qsize() <= self._num_unread // 2


def rows_of(asked: Asked) -> list[Asked]:
    """A call of several prompts as calls of one each, which are answered alike: equal prompts have different seeds."""
    seed = asked.seed
    if seed is None and asked.config.temperature > 0:
        seed = fresh_seed()
    found, met = [], dict[tuple[int, ...], int]()
    for prompt in asked.prompts:
        twins = met[tuple(prompt)] = met.get(tuple(prompt), -1) + 1
        found.append(replace(asked, prompts=[prompt], seed=None if seed is None else seed + twins))
    return found


class BatchedRow:
    """One row: its generation loop, which rests wherever a prompt or a token is to be read. One thread drives it.

    num_bytes: of keys and values, at most.
    """

    def __init__(self, call: BatchedCall, number: int, asked: Asked, decoder: RowDecoder) -> None:
        self.call, self._number = call, number
        self.num_bytes = num_cache_bytes(asked.prompts[0], asked.config, decoder)
        # A beam search has several rows, and reads them itself at each of its steps.
        self.waiting = WaitingDecoder(decoder) if asked.config.num_beams == 1 else None
        self.ending: Message | None = None
        """What the caller is told at the end."""
        self._steps: Steps | None = generation_steps(decoder if self.waiting is None else self.waiting, asked)

    def advance(self) -> None:
        """Go on to where something is to be read, or to the end; the caller has the tokens as they come."""
        self.attempt(self._say)

    def attempt(self, do: Callable[[], object]) -> None:
        """Do something for this row; what goes wrong is this row's end, and nobody else's."""
        try:
            do()
        except Exception as error:  # noqa: BLE001  # whatever it is, it is the caller's
            self.ending = error

    @property
    def reads_prompt(self) -> bool:
        """Whether some of its prompt is to be read before it goes on."""
        return self.ending is None and self.waiting is not None and self.waiting.reads_prompt

    @property
    def waits_for_token(self) -> bool:
        """Whether a token is to be read before it goes on."""
        return self.ending is None and self.waiting is not None and self.waiting.token_id is not None

    @property
    def is_ready(self) -> bool:
        """Whether it can go on as it is."""
        return self.ending is None and (self.waiting is None or not self.waiting.is_waiting)

    @property
    def compilable(self) -> CompilableDecoder | None:
        """What may be stepped together with other rows; None where this one steps by itself."""
        return None if self.waiting is None else self.waiting.compilable

    def next_piece(self, most_tokens: int) -> int:
        """How many tokens of the prompt are read next, if so many may be."""
        assert self.waiting is not None
        return min(most_tokens, self.waiting.num_unread)

    def read_prompt(self, most_tokens: int) -> None:
        """Read so many tokens of the prompt at most."""
        assert self.waiting is not None
        self.waiting.read_prompt(most_tokens)

    def step_alone(self) -> None:
        """Read the token."""
        assert self.waiting is not None
        self.waiting.step_alone()

    def let_go(self) -> None:
        """Give back what it holds, and keep what a conversation keeps; an answer that has ended has done so."""
        steps, self._steps, self.waiting = self._steps, None, None
        if steps is not None:
            self.attempt(steps.close)

    def _say(self) -> None:
        assert self._steps is not None
        try:
            while (step := next(self._steps)) is not None:
                self.call.put(replace(step, row=self._number) if self._number else step)
        except StopIteration as end:
            (answer,) = end.value
            self.ending = self._number, answer


def take_together(rows: Sequence[BatchedRow]) -> None:
    """Read the next token of rows that share a model, in one pass."""
    stepping = [(row.waiting, row.compilable) for row in rows]
    waiting = [one for one, _ in stepping if one is not None and one.token_id is not None]
    decoders = [decoder for _, decoder in stepping if decoder is not None]
    logits = step_together(decoders, [one.token_id for one in waiting if one.token_id is not None])
    for one, own in zip(waiting, logits, strict=True):
        one.take(own)


def num_cache_bytes(prompt: Sequence[int], config: GenerationConfig, decoder: RowDecoder) -> int:
    """Bytes of keys and values that a row needs at most."""
    capacity = min(len(prompt) + config.max_new_tokens, decoder.max_seq_len)
    return config.num_beams * decoder.cache_bytes(capacity)
