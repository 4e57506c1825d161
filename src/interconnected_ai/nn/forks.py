"""Whether this process can compute: one that was forked off has its parent's word for threads, and not the threads."""

import os
import threading

import torch

from interconnected_ai.errors import ForkError

# The process in which a thread first computed with help. A fork takes the thread that called it, and what it holds here.
_helped = threading.local()


def require_own_threads() -> None:
    """Raise `ForkError` where PyTorch would wait forever: in the fork of a thread that has computed with several threads.

    OpenMP keeps a thread's helpers for its next product, and a child has not got them. Not refused are processes that
    compute alone (`torch.set_num_threads(1)`, as PyTorch's data loaders do), new threads of a child, which get helpers of
    their own, and children of a process that has not computed, as a forkserver's. What the parent computed with PyTorch
    beside this package is not seen. To be called before anything is computed, from any thread.
    """
    if torch.compiler.is_compiling() or torch.get_num_threads() == 1:
        return
    process = os.getpid()
    first = getattr(_helped, "process", None)
    if first is None:
        _helped.process = process
    elif first != process:
        raise ForkError(
            f"process {process} was forked from {first}, in which PyTorch had computed with several threads; it would wait "
            "for them forever. Start processes with multiprocessing.get_context('spawn') or 'forkserver', or call "
            "torch.set_num_threads(1) first in the child"
        )
