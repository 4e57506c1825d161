"""`Expert`: a tokenizer, an engine and a card, from a folder to text; the model behind them is loaded when it is asked for."""

import threading
from collections.abc import Generator, Hashable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, overload

from interconnected_ai.config import ExpertConfig, GenerationConfig
from interconnected_ai.errors import ClosedError, ConfigError, EngineError, PromptError
from interconnected_ai.experts.card import ExpertCard
from interconnected_ai.experts.chat import ChatAnswer, ChatTemplate, Chatting, PromptCache, TooLong
from interconnected_ai.experts.chat.speaker import Speaker
from interconnected_ai.experts.engine import Engine
from interconnected_ai.experts.engines import open_files
from interconnected_ai.experts.folder import read_files, save_expert
from interconnected_ai.experts.model import ExpertModel
from interconnected_ai.experts.scoring import HeldOut, Perplexity, measure
from interconnected_ai.experts.streaming import TextFeed
from interconnected_ai.experts.torch_engine import TorchEngine
from interconnected_ai.nn import device_of
from interconnected_ai.text import Tokenizer
from interconnected_ai.types import ChatMessage, Generate, Generation, Stream


class Expert(Chatting):
    """A domain language model that reads and writes text.

    model: None where the engine alone is to compute; `model`, `config`, `score` and `save_pretrained` then raise `EngineError`.
    engine: what computes; None is `TorchEngine` on this model. Any `Generate` of `interconnected_ai.types` will do.
    template: of chats; None is the default of `ChatTemplate`. prompt_cache: what chats remember; None is one of its own.

    Threads: `generate`, `stream` and `score` may be called from any number of them at once, and each call has the answer that
    it would have alone; what is streamed may be closed from any thread. `close` as `Engine` has it.
    """

    def __init__(
        self,
        model: ExpertModel | None,
        tokenizer: Tokenizer,
        *,
        engine: Generate | None = None,
        card: ExpertCard | None = None,
        template: ChatTemplate | None = None,
        prompt_cache: PromptCache | None = None,
    ) -> None:
        if engine is None:
            if model is None:
                raise EngineError("an expert without its model needs an engine; give engine=, or the model")
            engine = TorchEngine(model, tokenizer)
        self.tokenizer, self.card = tokenizer, card or ExpertCard()
        self.engine: Generate = engine
        self._model, self._load = model, _unloadable
        self._config = None if model is None else model.config
        self.prompt_cache = PromptCache() if prompt_cache is None else prompt_cache
        self._template = template
        self._loading = threading.Lock()
        self._closed = False

    @classmethod
    def from_pretrained(
        cls, folder_or_hub_id: str | Path, *, engine: str = "torch", device: str | None = None
    ) -> "Expert":
        """The expert in this folder or hub repository; checksums, shapes, version and tokenizer are checked.

        What the engine needs is loaded; on another engine than torch the model is not, until `model` is asked for.
        engine: a name that `experts.engines.open_engine` knows. device: where the torch engine computes, such as "cuda".
        """
        place = None if device is None else device_of(device)
        if place is not None and engine != "torch":
            raise ConfigError(f"device={device!r} is for the engine torch; the engine {engine} computes on the CPU")
        files = read_files(folder_or_hub_id)
        tokenizer = files.own_tokenizer()
        if engine == "torch":
            model = files.network(ExpertModel)
            return cls(model if place is None else model.to(place), tokenizer, card=files.card)
        opened = cls(None, tokenizer, engine=open_files(engine, files, tokenizer), card=files.card)
        opened._config, opened._load = files.config, lambda: files.network(ExpertModel)
        return opened

    def save_pretrained(self, folder: str | Path) -> None:
        """Write model, tokenizer and card; `folder` is replaced whole or not at all."""
        save_expert(self.model, folder, self.tokenizer, self.card)

    @property
    def model(self) -> ExpertModel:
        """The model on PyTorch, with the weights that the folder had when the expert was opened; loaded at the first call.

        Raises `EngineError` for an expert that was made without it.
        """
        self._require_open()
        with self._loading:
            if self._model is None:
                self._model = self._load()
            return self._model

    @property
    def config(self) -> ExpertConfig:
        """The model's shape."""
        return self.model.config if self._config is None else self._config

    # What it holds

    @property
    def num_bytes(self) -> int:
        """Bytes of memory: the engine's, what chats remember, and the model's where it was loaded beside another engine."""
        engine, model = self.engine, self._model
        held = (engine.num_bytes if isinstance(engine, Engine) else 0) + self.prompt_cache.num_bytes
        is_engines = isinstance(engine, TorchEngine)
        return held if model is None or is_engines else held + TorchEngine(model, layout="plain").num_bytes

    def close(self) -> None:
        """Close the engine and let the model go; what is asked afterwards raises `ClosedError`. Leaving a `with` closes too."""
        self._closed = True
        with self._loading:
            self._model, self._load = None, _unloadable
        self.prompt_cache.close()
        if isinstance(self.engine, Engine):
            self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # Text to text

    @overload
    def generate(
        self, prompt: str, config: GenerationConfig | None = ..., *, seed: int | None = ..., **settings: Any
    ) -> Generation: ...

    @overload
    def generate(
        self, prompt: Sequence[str], config: GenerationConfig | None = ..., *, seed: int | None = ..., **settings: Any
    ) -> list[Generation]: ...

    def generate(
        self,
        prompt: str | Sequence[str],
        config: GenerationConfig | None = None,
        *,
        seed: int | None = None,
        **settings: Any,
    ) -> Generation | list[Generation]:
        """Continue a prompt, or several at once: `str()` of what comes back is the text.

        settings: the fields of `GenerationConfig`, or changes to `config`. An empty prompt begins a new text.
        """
        self._require_open()
        wanted = _settled(config, settings)
        if isinstance(prompt, str):
            return self.engine([self._token_ids(prompt)], wanted, seed=seed)[0]
        return self.engine([self._token_ids(text) for text in _listed(prompt)], wanted, seed=seed)

    def stream(
        self, prompt: str, config: GenerationConfig | None = None, *, seed: int | None = None, **settings: Any
    ) -> Stream[str, Generation]:
        """The answer in pieces, as they come; joined they are the text that `generate` gives with the same seed.

        Its `result` is what `generate` gives. Closing it, from any thread, stops the engine at its next token and gives back
        what the answer took; see `Stream`. What is wrong with a request is raised here, before the first piece is asked for.
        Raises `ConfigError` with beam search, where nothing is final before the end.
        """
        self._require_open()
        wanted = _settled(config, settings)
        if wanted.num_beams > 1:
            raise ConfigError(f"num_beams={wanted.num_beams}: a beam search has no answer before its end; use generate")
        feed = TextFeed(self.tokenizer, wanted.stop)
        tokens = self.engine.stream([self._token_ids(prompt)], wanted, seed=seed)
        return Stream(_pieces(feed, tokens))

    # Conversations

    @property
    def template(self) -> ChatTemplate:
        """How it reads conversations."""
        with self._loading:
            if self._template is None:
                self._template = ChatTemplate(None, self.tokenizer.fast, names=self.tokenizer.special_names)
            return self._template

    def stream_chat(
        self,
        messages: Sequence[ChatMessage],
        config: GenerationConfig | None = None,
        *,
        seed: int | None = None,
        session: Hashable = None,
        too_long: TooLong = "refuse",
        **settings: Any,
    ) -> Stream[str, ChatAnswer]:
        """The answer to a conversation in pieces, as they come; see `Chatting`."""
        self._require_open()
        if not isinstance(self.engine, Engine):
            raise EngineError(
                f"{type(self.engine).__name__} has no window and no end tokens; a chat needs an experts.Engine"
            )
        speaker = Speaker(self.engine, self.tokenizer, self.template, cache=self.prompt_cache)
        return speaker.stream(messages, config, seed=seed, session=session, too_long=too_long, **settings)

    def forget(self, session: Hashable) -> None:
        """Let go what is remembered of a conversation."""
        self.prompt_cache.forget(session)

    def score(self, texts: str | Sequence[str], *, seq_len: int | None = None, stride: int | None = None) -> Perplexity:
        """How well the model foretells these texts, each a document: perplexity, bits per byte; see `measure`.

        seq_len: tokens of a window; None is that of the training. Raises `DataError` when all texts are empty.
        """
        listed = [texts] if isinstance(texts, str) else _listed(texts)
        for text in listed:
            _require_text("a text", text)
        held = HeldOut.of(listed, self.tokenizer)
        return measure(self.model, held, seq_len=self.card.seq_len if seq_len is None else seq_len, stride=stride)

    def _token_ids(self, text: str) -> list[int]:
        _require_text("a prompt", text)
        return self.tokenizer.encode(text) or [self.tokenizer.end_id]

    def _require_open(self) -> None:
        if self._closed:
            raise ClosedError(f"the expert {self.card.name!r} is closed; open it again with Expert.from_pretrained")


def _pieces(feed: TextFeed, tokens: Stream[Any, list[Generation]]) -> Generator[str | None, None, Generation]:
    with tokens:
        for step in tokens:
            yield feed.add(step.token_id) or None
        (answer,) = tokens.result()
    yield feed.finish() or None
    return answer


def _unloadable() -> ExpertModel:
    raise EngineError("this expert was made without its model; open it with Expert.from_pretrained, or give the model")


def _listed(texts: Sequence[str]) -> list[str]:
    try:
        return list(texts)
    except TypeError as error:
        raise PromptError(f"needed is a text or a list of texts, got {type(texts).__name__}") from error


def _require_text(what: str, text: object) -> None:
    if not isinstance(text, str):
        raise PromptError(f"{what} is text, got {type(text).__name__}")


def _settled(config: GenerationConfig | None, settings: dict[str, Any]) -> GenerationConfig:
    """The settings of one call."""
    if config is None:
        return GenerationConfig.from_mapping(settings, source="generate")
    if not isinstance(config, GenerationConfig):
        raise ConfigError(f"the settings are a GenerationConfig, got {type(config).__name__}")
    return config.with_changes(**settings) if settings else config
