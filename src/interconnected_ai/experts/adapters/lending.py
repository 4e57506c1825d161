"""Bases that experts of one process share: loaded by the first that asks, let go with the last."""

import threading
from dataclasses import dataclass, field

from interconnected_ai.experts.adapters.shared_base import SharedBase
from interconnected_ai.experts.bases import Base
from interconnected_ai.nn import device_of


@dataclass
class _Lent:
    """A base that somebody has. num_borrowers: guarded by `_TABLE`; shared: by `loading`."""

    num_borrowers: int = 0
    shared: SharedBase | None = None
    loading: threading.Lock = field(default_factory=threading.Lock)


_Key = tuple[str, str, str]  # the base's SHA-256, the device and the engine
_TABLE = threading.Lock()
_lent: dict[_Key, _Lent] = {}


class BorrowedBase:
    """A share in a base of this process, until `give_back`.

    Threads: bases may be borrowed and given back by any number of them at once; two that ask for the same base load it once.
    Raises what `SharedBase.open` raises.
    """

    def __init__(self, base: Base, *, device: str | None = None, engine: str = "torch") -> None:
        self._key: _Key | None = (base.sha256, str(device_of(device or "cpu")), engine)
        with _TABLE:
            lent = _lent.setdefault(self._key, _Lent())
            lent.num_borrowers += 1
        try:
            with lent.loading:
                if lent.shared is None:
                    lent.shared = SharedBase.open(base, device=device, engine=engine)
                self.shared = lent.shared
        except BaseException:
            self.give_back()
            raise

    @property
    def num_bytes(self) -> int:
        """Of the base, which all who have a share in it hold once."""
        return self.shared.base_num_bytes

    def close(self) -> None:
        """As `give_back`, for who lends it as a part of others."""
        self.give_back()

    def give_back(self) -> None:
        """Have it no more; the last one to do so closes the base. More than once is the same."""
        with _TABLE:
            key, self._key = self._key, None
            if key is None:
                return
            lent = _lent[key]
            lent.num_borrowers -= 1
            if lent.num_borrowers:
                return
            del _lent[key]
        if lent.shared is not None:
            lent.shared.close()


def lent_num_bytes() -> int:
    """Bytes of all bases that are lent in this process, without their adapters."""
    with _TABLE:
        shared = [lent.shared for lent in _lent.values()]
    return sum(one.base_num_bytes for one in shared if one is not None)
