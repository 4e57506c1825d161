"""Starting the command line in one process or several, as `torchrun` and `accelerate launch` do."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from ports import own_port

FSDP2 = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP"}
"""What `accelerate launch --use_fsdp --fsdp_version 2 --fsdp_auto_wrap_policy TRANSFORMER_BASED_WRAP` sets."""


def zero(stage: int) -> dict[str, str]:
    """What `accelerate launch --use_deepspeed --zero_stage STAGE` sets, and what lets DeepSpeed do with CPUs."""
    return {
        "ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": str(stage), "DS_ACCELERATOR": "cpu"
    }  # fmt: skip


needs_deepspeed = pytest.mark.skipif(find_spec("deepspeed") is None, reason="needs deepspeed: pip install deepspeed")

PARALLELISMS = [
    pytest.param({}, "", id="ddp"),
    pytest.param(FSDP2, "FSDP2 over 2 processes", id="fsdp2"),
    *(
        pytest.param(zero(n), f"DeepSpeed ZeRO-{n} over 2 processes", id=f"zero{n}", marks=needs_deepspeed)
        for n in (1, 2, 3)
    ),
]
"""Environment of a launch, and what it says of it."""

ALONE = [sys.executable]
SIDE_BY_SIDE = Path(__file__).with_name("side_by_side.py")


def by_torchrun() -> list[str]:
    """What `accelerate launch` starts for several processes of one machine (on CPUs it would want mpirun instead)."""
    return [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "127.0.0.1",
        "--master-port", str(own_port()),
    ]  # fmt: skip


def in_two_processes() -> list[str]:
    """The same two processes, in the environment that torchrun gives them, without a third that imports PyTorch to do so."""
    return [sys.executable, str(SIDE_BY_SIDE), str(own_port())]


def run_iai(
    launcher: Sequence[str], *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`iai ARGUMENTS` on CPUs, one thread a process."""
    settings = {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": "", **(environment or {})}
    return subprocess.run(
        [*launcher, "-m", "interconnected_ai.cli", *arguments],
        env={**os.environ, **settings}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
