"""Rules that run inside the routers: which FFN experts are forced, forbidden or preferred for which tokens, roles and rows."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from interconnected_ai.config import Record
from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.surgery.routing.context import Forward, RowRequest
from interconnected_ai.surgery.routing.edited_router import Apply
from interconnected_ai.surgery.routing.rules import Rule

# (hidden, logits, forward) → logits: a rule written in Python
Function = Callable[[Tensor, Tensor, Forward], Tensor]


class Program(Record):
    """All rules of a model, and the token that begins each role."""

    rules: Annotated[tuple[Rule, ...], Field(strict=False)] = ()
    roles: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _roles_are_known(self) -> "Program":
        for rule in self.rules:
            if rule.role is not None and rule.role not in self.roles:
                raise ValueError(f"a rule waits for role {rule.role!r}, which no token begins; add it to roles")
        if len(set(self.roles.values())) != len(self.roles):
            raise ValueError(f"roles {self.roles} share a token; give each role one of its own")
        return self

    @property
    def role_names(self) -> tuple[str, ...]:
        """The roles, in the order of their indices."""
        return tuple(self.roles)


def check_program(
    program: Program, num_experts: dict[int, int], top_k: dict[int, int], groups: dict[int, tuple[int, int]]
) -> None:
    """Raise `ConfigError` for a rule about a layer or expert there is not, or one that leaves too few or forces too many.

    groups: layer → (number of groups, groups a token may use), where the family has them.
    """
    for rule in program.rules:
        for layer in num_experts if rule.layers is None else rule.layers:
            if layer not in num_experts:
                raise ConfigError(
                    f"a rule names layer {layer}; layers with experts: {', '.join(map(str, num_experts))}"
                )
            there, k = num_experts[layer], top_k[layer]
            if max(rule.experts) >= there:
                raise ConfigError(
                    f"a rule names expert {max(rule.experts)}; layer {layer} has experts 0 to {there - 1}"
                )
            named = set(rule.experts)
            left = {"only": len(named), "forbid": there - len(named)}.get(rule.do, there)
            if left < k:
                raise ConfigError(
                    f"a rule leaves {left} experts in layer {layer}; a token needs {k} (top-k): allow more"
                )
            if rule.do == "force" and len(named) > k:
                raise ConfigError(f"a rule forces {len(named)} experts in layer {layer}; a token takes {k} (top-k)")
            num_groups, chosen = groups.get(layer, (1, 1))
            spread = {expert * num_groups // there for expert in named}
            if rule.do == "force" and len(spread) > chosen:
                raise ConfigError(
                    f"a rule forces experts of {len(spread)} groups in layer {layer}; a token may use {chosen} of {num_groups}"
                )


def check_requests(requests: Sequence[RowRequest], num_experts: dict[int, int], top_k: dict[int, int]) -> None:
    """Raise `ConfigError` for a request that names an expert there is not, or leaves fewer than top-k."""
    for request in requests:
        for layer, there in num_experts.items():
            wanted = top_k[layer] if request.top_k is None else request.top_k
            named = frozenset(request.allow or ()) | frozenset(request.deny)
            if any(not 0 <= expert < there for expert in named):
                raise ConfigError(f"a request names experts {sorted(named)}; layer {layer} has 0 to {there - 1}")
            allowed = set(range(there)) if request.allow is None else set(request.allow)
            left = len(allowed - set(request.deny))
            if left < wanted:
                raise ConfigError(
                    f"a request leaves {left} experts in layer {layer}; a token needs {wanted} "
                    "(top-k): allow more, or lower top-k"
                )


def check_own_rules(
    requests: Sequence[RowRequest],
    program: Program,
    num_experts: dict[int, int],
    top_k: dict[int, int],
    groups: dict[int, tuple[int, int]],
) -> None:
    """Raise `ConfigError` for a row's own rule as `check_program` does, with the row's top-k."""
    for request in requests:
        takes = top_k if request.top_k is None else dict.fromkeys(top_k, request.top_k)
        for rule in request.rules:
            if rule.role is not None and rule.role not in program.roles:
                raise UnknownNameError("role", rule.role, program.roles)
        check_program(Program(rules=request.rules, roles=program.roles), num_experts, takes, groups)


def compile_program(
    program: Program,
    layer: int,
    num_experts: int,
    limits: Callable[[], tuple[int, int]],
    functions: Iterable[Function] = (),
) -> Apply:
    """What one layer's router runs between its logits and its choice.

    Preferences and Python functions first, then what is forced, last what is forbidden: a ban always holds. limits: the layer's
    top-k and how many of its experts are closed, when it runs.
    """
    soft, hard = _ordered([(rule, None) for rule in program.rules], layer, num_experts)
    spared = num_experts - len({expert for each in hard if each.rule.do == "forbid" for expert in each.rule.experts})
    restricts = any(each.rule.do == "only" for each in hard)
    written = tuple(functions)

    def apply(hidden: Tensor, logits: Tensor, forward: Forward) -> tuple[Tensor, Tensor | None]:
        forced: Tensor | None = None
        for function in written:
            logits = _checked(function(hidden, logits, forward), logits, function)
        own_soft, own_hard = _ordered(_of_rows(forward), layer, num_experts)
        for each in sorted([*soft, *own_soft], key=_in_turn):
            here = _cells(each, program, forward, logits)
            if here is None:
                continue
            if each.rule.do == "prefer":
                logits = logits + each.rule.bias * here.to(logits.dtype)
            else:
                logits = torch.where(here, logits.amax(dim=-1, keepdim=True) + 1.0, logits)
                forced = here if forced is None else forced | here
        banned = [_cells(each, program, forward, logits, invert=each.rule.do == "only") for each in (*hard, *own_hard)]
        asked = _refused(forward, num_experts, logits.device)
        cells = [each for each in (*banned, asked) if each is not None]
        for cell in cells:
            logits = logits.masked_fill(cell, float("-inf"))
            forced = None if forced is None else forced & ~cell
        top_k, closed = limits()
        rows = top_ks(forward, top_k)
        most = max(rows, default=top_k)
        could_starve = (
            restricts or asked is not None or own_hard or spared - closed < most
        )  # else nobody needs to count
        if cells and could_starve:
            wanted = top_k if not rows else forward.per_row(rows, logits.device)
            if bool(((logits > float("-inf")).sum(dim=-1) < wanted).any()):
                raise ConfigError(
                    f"rules and requests together leave a token fewer than {most} experts (top-k) in layer {layer}; loosen one"
                )
        return logits, forced

    return apply


class _Experts:
    """A row of flags, one an expert, made on each device that asks for it: compiling a program needs no memory."""

    def __init__(self, experts: Iterable[int], num_experts: int) -> None:
        self._experts, self._num_experts = list(experts), num_experts
        self._on: dict[torch.device, Tensor] = {}

    def on(self, device: torch.device) -> Tensor:
        """The flags there."""
        if device not in self._on:
            flags = torch.zeros(self._num_experts, dtype=torch.bool)
            flags[self._experts] = True
            self._on[device] = flags.to(device)
        return self._on[device]


@dataclass(frozen=True)
class _Rule:
    """A rule in one layer. row: the only row that it holds for, None for all."""

    rule: Rule
    experts: _Experts
    row: int | None


def _ordered(rules: Iterable[tuple[Rule, int | None]], layer: int, num_experts: int) -> tuple[list[_Rule], list[_Rule]]:
    """The layer's rules: preferences before what is forced; and what is forbidden."""
    here = [
        _Rule(rule, _Experts(rule.experts, num_experts), row)
        for rule, row in rules
        if rule.layers is None or layer in rule.layers
    ]
    soft = sorted((each for each in here if each.rule.do in ("prefer", "force")), key=_in_turn)
    return soft, [each for each in here if each.rule.do in ("forbid", "only")]


