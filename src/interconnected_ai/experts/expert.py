"""`Expert`: a tokenizer, an engine and a card, from a folder to text; the model behind them is loaded when it is asked for."""

import threading
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import ClosedError, ConfigError, EngineError
from interconnected_ai.experts.batch_limits import BatchLimits
from interconnected_ai.experts.card import ExpertCard
from interconnected_ai.experts.causal import CausalEngine
from interconnected_ai.experts.causal_lm import CausalLM
from interconnected_ai.experts.chat import ChatAnswer, ChatTemplate, Chatting, PromptCache, TooLong
from interconnected_ai.experts.chat.speaker import Speaker
from interconnected_ai.experts.decoder_engine import DecoderEngine
from interconnected_ai.experts.deliberation.engine import with_logits
from interconnected_ai.experts.deliberation.recalling import RecallingEngine
from interconnected_ai.experts.deliberation.recollection import Recollection
from interconnected_ai.experts.engine import Engine
from interconnected_ai.experts.folder import save_expert
from interconnected_ai.experts.kinds import kind_of
from interconnected_ai.experts.language_model import LanguageModel, LanguageShape
from interconnected_ai.experts.model import ExpertModel
from interconnected_ai.experts.opened import Opened, Opening
from interconnected_ai.experts.scoring import HeldOut, Perplexity, measure
from interconnected_ai.experts.streaming import TextFeed, pieces_of
from interconnected_ai.experts.text_expert import TextExpert, listed, require_text
from interconnected_ai.experts.torch_engine import TorchEngine
from interconnected_ai.text import PretrainedTokenizer, TextTokenizer, Tokenizer
from interconnected_ai.types import ChatMessage, Generate, Generation, Stream


