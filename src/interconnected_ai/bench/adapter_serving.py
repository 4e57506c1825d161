"""Many adapters over one base: their bytes, switching between them, eight of them in one batch; PEFT beside."""

import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import torch

from interconnected_ai.bench.timing import machine, take_turns
from interconnected_ai.config import GenerationConfig
from interconnected_ai.experts import (
    AdapterWeights,
    Base,
    CausalEngine,
    CausalLM,
    ExpertCard,
    LowRank,
    SharedBase,
    find_base,
    save_adapter,
)
from interconnected_ai.types import Generate

NUM_ROWS = 8
_RESIDENT = """
import sys, tempfile
from interconnected_ai.bench.adapter_serving import resident_over_sum
print(resident_over_sum(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


def bench_adapter_serving(
    base: str | Path = "smollm2",
    *,
    num_adapters: int = 64,
    rank: int = 16,
    num_prompt: int = 32,
    num_new: int = 32,
    repeats: int = 5,
) -> dict[str, Any]:
    """Random adapters on all linear layers but the head. Keys are those of `--json`.

    bytes_64_over_sum: resident memory that `num_adapters` adapters take beside their base, over the bytes of their matrices, in
    a process of its own. switch_ms: an answer of one token with another adapter than the last, less one with the same.
    mixed_over_single: time of 8 rows of 8 adapters over that of 8 rows of one. over_peft_mixed: our speed over that of PEFT's
    mixed batch; peft_mixed_over_single: PEFT's own ratio. reload_ms, peft_reload_ms: an adapter read from its folder for one
    request. same_tokens: share of the mixed batch's tokens that each row also has alone; peft_same_tokens: that PEFT's has.
    """
    found = find_base(base)
    work = _Work(num_prompt, num_new)
    with tempfile.TemporaryDirectory() as home, SharedBase.open(found) as shared:
        model = CausalLM.from_pretrained(found)
        folders = [Path(home) / f"a{number}" for number in range(NUM_ROWS)]
        for number, folder in enumerate(folders):
            save_adapter(
                random_adapter(model, number, rank), folder, ExpertCard(base=found.name, base_sha256=found.sha256)
            )
            shared.add(folder.name, folder)
        prompts = work.prompts(shared.engine.vocab_size)
        ours = _Ours(shared, prompts, work, folders)
        with _peft(model, folders) as peft:
            theirs = _Peft(peft, prompts, work, folders)
            measured = _measured(ours, theirs, repeats)
    return {
        "machine": machine(), "base": found.name, "num_adapters": num_adapters, "rank": rank, "num_rows": NUM_ROWS,
        "num_prompt": num_prompt, "num_new": num_new,
        "bytes_64_over_sum": _resident_in_a_process(found, num_adapters, rank),
        **measured,
    }  # fmt: skip


def random_adapter(model: CausalLM, seed: int, rank: int) -> AdapterWeights:
    """On all linear layers but the head, scale 2; small enough that the base still speaks."""
    generator = torch.Generator().manual_seed(seed)
    head, modules = model.network.get_output_embeddings(), {}
    for name, module in model.network.named_modules():
        if isinstance(module, torch.nn.Linear) and module is not head:
            a = torch.randn(rank, module.in_features, generator=generator) * module.in_features**-0.5
            b = torch.randn(module.out_features, rank, generator=generator) * 0.01
            modules[name] = LowRank(a, b, 2.0)
    return AdapterWeights(modules)


def _model_of(shared: SharedBase) -> CausalLM:
    assert isinstance(shared.engine, CausalEngine)  # `SharedBase.open` makes this one unless asked for another
    return CausalLM(shared.engine.network)


def resident_over_sum(base: str, num_adapters: int, rank: int) -> float:
    """What adapters add to this process's resident memory, over the bytes of their matrices; each comes from a folder."""
    found = find_base(base)
    card = ExpertCard(base=found.name, base_sha256=found.sha256)
    with SharedBase.open(found) as shared, tempfile.TemporaryDirectory() as home:
        model = _model_of(shared)
        config = GenerationConfig(max_new_tokens=2, temperature=0.0)
        shared.engine([[1, 2, 3]], config)
        for number in range(2):  # what reading and computing themselves keep
            save_adapter(random_adapter(model, number, rank), Path(home) / "warm", card)
            shared.add("warm", Path(home) / "warm")
            shared.engine_with("warm")([[1, 2, 3]], config)
            shared.remove("warm")
        before = _resident_bytes()
        for number in range(num_adapters):
            save_adapter(random_adapter(model, number, rank), Path(home) / "a", card)
            shared.add(f"a{number}", Path(home) / "a")
        for name in shared.adapters:
            shared.engine_with(name)([[1, 2, 3]], config)
        return (_resident_bytes() - before) / sum(shared.adapter_num_bytes.values())


class _Work:
    """Greedy answers of `num_new` tokens to eight prompts of `num_prompt`."""

    def __init__(self, num_prompt: int, num_new: int) -> None:
        self.num_prompt, self.num_new = num_prompt, num_new

    def prompts(self, vocab_size: int) -> list[list[int]]:
        shape, generator = (NUM_ROWS, self.num_prompt), torch.Generator().manual_seed(0)
        rows: list[list[int]] = torch.randint(vocab_size, shape, generator=generator).tolist()
        return rows