def _in_turn(each: _Rule) -> int:
    return ("prefer", "force").index(each.rule.do)


def _of_rows(forward: Forward) -> list[tuple[Rule, int | None]]:
    """The rules that rows brought along, each for its own row."""
    return [(rule, row) for row, request in enumerate(forward.requests) for rule in request.rules]


def top_ks(forward: Forward, otherwise: int) -> list[int]:
    """How many experts each row asks for; none where no row asks."""
    if all(request.top_k is None for request in forward.requests):
        return []
    return [otherwise if request.top_k is None else request.top_k for request in forward.requests]


def _cells(each: _Rule, program: Program, forward: Forward, logits: Tensor, *, invert: bool = False) -> Tensor | None:
    """(tokens, experts) true where the rule speaks; None where it does not hold for any row."""
    flags = ~each.experts.on(logits.device) if invert else each.experts.on(logits.device)
    tokens = _holds(each.rule, program, forward, logits.device)
    if each.row is not None and tokens is not None:
        mine = forward.per_token([row == each.row for row in range(forward.rows)], logits.device)
        tokens = _both(tokens, mine)
    if tokens is None:
        return None
    return flags.expand(len(logits), -1) if tokens is True else tokens.unsqueeze(1) & flags


def _holds(rule: Rule, program: Program, forward: Forward, device: torch.device) -> Tensor | Literal[True] | None:
    """(tokens,) where the conditions hold; True everywhere, None nowhere. Found once for all layers of a pass."""
    conditions = (rule.prompt, rule.adapter, rule.tokens, rule.role, device)
    if conditions not in forward.memo:
        forward.memo[conditions] = _found(rule, program, forward, device)
    found: Tensor | Literal[True] | None = forward.memo[conditions]
    return found


def _found(rule: Rule, program: Program, forward: Forward, device: torch.device) -> Tensor | Literal[True] | None:
    found: Tensor | Literal[True] = True
    for wanted, name in ((rule.prompt, "prompt"), (rule.adapter, "adapter")):
        if wanted is not None:
            flags = [getattr(request, name) == wanted for request in forward.requests]
            if not any(flags):
                return None
            found = _both(found, forward.per_token(flags, device))
    if rule.tokens is not None:
        ids = forward.ids()
        found = _both(found, torch.isin(ids, torch.tensor(rule.tokens, device=ids.device)).to(device))
    if rule.role is not None:
        assert forward.roles is not None, "a program with roles has hooks that follow them"
        found = _both(found, (forward.roles.reshape(-1) == program.role_names.index(rule.role)).to(device))
    return found


def _both(found: Tensor | Literal[True], more: Tensor) -> Tensor:
    return more if found is True else found & more


def _refused(forward: Forward, num_experts: int, device: torch.device) -> Tensor | None:
    """(tokens, experts) true for what the rows' requests do not allow; None when they say nothing."""
    if not any(request.deny or request.allow is not None for request in forward.requests):
        return None
    rows = torch.zeros(forward.rows, num_experts, dtype=torch.bool)
    for row, request in enumerate(forward.requests):
        if request.allow is not None:
            rows[row] = True
            rows[row, sorted(request.allow)] = False
        rows[row, sorted(request.deny)] = True
    return rows.to(device).repeat_interleave(forward.seq_tokens, dim=0)


def _checked(out: object, logits: Tensor, function: Function) -> Tensor:
    if not isinstance(out, Tensor) or out.shape != logits.shape:
        got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise ConfigError(
            f"the router function {getattr(function, '__name__', function)!r} returned {got}; needs {tuple(logits.shape)}"
        )
    return out.to(logits.dtype)
