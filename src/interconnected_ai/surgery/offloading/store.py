"""Who holds which expert: a budget of bytes, the least recently used go, and a thread fetches what is foreseen."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

from interconnected_ai.errors import ClosedError
from interconnected_ai.surgery.anatomy.ffn import ExpertWeights

Place = tuple[int, int]  # layer, expert
Fetch = Callable[[int, int], ExpertWeights]


@dataclass
class Traffic:
    """What happened so far. hits: experts that were held when asked for; waited: that were on their way; missed: fetched then.

    foreseen: fetched before anybody asked; unused: of those, that went again unasked. bytes_read: fetched at all.
    """

    hits: int = 0
    waited: int = 0
    missed: int = 0
    foreseen: int = 0
    unused: int = 0
    bytes_read: int = 0

    @property
    def at_hand(self) -> float:
        """The share of asked experts that were there at once."""
        return self.hits / max(self.hits + self.waited + self.missed, 1)


class ExpertStore:
    """Experts by layer and number, fetched when asked for and held within a budget.

    fetch: gives an expert from where it waits; called from several threads at once. budget_bytes: of held experts; one is held
    in any case. Threads: all calls from any thread, several at once. An expert that was given stays valid when it goes.
    """

    def __init__(self, fetch: Fetch, budget_bytes: int, *, num_threads: int = 1) -> None:
        self._fetch, self.budget_bytes = fetch, budget_bytes
        self._held: OrderedDict[Place, ExpertWeights] = OrderedDict()
        self._coming: dict[Place, Future[ExpertWeights]] = {}
        self._unasked: set[Place] = set()
        self._bytes = 0
        self._lock = Lock()
        self._closed = False
        self._threads = ThreadPoolExecutor(num_threads, thread_name_prefix="surgery-experts")
        self.traffic = Traffic()

    @property
    def num_bytes(self) -> int:
        """Of the experts that are held."""
        return self._bytes

    def has(self, layer: int, expert: int) -> bool:
        """Whether it is held at this moment."""
        return (layer, expert) in self._held

    def get(self, layer: int, expert: int) -> ExpertWeights:
        """The expert, at once or when it has come. Raises `ClosedError` after `close`."""
        place = (layer, expert)
        with self._lock:
            self._needs_open()
            held = self._held.get(place)
            if held is not None:
                self._held.move_to_end(place)
                self._unasked.discard(place)
                self.traffic.hits += 1
                return held
            coming = self._coming.get(place)
            self._unasked.discard(place)
            if coming is not None:
                self.traffic.waited += 1
            else:
                self.traffic.missed += 1
        return self._take(place) if coming is None else coming.result()

    def foresee(self, layer: int, experts: Iterable[int]) -> None:
        """Begin to fetch experts that will probably be asked for; nothing for those that are held or on their way."""
        for expert in experts:
            place = (layer, expert)
            with self._lock:
                if self._closed or place in self._held or place in self._coming:
                    continue
                self._unasked.add(place)
                self.traffic.foreseen += 1
                self._coming[place] = self._threads.submit(self._take, place)

    def close(self) -> None:
        """Let all experts go and end the threads; idempotent, from any thread."""
        with self._lock:
            self._closed = True
        self._threads.shutdown(wait=True, cancel_futures=True)
        with self._lock:
            self._held.clear()
            self._coming.clear()
            self._bytes = 0

    def _take(self, place: Place) -> ExpertWeights:
        try:
            weights = self._fetch(*place)
        except BaseException:
            with self._lock:
                self._coming.pop(place, None)
            raise
        with self._lock:
            self._coming.pop(place, None)
            self.traffic.bytes_read += bytes_of(weights)
            if place not in self._held and not self._closed:
                self._held[place] = weights
                self._bytes += bytes_of(weights)
                self._make_room()
        return weights

    def _make_room(self) -> None:
        while self._bytes > self.budget_bytes and len(self._held) > 1:
            place, weights = self._held.popitem(last=False)
            self._bytes -= bytes_of(weights)
            if place in self._unasked:
                self._unasked.discard(place)
                self.traffic.unused += 1

    def _needs_open(self) -> None:
        if self._closed:
            raise ClosedError("the store of experts was closed; open the model anew")


def bytes_of(weights: ExpertWeights) -> int:
    """Bytes of an expert's tensors."""
    return sum(tensor.numel() * tensor.element_size() for tensor in weights.tensors().values())