class _Ours:
    """What is asked of a `SharedBase`; no token ends an answer."""

    def __init__(self, shared: SharedBase, prompts: list[list[int]], work: _Work, folders: list[Path]) -> None:
        self._shared, self._prompts, self._folders = shared, prompts, folders
        self._names = [folder.name for folder in folders]
        self._whole = GenerationConfig(max_new_tokens=work.num_new, temperature=0.0)
        self._one = GenerationConfig(max_new_tokens=1, temperature=0.0)
        self._next = cycle(self._names)

    def mixed(self) -> list[list[int]]:
        return self._answers(self._names)

    def single(self) -> list[list[int]]:
        return self._answers([self._names[0]] * NUM_ROWS)

    def alone(self) -> list[list[int]]:
        config = self._whole
        return [
            list(self._engine([name])([prompt], config)[0].token_ids)
            for name, prompt in zip(self._names, self._prompts, strict=True)
        ]

    def same(self) -> object:
        return self._engine(self._names[0])(self._prompts[:1], self._one)

    def switched(self) -> object:
        return self._engine(next(self._next))(self._prompts[:1], self._one)

    def reloaded(self) -> object:
        self._shared.add("reloaded", self._folders[0])
        try:
            return self._engine("reloaded")(self._prompts[:1], self._one)
        finally:
            self._shared.remove("reloaded")

    def _engine(self, names: str | list[str]) -> Generate:
        return self._shared.engine_with(names, end_ids=())

    def _answers(self, names: list[str]) -> list[list[int]]:
        return [list(one.token_ids) for one in self._engine(names)(self._prompts, self._whole)]


class _Peft:
    """The same of PEFT: a mixed batch by `adapter_names`, and an adapter loaded for one request."""

    def __init__(self, model: Any, prompts: list[list[int]], work: _Work, folders: list[Path]) -> None:
        self._model, self._input_ids, self._folders, self._num_new = model, torch.tensor(prompts), folders, work.num_new
        self._names = [folder.name for folder in folders]

    def mixed(self) -> list[list[int]]:
        return self._answers(self._input_ids, self._num_new, adapter_names=self._names)

    def single(self) -> list[list[int]]:
        self._model.set_adapter(self._names[0])
        return self._answers(self._input_ids, self._num_new)

    def reloaded(self) -> object:
        self._model.load_adapter(str(self._folders[0]), "reloaded")
        self._model.set_adapter("reloaded")
        try:
            return self._answers(self._input_ids[:1], 1)
        finally:
            self._model.set_adapter(self._names[0])
            self._model.delete_adapter("reloaded")

    def _answers(self, input_ids: torch.Tensor, num_new: int, **more: Any) -> list[list[int]]:
        with torch.inference_mode():
            found = self._model.generate(
                input_ids=input_ids, attention_mask=torch.ones_like(input_ids), do_sample=False, max_new_tokens=num_new,
                min_new_tokens=num_new, eos_token_id=None, pad_token_id=0, **more,
            )  # fmt: skip
        rows: list[list[int]] = found[:, input_ids.shape[1] :].tolist()
        return rows


def _measured(ours: _Ours, theirs: _Peft, repeats: int) -> dict[str, Any]:
    mixed, alone, peft = ours.mixed(), ours.alone(), theirs.mixed()
    runs: dict[str, Callable[[], object]] = {
        "mixed": ours.mixed, "single": ours.single, "PEFT mixed": theirs.mixed, "PEFT single": theirs.single,
    }  # fmt: skip
    whole = take_turns(runs, repeats)
    short = take_turns(
        {"same": ours.same, "switched": ours.switched, "reloaded": ours.reloaded, "PEFT reloaded": theirs.reloaded},
        max(repeats, 3) * 4,
    )
    seconds = {name: timing.median for name, timing in (whole | short).items()}
    return {
        "switch_ms": 1000 * max(seconds["switched"] - seconds["same"], 0.0),
        "answer_of_one_token_ms": 1000 * seconds["same"],
        "reload_ms": 1000 * seconds["reloaded"],
        "peft_reload_ms": 1000 * seconds["PEFT reloaded"],
        "mixed_over_single": seconds["mixed"] / seconds["single"],
        "peft_mixed_over_single": seconds["PEFT mixed"] / seconds["PEFT single"],
        "over_peft_mixed": seconds["PEFT mixed"] / seconds["mixed"],
        "mixed_tokens_per_second": sum(map(len, mixed)) / seconds["mixed"],
        "same_tokens": _same(mixed, alone),
        "peft_same_tokens": _same(mixed, peft),
        "spread": {name: timing.spread for name, timing in whole.items()},
    }


def _same(rows: list[list[int]], others: list[list[int]]) -> float:
    pairs = [(a, b) for row, other in zip(rows, others, strict=True) for a, b in zip(row, other, strict=True)]
    return sum(a == b for a, b in pairs) / len(pairs)


@contextmanager
def _peft(model: CausalLM, folders: list[Path]) -> Iterator[Any]:
    from peft import PeftModel

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*gradient_checkpointing", FutureWarning)  # PEFT asks by an old name
        peft = PeftModel.from_pretrained(model.network, folders[0], adapter_name=folders[0].name).eval()
        for folder in folders[1:]:
            peft.load_adapter(str(folder), folder.name)
        yield peft


def _resident_in_a_process(base: Base, num_adapters: int, rank: int) -> float:
    named = base.name if Path(base.name).exists() or base.name == "smollm2" else str(base.path)
    command = [sys.executable, "-c", _RESIDENT, named, str(num_adapters), str(rank)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1])


def _resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
