"""How many of PyTorch's threads a thread computes with, when several compute at once."""

import threading

import torch


def compute_with(num_threads: int, *, others: int) -> None:
    """Let the calling thread compute with so many threads, itself among them; others: what all other threads have and keep.

    PyTorch keeps the number for the thread that sets it, and as what threads begin with that have not computed yet. The latter
    is set back at once, by a thread that does nothing else; a thread that computes for the first time in between, some
    microseconds, gets that number. Any number of threads may call it at once, with the same `others`.
    """
    torch.get_num_threads()  # a thread's first use of the number sets it to what threads begin with
    torch.set_num_threads(num_threads)
    setting = threading.Thread(target=torch.set_num_threads, args=(others,))
    setting.start()
    setting.join()
