"""One base in memory and any number of adapters over it, put in and taken out while others generate."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from weakref import WeakValueDictionary

from torch import nn

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import AdapterError, ClosedError, ConfigError, PromptError, UnknownNameError
from interconnected_ai.experts.adapters.engine import AdapterEngine
from interconnected_ai.experts.adapters.folder import AdapterFiles, read_adapter
from interconnected_ai.experts.adapters.weights import AdapterWeights
from interconnected_ai.experts.causal.engine import CausalEngine
from interconnected_ai.experts.heap import trim_heap
from interconnected_ai.text import TextTokenizer
from interconnected_ai.types import Generation

_ADAPTED = ("Linear", "Conv1D")


@dataclass(frozen=True)
class _Held:
    """An adapter in memory. source: where it was read, to look there again; key: of what stood there."""

    weights: AdapterWeights
    key: str
    source: str | Path | None


class SharedBase:
    """A base and the adapters over it: each costs its own bytes, and any row of a batch may have any of them.

    engine: of the base; it belongs to this object, which closes it. sha256: of the base (`Base.sha256`); an adapter that names
    another is refused. name: of the base, for messages.

    Threads: everything may be called from any number of them at once. Adapters are put in, taken out and read again beside
    generations, which keep those that they began with. Where several change one name the last one stays.
    """

    def __init__(self, engine: CausalEngine, tokenizer: TextTokenizer, *, name: str, sha256: str | None = None) -> None:
        self.engine, self.tokenizer, self.name, self.sha256 = engine, tokenizer, name, sha256
        self._shapes = _shapes_of(engine.network)
        self._changing = threading.Lock()
        self._held: Mapping[str, _Held] = {}  # replaced whole, so that readers need no lock
        self._prepared: WeakValueDictionary[str, AdapterWeights] = WeakValueDictionary()

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
        held = _Held(self.prepared(files), files.key, old.source)
        with self._changing:
            self._named(name)
            self._held = {**self._held, name: held}
        return True

    def prepared(self, files: AdapterFiles) -> AdapterWeights:
        """The adapter's matrices ready to compute over this base, in memory once however often they are asked for.

        Raises `AdapterError` where it names another base, or has modules that this one has not.
        """
        self._require_open()
        wanted = files.card.base_sha256
        if wanted is not None and self.sha256 is not None and wanted != self.sha256:
            raise AdapterError(
                f"{files.folder} stands on another base: {files.card.base or 'one'} with SHA-256 {wanted[:12]}…, this is "
                f"{self.name} with {self.sha256[:12]}…; open the base that it was trained on"
            )
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
        """Bytes of the base and of all adapters that are in, the same matrices under two names once."""
        distinct = {id(held.weights): held.weights.num_bytes for held in self._held.values()}
        return self.base_num_bytes + sum(distinct.values())

    def close(self) -> None:
        """Let base and adapters go, after the last answer that is being made; what is asked afterwards raises `ClosedError`."""
        with self._changing:
            self._held = {}
        self.engine.close()
        trim_heap()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # Text to text

    def engine_with(self, adapters: str | Sequence[str | None]) -> AdapterEngine:
        """A `Generate` on token ids: with one adapter for all prompts, or with one for each, None for the base alone.

        It keeps the adapters that are in at this moment. Raises `UnknownNameError` for a name that is not.
        """
        self._require_open()
        held = self._held
        if isinstance(adapters, str):
            return AdapterEngine(self.engine, self._named(adapters, held).weights, self.tokenizer)
        wanted = [None if name is None else self._named(name, held).weights for name in adapters]
        return AdapterEngine(self.engine, wanted, self.tokenizer)

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

    def token_ids(self, text: str) -> list[int]:
        """A prompt as the base reads it; an empty one begins a new text."""
        if not isinstance(text, str):
            raise PromptError(f"a prompt is text, got {type(text).__name__}")
        tokenizer = self.tokenizer
        return [*tokenizer.lead_ids, *tokenizer.encode(text)] or [tokenizer.start_id]

    def _hold(self, adapter: AdapterFiles | AdapterWeights | str | Path) -> _Held:
        if isinstance(adapter, AdapterWeights):
            return _Held(self._ready(adapter, "the adapter"), "", None)
        source = None if isinstance(adapter, AdapterFiles) else adapter
        files = adapter if isinstance(adapter, AdapterFiles) else read_adapter(adapter)
        return _Held(self.prepared(files), files.key, files.folder if source is None else source)

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
        first = next(self.engine.network.parameters())
        return weights.prepared(first.device, first.dtype)

    def _named(self, name: str, held: Mapping[str, _Held] | None = None) -> _Held:
        known = self._held if held is None else held
        if name not in known:
            raise UnknownNameError("adapter", name, known)
        return known[name]

    def _require_open(self) -> None:
        if self.engine.is_closed:
            raise ClosedError(f"the base {self.name} is closed; open it again")


def _shapes_of(network: nn.Module) -> dict[str, tuple[int, int]]:
    """(d_out, d_in) of every module that can be adapted, by its name."""
    found = {}
    for name, module in network.named_modules():
        if type(module).__name__ in _ADAPTED and isinstance(weight := module.weight, nn.Parameter):
            d_out, d_in = weight.shape if isinstance(module, nn.Linear) else weight.shape[::-1]  # Conv1D: (d_in, d_out)
            found[name] = (d_out, d_in)
    return found
