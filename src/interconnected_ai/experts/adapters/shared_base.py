"""One base in memory and any number of adapters over it, put in and taken out while others generate."""

import secrets
import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from weakref import WeakValueDictionary

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import (
    AdapterError,
    ClosedError,
    ConfigError,
    EngineError,
    PromptError,
    UnknownNameError,
)
from interconnected_ai.experts.adapters.adapted_lm import AdaptedLM
from interconnected_ai.experts.adapters.engine import AdapterEngine
from interconnected_ai.experts.adapters.folder import AdapterFiles, read_adapter
from interconnected_ai.experts.adapters.template import require_known_tokens
from interconnected_ai.experts.adapters.weights import AdapterWeights
from interconnected_ai.experts.asked import EndIds
from interconnected_ai.experts.bases import Base, find_base
from interconnected_ai.experts.batch_limits import BatchLimits
from interconnected_ai.experts.causal.adaptable import AdaptableEngine
from interconnected_ai.experts.causal.engine import CausalEngine
from interconnected_ai.experts.causal.generic_decoder import AdapterHooks
from interconnected_ai.experts.causal.int4_engine import Int4Engine
from interconnected_ai.experts.causal_lm import CausalLM
from interconnected_ai.experts.chat import ChatAnswer, ChatTemplate, PromptCache, TooLong
from interconnected_ai.experts.chat.speaker import Speaker
from interconnected_ai.experts.gguf_model import GgufModel
from interconnected_ai.experts.heap import trim_heap
from interconnected_ai.experts.names import chosen
from interconnected_ai.text import PretrainedTokenizer, TextTokenizer
from interconnected_ai.types import ChatMessage, Generation, Stream


@dataclass(frozen=True)
class _Held:
    """An adapter in memory. source: where it was read, to look there again; key: of what stood there; template: of chats."""

    weights: AdapterWeights
    key: str
    source: str | Path | None
    template: ChatTemplate