class Expert(TextExpert, Chatting):
    """A domain language model that reads and writes text. An empty prompt begins a new one.

    model: None where the engine alone is to compute; `model`, `config`, `score` and `save_pretrained` then raise `EngineError`.
    engine: what computes; None is torch on this model, an `ExpertModel` or a `CausalLM`. Any `Generate` of
    `interconnected_ai.types` will do. template: of chats; None is the default of `ChatTemplate`. prompt_cache: what chats
    remember; None is one of its own.

    Threads: `generate`, `stream` and `score` may be called from any number of them at once, and each call has the answer that
    it would have alone; what is streamed may be closed from any thread. `close` as `Engine` has it.
    """

    def __init__(
        self,
        model: LanguageModel | None,
        tokenizer: TextTokenizer,
        *,
        engine: Generate | None = None,
        card: ExpertCard | None = None,
        template: ChatTemplate | None = None,
        prompt_cache: PromptCache | None = None,
    ) -> None:
        if engine is None:
            if model is None:
                raise EngineError("an expert without its model needs an engine; give engine=, or the model")
            engine = _torch_engine(model, tokenizer)
        self.tokenizer, self.card = tokenizer, card or ExpertCard()
        self.source: Path | None = None  # the folder or file that it was opened from
        self.engine: Generate = engine
        self.recollection: Recollection | None = None
        self._voice: Generate = engine  # what answers: the engine, or it and the recollection
        self._model, self._load = model, _unloadable
        self._config: LanguageShape | None = None  # where the model is not needed to tell
        self.prompt_cache = PromptCache() if prompt_cache is None else prompt_cache
        self._template = template
        self._make_template = self._default_template
        self._loading = threading.Lock()
        self._closed = False

    @classmethod
    def from_pretrained(cls, place: str | Path, *, engine: str | None = None, device: str | None = None) -> "Expert":
        """The expert in a folder, a GGUF file or a hub repository, of any kind that has tokens; "smollm2" is the embedded base.

        What it holds is checked. What the engine needs is loaded; on another engine than torch the model is not, until `model`
        is asked for. engine: "torch", "torch-int4", "onnx", "ctranslate2", "llamacpp" or "auto"; None is the kind's own, torch,
        and llamacpp for a GGUF file. device: where the torch engine computes, such as "cuda".
        Raises `NotAModelError` for what is no expert, `EngineError` for an engine that its kind lacks, and for a remote expert,
        which has no tokens (`open_expert` opens it).
        """
        kind, there = kind_of(place)
        opened = kind.open(there, Opening(engine, device))
        if not isinstance(opened, Opened):
            raise EngineError(f"{place} is {kind.title}, which has no tokens; open it with experts.open_expert")
        return cls.of(opened)

    @classmethod
    def of(cls, opened: Opened) -> "Expert":
        """The expert of what a kind's row has opened."""
        expert = cls(opened.model, opened.tokenizer, engine=opened.engine, card=opened.card)
        expert._load, expert.source = opened.load, opened.source
        expert._make_template = opened.template or expert._default_template
        expert._config = opened.config
        return expert

    def save_pretrained(self, folder: str | Path) -> None:
        """Write model, tokenizer and card; `folder` is replaced whole or not at all."""
        model: object = self.model
        if isinstance(model, CausalLM) and isinstance(self.tokenizer, PretrainedTokenizer):
            card = self.card
            model.save_pretrained(folder, self.tokenizer, licence=card.licence, languages=card.languages)
        elif isinstance(model, ExpertModel) and isinstance(self.tokenizer, Tokenizer):
            save_expert(model, folder, self.tokenizer, self.card)
        else:
            raise EngineError(
                f"a {type(model).__name__} with a {type(self.tokenizer).__name__} is not written as an expert; save the model "
                "by its own means"
            )

    @property
    def model(self) -> LanguageModel:
        """The model on PyTorch, with the weights that stood there when the expert was opened; loaded at the first call.

        An `ExpertModel` or a `CausalLM`. Raises `EngineError` for an expert that was made without it.
        """
        self._require_open()
        with self._loading:
            if self._model is None:
                self._model = self._load()
            return self._model

    @property
    def config(self) -> LanguageShape:
        """The model's shape."""
        return self.model.config if self._config is None else self._config

    def batch(self, limits: BatchLimits | None = None) -> bool:
        """As `TextExpert` has it: torch and its kin make answers together, those of adapters of one base among them."""
        engine = self.engine
        if not isinstance(engine, DecoderEngine) or not engine.can_batch:
            return False
        engine.batch(limits)
        return True

    def recall(self, recollection: Recollection | None) -> None:
        """From here on what followed in remembered texts, where the last tokens stood in them, has its say in every answer.

        None: no more. The recollection stays its owner's, who counts its bytes; many experts may have one. Answers are made
        each by itself then, where they were made together. Raises `EngineError` for an engine that gives no logits, and for a
        recollection of another tokenizer. Threads: from any; what is being answered goes on as it began.
        """
        self._require_open()
        voice = self.engine
        if recollection is not None:
            voice = RecallingEngine(with_logits(self.card.name, self.engine), recollection, self.tokenizer)
        self.recollection, self._voice = recollection, voice

    # What it holds

    @property
    def num_bytes(self) -> int:
        """Bytes of memory: the engine's, what chats remember, and the model's where it was loaded beside another engine."""
        engine, model = self.engine, self._model
        held = (engine.num_bytes if isinstance(engine, Engine) else 0) + self.prompt_cache.num_bytes
        is_engines = isinstance(engine, TorchEngine | CausalEngine)
        return held if model is None or is_engines else held + _tensor_bytes(model)

    def close(self) -> None:
        """Close the engine and let the model go; what is asked afterwards raises `ClosedError`. Leaving a `with` closes too."""
        self._closed = True
        with self._loading:
            self._model, self._load = None, _unloadable
        self.prompt_cache.close()
        self.recollection, self._voice = None, self.engine
        if isinstance(self.engine, Engine):
            self.engine.close()

    # Text to text

    def _generate(self, prompts: Sequence[str], config: GenerationConfig, seed: int | None) -> list[Generation]:
        return self._voice([self._token_ids(prompt) for prompt in prompts], config, seed=seed)

    def _stream(self, prompt: str, config: GenerationConfig, seed: int | None) -> Stream[str, Generation]:
        if config.num_beams > 1:
            raise ConfigError(f"num_beams={config.num_beams}: a beam search has no answer before its end; use generate")
        tokens = self._voice.stream([self._token_ids(prompt)], config, seed=seed)
        return Stream(pieces_of(TextFeed(self.tokenizer, config.stop), tokens, lambda answer: answer))

    # Conversations

    @property
    def template(self) -> ChatTemplate:
        """How it reads conversations."""
        with self._loading:
            if self._template is None:
                self._template = self._make_template()
            return self._template

    def _default_template(self) -> ChatTemplate:
        return ChatTemplate(None, self.tokenizer.fast, names=self.tokenizer.special_names)

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
        voice = self._voice
        if not isinstance(voice, Engine):
            raise EngineError(f"{type(voice).__name__} has no window and no end tokens; a chat needs an experts.Engine")
        speaker = Speaker(voice, self.tokenizer, self.template, cache=self.prompt_cache)
        return speaker.stream(messages, config, seed=seed, session=session, too_long=too_long, **settings)

    def forget(self, session: Hashable) -> None:
        """Let go what is remembered of a conversation."""
        self.prompt_cache.forget(session)

    def score(self, texts: str | Sequence[str], *, seq_len: int | None = None, stride: int | None = None) -> Perplexity:
        """How well the model foretells these texts, each a document: perplexity, bits per byte; see `measure`.

        seq_len: tokens of a window; None is that of the training. Raises `DataError` when all texts are empty.
        """
        documents = [texts] if isinstance(texts, str) else listed(texts)
        for text in documents:
            require_text("a text", text)
        held = HeldOut.of(documents, self.tokenizer)
        return measure(self.model, held, seq_len=self.card.seq_len if seq_len is None else seq_len, stride=stride)

    def _token_ids(self, text: str) -> list[int]:
        require_text("a prompt", text)
        return [*self.tokenizer.lead_ids, *self.tokenizer.encode(text)] or [self.tokenizer.start_id]

    def _require_open(self) -> None:
        if self._closed:
            raise ClosedError(f"the expert {self.card.name!r} is closed; open it again with Expert.from_pretrained")


