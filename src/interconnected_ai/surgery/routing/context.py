"""What a router may know besides hidden states: token ids, padding, roles so far, and settings of each request.

A block receives hidden states alone. The base model's pre-hook therefore reads its arguments and hands a `Forward` to every
decoder layer as a keyword; the layer, edited for that, makes it current for the blocks inside. Because the keyword is part
of the layer's forward, gradient checkpointing recomputes with the context of the right forward pass (hooks would stay outside).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn

from interconnected_ai.errors import ConfigError
from interconnected_ai.surgery.routing.rules import Rule

KEYWORD = "surgery_forward"


@dataclass(frozen=True)
class RowRequest:
    """Settings of one row of a batch.

    prompt: its prompt's name, for rules with `prompt`. adapter: a flag, for rules with `adapter`, and the name of adapters
    that were set to wait for it. role: a role that holds from the first token on. allow: the only FFN experts it may use;
    deny: those it may not; both hold in every layer. top_k: how many experts its tokens take, in every layer; None is the
    model's. rules: its own, beside the model's program.
    """

    prompt: str | None = None
    adapter: str | None = None
    role: str | None = None
    allow: frozenset[int] | None = None
    deny: frozenset[int] = frozenset()
    top_k: int | None = None
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class Forward:
    """One forward pass, as a router sees it.

    input_ids: (rows, seq), None when the model was given embeddings. real: (rows, seq), false where padding stands.
    roles: (rows, seq), index of the role that holds at each position, -1 without. requests: one a row, empty without.
    prompt_tokens: whether these positions are a prompt's (nothing was cached before them). memo: what one layer found
    out and the next need not.
    """

    rows: int
    seq_tokens: int
    input_ids: Tensor | None
    real: Tensor | None
    roles: Tensor | None
    requests: tuple[RowRequest, ...]
    prompt_tokens: bool
    memo: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    def ids(self) -> Tensor:
        """The token ids, flat; `ConfigError` when the model was given embeddings alone."""
        if self.input_ids is None:
            raise ConfigError(
                "a router program asks for token ids, and the model was called with inputs_embeds alone; pass input_ids, or "
                "take the rules on tokens and roles off"
            )
        return self.input_ids.reshape(-1)

    def per_token(self, flags: Sequence[bool], device: torch.device) -> Tensor:
        """One flag a row, spread over the row's tokens: (rows · seq,)."""
        return torch.tensor(flags, device=device).repeat_interleave(self.seq_tokens)

    def per_row(self, numbers: Sequence[int], device: torch.device) -> Tensor:
        """One number a row, spread over the row's tokens: (rows · seq,)."""
        return torch.tensor(numbers, device=device).repeat_interleave(self.seq_tokens)

    def real_tokens(self) -> Tensor | None:
        """`real`, flat; None where nothing is padding."""
        return None if self.real is None else self.real.reshape(-1)


_CURRENT: ContextVar[Forward | None] = ContextVar("surgery_forward", default=None)


def current() -> Forward | None:
    """The forward pass that is running; None when a block is called by hand."""
    return _CURRENT.get()


# The requests that hold in this thread, by the hooks (`id`) of the model they are for.
_REQUESTS: ContextVar[Mapping[int, tuple[RowRequest, ...]]] = ContextVar("surgery_requests", default={})  # noqa: B039


