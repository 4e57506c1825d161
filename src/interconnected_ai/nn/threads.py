"""How many of PyTorch's threads a thread computes with, when several compute at once."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Found = TypeVar("Found")


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


def in_lanes(work: Callable[[Item], Found], items: Iterable[Item]) -> Iterator[Found]:
    """`work` of each item, in their order: of as many at once as PyTorch has threads, one thread for each. Many small products
    side by side take less time than each of them dealt out.

    No more results wait than there are lanes. An error of `work`, or whoever stops asking, ends it once the items under way are
    done. `work` must be safe in several threads at once; gradients and autocast are as threads begin, not as the caller's.
    """
    lanes = torch.get_num_threads()
    if lanes == 1:
        yield from map(work, items)
        return
    pool = ThreadPoolExecutor(lanes, "lane", initializer=lambda: compute_with(1, others=lanes))
    waiting: deque[Future[Found]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > lanes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
