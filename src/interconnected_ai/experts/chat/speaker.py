"""`Speaker`: answers conversations with an engine, a template and what it remembers of the turns before."""

from collections.abc import Hashable, Sequence
from typing import Any

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import ConfigError
from interconnected_ai.experts.chat.advice import SAMPLED
from interconnected_ai.experts.chat.answer import ChatAnswer
from interconnected_ai.experts.chat.prompt_cache import PromptCache
from interconnected_ai.experts.chat.template import ChatTemplate
from interconnected_ai.experts.chat.window import TOO_LONG, TooLong, fit
from interconnected_ai.experts.engine import Engine
from interconnected_ai.experts.names import chosen
from interconnected_ai.experts.streaming import TextFeed, pieces_of
from interconnected_ai.experts.turn import Turn
from interconnected_ai.text import TextTokenizer
from interconnected_ai.types import ChatMessage, Generation, Stream

LONGEST_ANSWER = 512  # tokens, where nobody says how many
_ANSWERS_SHARE = 4  # of a small window: a quarter


class Speaker:
    """Answers conversations.

    owner: what tells these weights and this adapter from all others, where several share the cache.

    Threads: `stream` from any number at once; of one session one turn at a time should be asked, since only the last is
    remembered.
    """

    def __init__(
        self,
        engine: Engine,
        tokenizer: TextTokenizer,
        template: ChatTemplate,
        *,
        cache: PromptCache,
        owner: Hashable = None,
    ) -> None:
        self.template, self.cache = template, cache
        self._engine, self._tokenizer, self._owner = engine, tokenizer, owner

    def stream(
        self,
        messages: Sequence[ChatMessage],
        config: GenerationConfig | None = None,
        *,
        seed: int | None = None,
        session: Hashable = None,
        too_long: TooLong = "refuse",
        **settings: Any,
    ) -> Stream[str, ChatAnswer]:
        """The answer in pieces, as they come; joined they are the text, with the spaces around it.

        config: None is an answer of 512 tokens at most, or of a quarter of a small window, sampled as the model's makers
        advise (`ChatTemplate.sampling`) where no setting says how. settings: changes to it.
        session: the conversation whose turns before are remembered; None remembers nothing. Raises `PromptError` for messages
        that the template refuses or the window cannot hold, before the first piece is asked for.
        """
        chosen("too_long", too_long, TOO_LONG)
        window, template = self._engine.max_seq_len, self.template
        if config is None:
            config = GenerationConfig(max_new_tokens=max(1, min(LONGEST_ANSWER, window // _ANSWERS_SHARE)))
            if settings.keys().isdisjoint((*SAMPLED, "num_beams")):
                settings = {**template.sampling, **settings}
        wanted = config.with_changes(**settings) if settings else config
        if wanted.num_beams > 1:
            raise ConfigError(
                f"num_beams={wanted.num_beams}: a beam search has no answer before its end; use 1 for a chat"
            )
        if template.stop:
            wanted = wanted.with_changes(stop=(*wanted.stop, *template.stop))
        fitted = fit(messages, template.count, window=window, max_new_tokens=wanted.max_new_tokens, too_long=too_long)
        prompt = template.render(fitted.messages)
        turn = Turn(template.end_ids)
        if session is not None:
            known = self.cache.known(prompt, owner=self._owner, session=session)
            turn = Turn(
                template.end_ids, known, lambda state: self.cache.keep(state, owner=self._owner, session=session)
            )
        tokens = self._engine.turn(prompt, wanted, turn, seed=seed)
        feed = TextFeed(self._tokenizer, wanted.stop)

        def answer(generation: Generation) -> ChatAnswer:
            said = ChatMessage("assistant", (generation.text or "").strip())
            return ChatAnswer(said, generation, len(prompt), generation.num_known_tokens, fitted.dropped)

        return Stream(pieces_of(feed, tokens, answer))