def open_expert(
    place: str | Path,
    *,
    engine: str | None = None,
    device: str | None = None,
    mapped: bool = False,
    batching: BatchLimits | None = None,
) -> TextExpert:
    """The expert at this place, of whatever kind, remote ones among them; engine and device are those of `from_pretrained`.

    mapped: on the engine onnx leave the weights in their file: few private bytes and there at once, but slower steps. batching:
    its answers are made together within these limits, where the engine does that (`TextExpert.batch`); None makes each by
    itself.
    """
    kind, there = kind_of(place)
    opened = kind.open(there, Opening(engine, device, mapped))
    expert = Expert.of(opened) if isinstance(opened, Opened) else opened
    if batching is not None:
        expert.batch(batching)
    return expert


def _torch_engine(model: LanguageModel, tokenizer: TextTokenizer) -> Engine:
    known: object = model
    if isinstance(known, CausalLM):
        return CausalEngine(known.network, tokenizer, max_seq_len=known.config.max_seq_len)
    if isinstance(known, ExpertModel):
        return TorchEngine(known, tokenizer)
    raise EngineError(f"torch has no engine for a {type(model).__name__}; give engine=")


def _tensor_bytes(model: LanguageModel) -> int:
    module: object = model
    if not isinstance(module, nn.Module):
        return 0
    tensors = {tensor.data_ptr(): tensor for tensor in (*module.parameters(), *module.buffers())}
    return sum(tensor.nbytes for tensor in tensors.values())


def _unloadable() -> LanguageModel:
    raise EngineError("this expert was made without its model; open it with Expert.from_pretrained, or give the model")