@dataclass
class Hooks:
    """The hooks on one model that make `Forward` current in its blocks, and the settings they read.

    role_tokens: token id → index of the role it begins. holding: how many `during` blocks hold, of all threads together;
    counting: those of them whose rows ask for another top-k.

    Passes of several threads may run at once: what a pass needs it reads when it begins and carries along, and requests hold
    for the thread that set them.
    """

    role_tokens: dict[int, int] = field(default_factory=dict)
    role_names: tuple[str, ...] = ()
    holding: int = 0
    counting: int = 0
    _handles: list[Any] = field(default_factory=list)

    @property
    def requests(self) -> tuple[RowRequest, ...]:
        """Those that hold in this thread."""
        return _REQUESTS.get().get(id(self), ())

    @property
    def installed(self) -> bool:
        """Whether they are on the model."""
        return bool(self._handles)

    def install(self, backbone: nn.Module, layers: Sequence[nn.Module]) -> None:
        """Put the hooks on the base model and its decoder layers, once."""
        if self.installed:
            return
        for layer in layers:
            dress(layer, EditedDecoder)
        self._handles += [
            backbone.register_forward_pre_hook(self._enter, with_kwargs=True),
            backbone.register_forward_hook(self._leave, with_kwargs=True),
        ]

    def _enter(self, backbone: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        forward = self._read(args, kwargs)
        if forward.roles is not None and kwargs.get("past_key_values") is not None:
            self._remember(kwargs["past_key_values"], forward.roles)
        return args, {**kwargs, KEYWORD: forward}

    def _leave(self, backbone: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """A cache that the model made itself is seen here for the first time."""
        cache, forward = getattr(output, "past_key_values", None), kwargs.get(KEYWORD)
        if cache is not None and forward is not None and forward.roles is not None and not _followed(cache):
            self._remember(cache, forward.roles)

    def _read(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Forward:
        ids = kwargs.get("input_ids", args[0] if args else None)
        embeds = kwargs.get("inputs_embeds")
        shaped = ids if ids is not None else embeds
        if shaped is None:
            raise ConfigError("the model was called with neither input_ids nor inputs_embeds; give one")
        rows, seq_tokens = shaped.shape[:2]
        mask = kwargs.get("attention_mask")
        real = mask[:, -seq_tokens:].bool() if isinstance(mask, Tensor) and mask.ndim == 2 else None
        cache = kwargs.get("past_key_values")
        cached_tokens = 0 if cache is None else int(cache.get_seq_length())
        requests = self._per_row(rows)
        return Forward(
            rows=rows,
            seq_tokens=seq_tokens,
            input_ids=ids,
            real=real,
            roles=self._roles(ids, requests, cache, cached_tokens),
            requests=requests,
            prompt_tokens=cached_tokens == 0,
        )

    def _per_row(self, rows: int) -> tuple[RowRequest, ...]:
        """The requests, repeated where beams or several samples share one."""
        if not self.requests or len(self.requests) == rows:
            return self.requests
        copies, rest = divmod(rows, len(self.requests))
        if rest or not copies:
            raise ConfigError(
                f"{len(self.requests)} requests were set and the batch has {rows} rows; give one request for each row"
            )
        return tuple(request for request in self.requests for _ in range(copies))

    def _roles(
        self, ids: Tensor | None, requests: tuple[RowRequest, ...], cache: Any, cached_tokens: int
    ) -> Tensor | None:
        """The role at each position: that of the last role token at or before it, over all calls with this cache."""
        if not self.role_names:
            return None
        if ids is None:
            raise ConfigError(
                "roles are switched by tokens, and the model was called with inputs_embeds alone; pass input_ids"
            )
        before = self._role_before(ids, requests, cache, cached_tokens)
        begins = torch.full_like(ids, -1)
        for token, role in self.role_tokens.items():
            begins = torch.where(ids == token, role, begins)
        positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        last = torch.where(begins >= 0, positions, -1).cummax(dim=1).values  # position of the last role token so far
        return torch.where(last >= 0, begins.gather(1, last.clamp_min(0)), before.unsqueeze(1))

    def _role_before(self, ids: Tensor, requests: tuple[RowRequest, ...], cache: Any, cached_tokens: int) -> Tensor:
        """(rows,) the role each row is in before these tokens."""
        if cached_tokens and _followed(cache):
            roles: Tensor = cache.surgery_roles[:, :cached_tokens]  # shorter after a crop
            if roles.shape[1]:
                return roles[:, -1]
        names = {name: index for index, name in enumerate(self.role_names)}
        first = [names.get(request.role or "", -1) for request in requests] or [-1] * len(ids)
        return torch.tensor(first, device=ids.device)

    def _remember(self, cache: Any, roles: Tensor) -> None:
        past = cache.surgery_roles[:, : int(cache.get_seq_length())] if _followed(cache) else roles[:, :0]
        cache.surgery_roles = torch.cat([past, roles], dim=1)
        dress(cache, FollowedCache)

    @contextmanager
    def during(self, requests: Sequence[RowRequest]) -> Iterator[None]:
        """These requests for the calls inside, in this thread."""
        token = _REQUESTS.set({**_REQUESTS.get(), id(self): tuple(requests)})
        try:
            yield
        finally:
            _REQUESTS.reset(token)


class FollowedCache:
    """A KV cache with the role at each of its positions, which move as its rows do (beams, several samples of a prompt).

    The roles live and die with the cache they belong to, and are copied with it.
    """

    surgery_roles: Tensor

    def reorder_cache(self, beam_idx: Tensor) -> Any:
        """As the cache does it."""
        done = cast(Any, super()).reorder_cache(beam_idx)
        self.surgery_roles = self.surgery_roles.index_select(0, beam_idx.to(self.surgery_roles.device))
        return done

    def batch_select_indices(self, indices: Tensor) -> Any:
        """As the cache does it."""
        done = cast(Any, super()).batch_select_indices(indices)
        self.surgery_roles = self.surgery_roles[indices.to(self.surgery_roles.device)]
        return done

    def batch_repeat_interleave(self, repeats: int) -> Any:
        """As the cache does it."""
        done = cast(Any, super()).batch_repeat_interleave(repeats)
        self.surgery_roles = self.surgery_roles.repeat_interleave(repeats, dim=0)
        return done


def _followed(cache: Any) -> bool:
    return isinstance(cache, FollowedCache)


class EditedDecoder(nn.Module):
    """A decoder layer that takes the `Forward` it was handed and makes it current while it runs.

    A block that is called by hand afterwards must not take an earlier pass for its own, so it is put back at the end.
    """

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As the family's layer."""
        token = _CURRENT.set(cast("Forward | None", kwargs.pop(KEYWORD, None)))
        try:
            return super().forward(*args, **kwargs)
        finally:
            _CURRENT.reset(token)


def dress(thing: Any, mixin: type) -> None:
    """Make a module (or a cache) an instance of (mixin, its own class), under its own class's name."""
    own: Any = type(thing)
    if not issubclass(own, mixin):
        thing.__class__ = _dressed(own, mixin)


def undress(thing: Any, mixin: type) -> None:
    """Give the module its own class back, without this mixin; others that it wears stay on."""
    own: Any = type(thing)
    worn: list[type] = []
    while issubclass(own, mixin):
        _, outer, own = own.__mro__[:3]
        worn += [] if outer is mixin else [outer]
    if own is not type(thing):
        for each in reversed(worn):
            own = _dressed(own, each)
        thing.__class__ = own


@cache  # a class is a reference cycle: one for each module would wait for the collector
def _dressed(own: type, mixin: type) -> type:
    body = {"__module__": own.__module__, "__qualname__": own.__qualname__, "__doc__": own.__doc__}
    return type(own.__name__, (mixin, own), body)
