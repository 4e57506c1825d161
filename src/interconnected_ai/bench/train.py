"""A training step of the document's 29M expert against transformers' GPT-2 of the same shape, and what recomputing saves."""

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from interconnected_ai.bench.cases import forget_peak, peak_bytes, resident_bytes
from interconnected_ai.bench.timing import machine, take_turns
from interconnected_ai.errors import TrainingError
from interconnected_ai.experts import ExpertModel
from interconnected_ai.training import Objective, adamw

VOCAB_SIZE, D_MODEL, N_LAYERS, N_HEADS = 10_000, 512, 6, 8

Step = Callable[[], None]


@dataclass(frozen=True)
class Contestant:
    """Who takes the step. kind: "ours", or transformers' attention, "sdpa" or "eager"."""

    kind: str
    dropout: float = 0.1
    checkpointing: bool = False
    precision: str = "float32"


def bench_train(*, batch: int = 8, seq_len: int = 256, repeats: int = 5) -> dict[str, Any]:
    """Tokens per second and peak memory, contestants taking turns in one process, memory in processes of their own.

    train_over_hf: speed over the faster of transformers' two attentions, both with GPT-2's dropout of 0.1; the same without
    dropout stands beside it. All with PyTorch's fused AdamW.
    """
    rivals = {f"{kind}_dropout_{d}": Contestant(kind, d) for d in (0.1, 0.0) for kind in ("ours", "sdpa", "eager")}
    more = {
        "ours_bfloat16": Contestant("ours", precision="bfloat16"),
        "ours_checkpointing": Contestant("ours", checkpointing=True),
    }
    everyone = {**rivals, **more}
    times = take_turns({name: step_of(one, batch, seq_len) for name, one in everyone.items()}, repeats)
    seconds = {name: timing.median for name, timing in times.items()}
    memory = {
        name: peak_of(everyone[name], batch, seq_len)
        for name in ("ours_dropout_0.1", "sdpa_dropout_0.1", "eager_dropout_0.1", "ours_checkpointing")
    }
    ours = "ours_dropout_0.1"
    return {
        "train_over_hf": _best_of_theirs(seconds, 0.1) / seconds[ours],
        "train_over_hf_without_dropout": _best_of_theirs(seconds, 0.0) / seconds["ours_dropout_0.0"],
        "bfloat16_over_float32": seconds[ours] / seconds["ours_bfloat16"],
        "checkpointing_memory_ratio": memory["ours_checkpointing"] / memory[ours],
        "checkpointing_time_ratio": seconds["ours_checkpointing"] / seconds[ours],
        "memory_over_hf": memory[ours] / min(memory["sdpa_dropout_0.1"], memory["eager_dropout_0.1"]),
        "tokens_per_second": {name: batch * seq_len / s for name, s in seconds.items()},
        "seconds": seconds,
        "spread": max(timing.spread for timing in times.values()),
        "peak_bytes": memory,
        "num_params": {"ours": _expert(0.1).get_num_params(), "gpt2": _num_params(_gpt2("sdpa", 0.1, seq_len))},
        "batch": batch,
        "seq_len": seq_len,
        "machine": machine(),
    }


def step_of(one: Contestant, batch: int, seq_len: int) -> Step:
    """A function that does one whole step: forward, backward, clipping, AdamW (at rate 0, so that all stays the same)."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(VOCAB_SIZE, (batch, seq_len + 1), generator=generator)
    model, loss = _ours(one, tokens) if one.kind == "ours" else _theirs(one, tokens)
    optimizer = adamw(model, lr=0.0, weight_decay=0.1)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=one.precision == "bfloat16"):
            value = loss()
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def peak_of(one: Contestant, batch: int, seq_len: int) -> int:
    """The most bytes that two steps hold at once beyond what the process held before, found out in a fresh process."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure_peak, args=(one, batch, seq_len, sender))
    process.start()
    sender.close()
    try:
        found: int = receiver.recv()
    except EOFError as error:
        process.join()
        raise TrainingError(
            f"the process that measured the memory of {one.kind} ended with code {process.exitcode} (−9: out of memory)"
        ) from error
    process.join()
    return found


def _measure_peak(one: Contestant, batch: int, seq_len: int, sender: Any) -> None:
    place = torch.device("cpu")
    step_of(Contestant(one.kind, one.dropout), 1, 8)()  # loads what libraries load
    base = resident_bytes(place)
    forget_peak(place)
    step = step_of(one, batch, seq_len)
    step()
    step()
    sender.send(peak_bytes(place) - base)


def _ours(one: Contestant, tokens: Tensor) -> tuple[nn.Module, Callable[[], Tensor]]:
    model = _expert(one.dropout).train()
    model.gradient_checkpointing = one.checkpointing
    objective = Objective(model)
    count = tokens[:, 1:].numel()
    return model, lambda: objective(tokens) / count


def _theirs(one: Contestant, tokens: Tensor) -> tuple[nn.Module, Callable[[], Tensor]]:
    model = _gpt2(one.kind, one.dropout, tokens.shape[1]).train()
    inputs = tokens[:, :-1]
    return model, lambda: model(input_ids=inputs, labels=inputs).loss


def _expert(dropout: float) -> ExpertModel:
    generator = torch.Generator().manual_seed(0)
    return ExpertModel(VOCAB_SIZE, D_MODEL, N_LAYERS, N_HEADS, dropout=dropout, norm="pre", generator=generator)


def _gpt2(attention: str, dropout: float, max_seq_len: int) -> nn.Module:
    """GPT-2 with the same blocks and vocabulary; its head is a matrix of its own, as ours is."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=VOCAB_SIZE, n_positions=max_seq_len, n_embd=D_MODEL, n_layer=N_LAYERS, n_head=N_HEADS,
        resid_pdrop=dropout, embd_pdrop=dropout, attn_pdrop=dropout, tie_word_embeddings=False, use_cache=False,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    config._attn_implementation = attention
    model: nn.Module = GPT2LMHeadModel(config)
    return model


def _best_of_theirs(seconds: dict[str, float], dropout: float) -> float:
    return min(seconds[f"sdpa_dropout_{dropout}"], seconds[f"eager_dropout_{dropout}"])


def _num_params(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())
