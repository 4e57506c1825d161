"""A role for a model in one go: pick experts, train them on the role's texts, switch them on by a token, measure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from interconnected_ai.errors import DataError, UnknownNameError
from interconnected_ai.surgery.analysis.texts import perplexity, tune
from interconnected_ai.surgery.learnt_routers import log_routers, routers_of
from interconnected_ai.surgery.model import MoE
from interconnected_ai.surgery.routing.programs import Program
from interconnected_ai.surgery.routing.rules import Rule
from interconnected_ai.surgery.settings import need_by_layer, need_count, need_key, need_number, need_texts

Method = Literal["lora", "full", "router"]

# A nudge, e^0.5: enough to settle close calls in favour of the role's experts, not to override the router.
_ROLE_BIAS = 0.5
_RATES: dict[Method, float] = {"lora": 2e-3, "full": 3e-4, "router": 3e-4}


@dataclass(frozen=True)
class Role:
    """A role that was made. perplexities: on held-out texts; of the role with its token after, of others without it.

    others_after differs from others_before only where the method changes what all tokens use ("router").
    """

    name: str
    token_id: int
    method: str
    experts: dict[int, tuple[int, ...]]
    num_params: int
    losses: tuple[float, ...]
    role_before: float
    role_after: float
    others_before: float | None
    others_after: float | None


def make_role(
    moe: MoE,
    name: str,
    texts: Sequence[str],
    others: Sequence[str] = (),
    *,
    experts: Mapping[int, Sequence[int]] | Literal["auto"] = "auto",
    method: Method = "lora",
    share: float = 0.25,
    rank: int = 16,
    steps: int = 100,
    batch_size: int = 8,
    seq_tokens: int = 128,
    learning_rate: float | None = None,
    held_out: float = 0.2,
    seed: int = 0,
) -> Role:
    """Train a role on its texts and let `<|role=NAME|>` switch it on, from that token to the next role's.

    experts: layer → numbers, or "auto": the `share` of each layer's experts that the texts use most. method: "lora" and
    "full" train those experts in copies that only the role's tokens reach, "router" trains the routers, for all tokens.
    others: texts that should stay as they were; measured, not learnt. learning_rate: None is 2e-3 for lora, 3e-4 for
    full and router.
    """
    if method not in ("lora", "full", "router"):
        raise UnknownNameError("method", method, ("lora", "full", "router"))
    _check(name, texts, others, share, rank, steps, batch_size, seq_tokens, learning_rate, held_out, seed)
    learnt, held = _split(texts, held_out, seed)
    other_held = list(others)
    role_before = perplexity(moe, held, max_tokens=seq_tokens)
    others_before = perplexity(moe, other_held, max_tokens=seq_tokens) if other_held else None
    picked = _picked(moe, learnt, experts, share)
    unlogged = moe.session.unlogged
    with moe.session.changing() as before:
        token, parameters = _prepare(moe, name, picked, method, rank, seed, nudge=experts != "auto")
        for parameter in parameters if method == "router" else ():  # adapters go whole
            before.keep(parameter)
        routers = routers_of(moe) if method == "router" else {}
        losses = tune(
            moe, learnt, parameters, steps=steps, batch_size=batch_size, seq_tokens=seq_tokens,
            learning_rate=_RATES[method] if learning_rate is None else learning_rate,
            balance_weight=0.01 if method == "router" else 0.0, prefix=[token], seed=seed,
        )  # fmt: skip
        if routers:
            log_routers(moe, routers)
            moe.session.unlogged = unlogged
        return Role(
            name=name,
            token_id=token,
            method=method,
            experts=picked,
            num_params=sum(parameter.numel() for parameter in parameters),
            losses=tuple(losses),
            role_before=role_before,
            role_after=perplexity(moe, held, max_tokens=seq_tokens, prefix=[token]),
            others_before=others_before,
            others_after=perplexity(moe, other_held, max_tokens=seq_tokens) if other_held else None,
        )


def prepare_role(
    moe: MoE,
    name: str,
    texts: Sequence[str],
    *,
    experts: Mapping[int, Sequence[int]] | Literal["auto"] = "auto",
    method: Method = "lora",
    share: float = 0.25,
    rank: int = 16,
    held_out: float = 0.2,
    seed: int = 0,
) -> tuple[dict[int, tuple[int, ...]], int]:
    """Everything of `make_role` but the training: the experts it picks, and how many parameters would train.

    The role's token and its adapters are in the model afterwards, untrained. Arguments as in `make_role`.
    """
    if method not in ("lora", "full", "router"):
        raise UnknownNameError("method", method, ("lora", "full", "router"))
    _check(name, texts, (), share, rank, 1, 1, 8, None, held_out, seed)
    picked = _picked(moe, _split(texts, held_out, seed)[0], experts, share)
    with moe.session.changing():
        _, parameters = _prepare(moe, name, picked, method, rank, seed, nudge=experts != "auto")
        return picked, sum(parameter.numel() for parameter in parameters)


def _picked(
    moe: MoE, learnt: Sequence[str], experts: Mapping[int, Sequence[int]] | Literal["auto"], share: float
) -> dict[int, tuple[int, ...]]:
    return moe.suggest(learnt, share=share) if experts == "auto" else need_by_layer("experts", experts)


def _prepare(
    moe: MoE, name: str, experts: Mapping[int, Sequence[int]], method: Method, rank: int, seed: int, *, nudge: bool
) -> tuple[int, list[nn.Parameter]]:
    """The role's token and what is to train. nudge: prefer these experts; those the texts already use need none."""
    token = moe.add_role(name)
    if nudge:
        rules = [
            Rule(do="prefer", experts=tuple(each), layers=(layer,), role=name, bias=_ROLE_BIAS)
            for layer, each in experts.items()
        ]
        moe.set_program(Program.from_mapping({**moe.program.to_dict(), "rules": [*moe.program.rules, *rules]}))
    if method == "router":
        return token, moe.train_only("router")
    if method == "lora":
        return token, moe.lora(experts, rank=rank, name=name, role=name, seed=seed).parameters()
    return token, moe.train_experts(experts, name=name, role=name).parameters()


def _check(
    name: str, texts: Sequence[str], others: Sequence[str], share: float, rank: int, steps: int, batch_size: int,
    seq_tokens: int, learning_rate: float | None, held_out: float, seed: int,
) -> None:  # fmt: skip
    """Raise before anything is measured or changed; what no text can be learnt with is said by its name."""
    need_key("role", name)
    need_texts(texts)
    need_texts(others, "others")
    need_number("share", share, above=0, up_to=1)
    need_number("held_out", held_out, above=0, up_to=1)
    for setting, value in (("rank", rank), ("steps", steps), ("batch_size", batch_size)):
        need_count(setting, value)
    need_count("seq_tokens", seq_tokens, 3)
    need_count("seed", seed, 0)
    if learning_rate is not None:
        need_number("learning_rate", learning_rate, above=0, up_to=1e3)


def _split(texts: Sequence[str], held_out: float, seed: int) -> tuple[list[str], list[str]]:
    """Texts to learn from, and texts to measure on."""
    if len(texts) < 2:
        raise DataError(f"{len(texts)} texts: needs two or more, some to learn from and some to measure on")
    order = torch.randperm(len(texts), generator=torch.Generator().manual_seed(seed)).tolist()
    number = min(max(1, round(held_out * len(texts))), len(texts) - 1)
    return [texts[i] for i in order[number:]], [texts[i] for i in order[:number]]