class SharedBase:
    """A base and the adapters over it: each costs its own bytes, and any row of a batch may have any of them.

    model: of the base; nobody else may change it. sha256: of the base (`Base.sha256`); an adapter that names another is
    refused. name: of the base, for messages. way: of computing it, see `CausalEngine`. template: of chats; None
    is the default of `ChatTemplate`. engine: what computes in the model's place, which is then None, and `load` gives the model
    when an adapter is to be measured.

    Threads: everything may be called from any number of them at once. Adapters are put in, taken out and read again beside
    generations, which keep those that they began with. Where several change one name the last one stays.
    """

    def __init__(
        self,
        model: CausalLM | None,
        tokenizer: TextTokenizer,
        *,
        name: str,
        sha256: str | None = None,
        way: Literal["auto", "lean", "generic"] = "auto",
        template: ChatTemplate | None = None,
        engine: AdaptableEngine | None = None,
        load: Callable[[], CausalLM] | None = None,
    ) -> None:
        self.tokenizer, self.name, self.sha256 = tokenizer, name, sha256
        if engine is None:
            if model is None:
                raise ConfigError("neither a model nor an engine is given; give one of them")
            engine = CausalEngine(model.network, tokenizer, max_seq_len=model.config.max_seq_len, way=way)
        self.engine: AdaptableEngine = engine
        self._load = load
        self.template = ChatTemplate.of_place(None, tokenizer) if template is None else template
        self.prompt_cache = PromptCache()  # of every adapter by itself
        self._model: CausalLM | None = model
        self._hooks: AdapterHooks | None = None
        self._shapes = engine.adaptable
        self._changing = threading.Lock()
        self._held: Mapping[str, _Held] = {}  # replaced whole, so that readers need no lock
        self._prepared: WeakValueDictionary[str, AdapterWeights] = WeakValueDictionary()

    @classmethod
    def open(cls, base: Base | str | Path, *, device: str | None = None, engine: str = "torch") -> "SharedBase":
        """Of a base: "smollm2", a GGUF file, a folder or a hub id, as `find_base` says; raises what it and `CausalLM` raise.

        engine: "torch", or "torch-int4" for a GGUF file of 4-bit blocks, whose weights stay as small as they are there.
        """
        found = base if isinstance(base, Base) else find_base(base)
        chosen("engine", engine, ["torch", "torch-int4"])
        tokenizer = PretrainedTokenizer.from_place(found.path)
        template = ChatTemplate.of_place(found.path, tokenizer)
        if engine == "torch":
            model = CausalLM.from_pretrained(found, device=device)
            return cls(model, tokenizer, name=found.name, sha256=found.sha256, template=template)
        if found.form != "gguf" or device not in (None, "cpu"):
            raise EngineError(
                f"the engine torch-int4 runs GGUF files on the CPU, not {found.path} on {device or 'cpu'}; use torch"
            )
        return cls(
            None, tokenizer, name=found.name, sha256=found.sha256, template=template,
            engine=Int4Engine(GgufModel.read(found.path), tokenizer), load=lambda: CausalLM.from_pretrained(found),
        )  # fmt: skip

    # Adapters

    @property
    def adapters(self) -> tuple[str, ...]:
        """The names of the adapters that are in, in the order in which they came."""
        return tuple(self._held)

    def add(self, name: str, adapter: AdapterFiles | AdapterWeights | str | Path) -> None:
        """Put an adapter in: a folder or hub repository, or what was read of one; nothing of the base is loaded again.

        Raises `ConfigError` for a name that is taken, `AdapterError` for an adapter of another base, `StorageError` for what is
        no whole adapter.
        """
        if name in self._held:
            raise ConfigError(
                f"an adapter {name!r} is in already; take it out with remove, or read its folder again with reload"
            )
        held = self._hold(adapter)
        with self._changing:
            self._require_open()
            if name in self._held:
                raise ConfigError(f"an adapter {name!r} was put in meanwhile; take another name")
            self._held = {**self._held, name: held}

    def remove(self, name: str) -> None:
        """Take an adapter out; its memory goes with the last answer that is made with it. Raises `UnknownNameError`."""
        with self._changing:
            self._named(name)
            self._held = {known: held for known, held in self._held.items() if known != name}

    def reload(self, name: str) -> bool:
        """Read the adapter's folder again; whether something new stands there, which is what answers from here on.

        Raises `ConfigError` for an adapter that came from no folder; whatever is raised, the old one stays in.
        """
        old = self._named(name)
        if old.source is None:
            raise ConfigError(
                f"the adapter {name!r} came from memory, not from a folder; remove it and add the new one"
            )
        files = read_adapter(old.source)
        if files.key == old.key:
            return False
        held = self._held_files(files, old.source)
        with self._changing:
            self._named(name)
            self._held = {**self._held, name: held}
        return True

    def prepared(self, files: AdapterFiles) -> AdapterWeights:
        """The adapter's matrices ready to compute over this base, in memory once however often they are asked for.

        Raises `AdapterError` where it names another base, or has modules or tokens that this one has not.
        """
        self._require_open()
        require_same_base(files, self.name, self.sha256)
        require_known_tokens(files.added_tokens, self.tokenizer, adapter=files.folder, base=self.name)
        found = self._prepared.get(files.key)
        if found is None:
            found = self._ready(files.weights, str(files.folder))
            found = self._prepared.setdefault(files.key, found)
        return found

    # What it holds

    @property
    def base_num_bytes(self) -> int:
        """Bytes of the base alone."""
        return self.engine.num_bytes

    @property
    def adapter_num_bytes(self) -> dict[str, int]:
        """Bytes of each adapter that is in."""
        return {name: held.weights.num_bytes for name, held in self._held.items()}

    @property
    def num_bytes(self) -> int:
        """Bytes of the base, of the adapters that are in, the same matrices under two names once, and of what chats know."""
        distinct = {id(held.weights): held.weights.num_bytes for held in self._held.values()}
        return self.base_num_bytes + sum(distinct.values()) + self.prompt_cache.num_bytes

    def close(self) -> None:
        """Let base and adapters go, after the last answer that is being made; what is asked afterwards raises `ClosedError`."""
        with self._changing:
            self._held, self._model = {}, None
            if self._hooks is not None:
                self._hooks.remove()
        self.prompt_cache.close()
        self.engine.close()
        trim_heap()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def batch(self, limits: BatchLimits | None = None) -> None:
        """Make the answers of all calls together from here on, whichever adapters they ask for; see `DecoderEngine.batch`."""
        self.engine.batch(limits)

    # Text to text

    def engine_with(self, adapters: str | Sequence[str | None], *, end_ids: EndIds = None) -> AdapterEngine:
        """A `Generate` on token ids: with one adapter for all prompts, or with one for each, None for the base alone.

        end_ids: a token, or several, at any of which an answer ends; None are the base's. It keeps the adapters that are in at
        this moment. Raises `UnknownNameError` for a name that is not.
        """
        self._require_open()
        held = self._held
        if isinstance(adapters, str):
            return AdapterEngine(self.engine, self._named(adapters, held).weights, self.tokenizer, end_ids=end_ids)
        wanted = [None if name is None else self._named(name, held).weights for name in adapters]
        return AdapterEngine(self.engine, wanted, self.tokenizer, end_ids=end_ids)

    def generate(
        self,
        prompts: Sequence[str],
        config: GenerationConfig | None = None,
        *,
        adapters: str | Sequence[str | None],
        seed: int | None = None,
        **settings: Any,
    ) -> list[Generation]:
        """Continue prompts in one batch, each with its own adapter, or the base alone for None: each as it would be alone.

        settings: the fields of `GenerationConfig`, or changes to `config`.
        """
        if isinstance(prompts, str):
            raise PromptError("prompts are a list of texts, one for each adapter; got one text")
        wanted = GenerationConfig() if config is None else config
        if settings:
            wanted = wanted.with_changes(**settings)
        return self.engine_with(adapters)([self.token_ids(text) for text in prompts], wanted, seed=seed)

    def model_with(self, weights: AdapterWeights) -> AdaptedLM:
        """The base with an adapter as a `LanguageModel`, to be measured. weights: as `prepared` gives them."""
        with self._changing:
            self._require_open()
            if self._model is None:
                assert self._load is not None
                self._model = self._load()
            if self._hooks is None:
                self._hooks = AdapterHooks(self._model.network)
            return AdaptedLM(self._model, self._hooks, weights)

    def stream_chat(
        self,
        messages: Sequence[ChatMessage],
        config: GenerationConfig | None = None,
        *,
        adapter: str | None,
        seed: int | None = None,
        session: Hashable = None,
        too_long: TooLong = "refuse",
        **settings: Any,
    ) -> Stream[str, ChatAnswer]:
        """The answer of an adapter, or of the base alone, to a conversation; the other arguments are those of `Chatting`.

        What a session's turns with one adapter left is there when it answers again, even if it was taken out meanwhile.
        """
        self._require_open()
        held = None if adapter is None else self._named(adapter)
        engine = self.engine if held is None else AdapterEngine(self.engine, held.weights, self.tokenizer)
        owner, template = (None, self.template) if held is None else (held.key, held.template)
        speaker = Speaker(engine, self.tokenizer, template, cache=self.prompt_cache, owner=owner)
        return speaker.stream(messages, config, seed=seed, session=session, too_long=too_long, **settings)

    def forget(self, session: Hashable) -> None:
        """Let go what is remembered of a conversation, whichever adapters took part."""
        self.prompt_cache.forget(session)

    def token_ids(self, text: str) -> list[int]:
        """A prompt as the base reads it; an empty one begins a new text."""
        if not isinstance(text, str):
            raise PromptError(f"a prompt is text, got {type(text).__name__}")
        tokenizer = self.tokenizer
        return [*tokenizer.lead_ids, *tokenizer.encode(text)] or [tokenizer.start_id]

    def _hold(self, adapter: AdapterFiles | AdapterWeights | str | Path) -> _Held:
        if isinstance(adapter, AdapterWeights):
            return _Held(self._ready(adapter, "the adapter"), secrets.token_hex(8), None, self.template)
        source = None if isinstance(adapter, AdapterFiles) else adapter
        files = adapter if isinstance(adapter, AdapterFiles) else read_adapter(adapter)
        return self._held_files(files, files.folder if source is None else source)

    def _held_files(self, files: AdapterFiles, source: str | Path) -> _Held:
        return _Held(self.prepared(files), files.key, source, self.template_of(files))

    def template_of(self, files: AdapterFiles) -> ChatTemplate:
        """How an adapter reads conversations: as its own template says, where it has one, else as the base does."""
        if files.chats.template is None:
            return self.template
        sampling = files.chats.sampling or self.template.sampling
        return ChatTemplate.of_source(replace(files.chats, sampling=sampling), self.tokenizer)

    def _ready(self, weights: AdapterWeights, said: str) -> AdapterWeights:
        for name, part in weights.named():
            shape, given = self._shapes.get(name), (part.b.shape[0], part.a.shape[1])
            if shape is None:
                raise AdapterError(
                    f"{said} adapts {name!r}: {self.name} has no module of that name that can be adapted; it belongs to a "
                    "model of another shape"
                )
            if shape != given:
                raise AdapterError(
                    f"{said} adapts {name!r} with {given[1]} inputs and {given[0]} outputs, in {self.name} it has {shape[1]} "
                    f"and {shape[0]}: it does not fit; open the base that it was trained on"
                )
        return weights.prepared(*self.engine.computes)

    def _named(self, name: str, held: Mapping[str, _Held] | None = None) -> _Held:
        known = self._held if held is None else held
        if name not in known:
            raise UnknownNameError("adapter", name, known)
        return known[name]

    def _require_open(self) -> None:
        if self.engine.is_closed:
            raise ClosedError(f"the base {self.name} is closed; open it again")


def require_same_base(files: AdapterFiles, name: str, sha256: str | None) -> None:
    """Raise `AdapterError` where an adapter names another base than the one of this name, by hash."""
    wanted = files.card.base_sha256
    if wanted is not None and sha256 is not None and wanted != sha256:
        raise AdapterError(
            f"{files.folder} stands on another base: {files.card.base or 'one'} with SHA-256 {wanted[:12]}…, this is {name} "
            f"with {sha256[:12]}…; open the base that it was trained on"
        )
