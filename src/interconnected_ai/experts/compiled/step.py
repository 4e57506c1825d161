"""Calls of `step.c`: its records in memory, a model's weights in them, and a step of one row or of several at once."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from interconnected_ai.errors import EngineError
from interconnected_ai.experts.compiled.library import StepLibrary, step_library
from interconnected_ai.experts.compiled.pages import gather_pages
from interconnected_ai.experts.compiled.weights import TYPES, BlockWeights, ModelWeights, Norm, Product

_POINTER, _SIZE = ctypes.c_void_p, ctypes.c_int64
_BYTES_PER_THREAD = 2**20  # fewer are read faster than another thread is woken


class _Linear(ctypes.Structure):
    _fields_ = [("weight", _POINTER), ("bias", _POINTER), ("type", _SIZE)]

    @classmethod
    def of(cls, product: Product | None) -> "_Linear":
        return (
            cls()
            if product is None
            else cls(_address(product.weight), _address(product.bias), TYPES[product.type_name])
        )


class _Norm(ctypes.Structure):
    _fields_ = [("gain", _POINTER), ("bias", _POINTER), ("eps", ctypes.c_double)]

    @classmethod
    def of(cls, norm: Norm | None) -> "_Norm":
        return cls() if norm is None else cls(_address(norm.gain), _address(norm.bias), norm.eps)


class _Block(ctypes.Structure):
    _fields_ = [
        *((name, _Norm) for name in ("norm_1", "norm_2", "query_norm", "key_norm")),
        *((name, _Linear) for name in ("query", "key", "value", "out", "gate", "up", "down")),
        ("window", _SIZE),
    ]

    @classmethod
    def of(cls, block: BlockWeights) -> "_Block":
        norms = (block.norm_1, block.norm_2, block.query_norm, block.key_norm)
        products = (block.query, block.key, block.value, block.out, block.gate, block.up, block.down)
        return cls(*map(_Norm.of, norms), *map(_Linear.of, products), block.window or 0)


class _Model(ctypes.Structure):
    _fields_ = [
        *((name, _SIZE) for name in ("d_model", "n_layers", "n_heads", "n_kv_heads", "head_width", "inner")),
        *((name, _SIZE) for name in ("vocab_size", "num_tokens", "is_rms", "norms_first", "pairs_beside")),
        ("table", _POINTER),
        ("positions", _POINTER),
        ("table_scale", ctypes.c_double),
        ("blocks", _POINTER),
        ("norm", _Norm),
        ("head", _Linear),
    ]


class _LowRank(ctypes.Structure):
    _fields_ = [("a", _POINTER), ("b", _POINTER), ("rank", _SIZE)]


class _Row(ctypes.Structure):
    _fields_ = [
        *((name, _SIZE) for name in ("capacity", "first", "num_threads")),
        *((name, _POINTER) for name in ("turns", "scratch", "logits", "adapter", "cache")),
        *((name, _SIZE) for name in ("place", "token")),
    ]


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


class CompiledModel:
    """A model's weights as the library reads them: in their own place, so that changes in place are seen.

    Threads: any number of rows of one model at once.
    """

    def __init__(self, calls: ctypes.CDLL, weights: ModelWeights) -> None:
        vocab_size, d_model = len(weights.head.weight), weights.table.shape[1]
        inner = weights.blocks[0].up.weight.shape[0]
        self._weights = weights  # holds the memory that is pointed to
        gather_pages(weights.tensors())
        self._blocks = (_Block * len(weights.blocks))(*map(_Block.of, weights.blocks))
        self._model = _Model(
            d_model, len(weights.blocks), weights.n_heads, weights.n_kv_heads, weights.head_width, inner, vocab_size,
            len(weights.table), weights.is_rms, weights.norms_first, weights.pairs_beside, _address(weights.table),
            _address(weights.positions), weights.table_scale, ctypes.addressof(self._blocks),
            _Norm.of(weights.norm), _Linear.of(weights.head),
        )  # fmt: skip
        self.calls, self.address, self.vocab_size = calls, ctypes.addressof(self._model), vocab_size
        self.num_read_bytes = sum(_matrix_bytes(weights.blocks)) + weights.head.weight.nbytes

    def row(
        self, capacity: int, first: int, turns: Tensor | None, adapter: "RowAdapter | None" = None
    ) -> "CompiledRow":
        """What one generation of one row needs; the arguments are those of `CompiledRow`."""
        return CompiledRow(self, capacity, first, turns, adapter)

    def adapter(self, parts: "Sequence[_Matrices | None]") -> "RowAdapter | None":
        """An adapter as the step reads it; None where it cannot be read.

        parts: a (rank, d_in) and b (d_out, rank) of every product, None where nothing is added: `_PRODUCTS` of each layer in
        turn, and the head.
        """
        if not all(_is_read(matrix) for part in parts if part is not None for matrix in part):
            return None
        weights, listed = self._weights, list(parts)
        for place, part in enumerate(listed[:-1]):
            if weights.pairs_beside and part is not None and _PRODUCTS[place % len(_PRODUCTS)] in ("query", "key"):
                listed[place] = part[0], _beside(part[1], weights.head_width)
        return RowAdapter(listed)


_Matrices = tuple[Tensor, Tensor]
_PRODUCTS = ("query", "key", "value", "out", "gate", "up", "down")


class RowAdapter:
    """The low-rank matrices of an adapter; `CompiledModel.adapter` makes it. Threads: any number of rows of one at once."""

    def __init__(self, parts: Sequence[_Matrices | None]) -> None:
        self._held = parts  # holds the memory that is pointed to
        records = [_LowRank() if part is None else _LowRank(*map(_address, part), part[0].shape[0]) for part in parts]
        self._records = (_LowRank * len(records))(*records)
        self.address = ctypes.addressof(self._records)


def _is_read(matrix: Tensor) -> bool:
    """Transposed in memory, as the products of many adapters at once read them too."""
    return matrix.device.type == "cpu" and matrix.dtype == torch.float32 and matrix.t().is_contiguous()


def _beside(b: Tensor, head_width: int) -> Tensor:
    """(d_out, rank) whose rows, of pairs in halves of a head, stand as the model's own: beside each other."""
    paired = b.unflatten(0, (-1, 2, head_width // 2)).transpose(1, 2).flatten(0, 2)
    beside: Tensor = paired.t().contiguous().t()
    return beside


class CompiledRow:
    """Steps of one row, in room of its own. One thread at a time.

    capacity: slots of the cache. first: the first slot that holds a token. turns: (capacity, 2 · head_width), what stands on
    the diagonals of the matrix that turns a head, of each position; None where positions are added to the embedding. adapter:
    what is added to the model's products.
    """

    def __init__(
        self, model: CompiledModel, capacity: int, first: int, turns: Tensor | None, adapter: RowAdapter | None = None
    ) -> None:
        num_threads = max(1, min(torch.get_num_threads(), model.num_read_bytes // _BYTES_PER_THREAD))
        self.model = model
        self._held = turns, adapter
        self._scratch = torch.empty(model.calls.scratch_numbers(model.address, capacity, num_threads))
        self.logits = torch.empty(1, model.vocab_size)
        self._row = _Row(
            capacity, first, num_threads, _address(turns), self._scratch.data_ptr(), self.logits.data_ptr(),
            None if adapter is None else adapter.address,
        )  # fmt: skip

        self.address = ctypes.addressof(self._row)

    @property
    def token_id(self) -> int:
        """What it is aimed at."""
        return int(self._row.token)

    def aim(self, token_id: int, kept: Tensor, place: int) -> None:
        """What the next step reads. kept: the cache, (layer, key or value, 1, head, capacity, width), whose slot `place` is
        written.
        """
        row = self._row
        row.token, row.cache, row.place = token_id, kept.data_ptr(), place


def step_rows(rows: Sequence[CompiledRow]) -> None:
    """One step of each of these rows, which are aimed and have one model: their `logits` are, bit by bit, those that each would
    have alone. Raises `IndexError` for a token that the model does not know; no row has stepped then.
    """
    model = rows[0].model
    addresses = (_POINTER * len(rows))(*(row.address for row in rows))
    if wrong := model.calls.step(model.address, addresses, len(rows)):
        raise IndexError(f"token id {rows[wrong - 1].token_id} is outside the embedding")


@dataclass(frozen=True)
class Compiled:
    """A model on the compiled step, or why it is not."""

    model: CompiledModel | None
    why_not: str = ""

    @classmethod
    def of(cls, weights: ModelWeights, library: StepLibrary) -> "Compiled":
        """The model on this library, where both can."""
        if library.calls is None or (why_not := weights.why_not()):
            return cls(None, library.why_not or why_not)
        if library.calls.record_bytes() != sum(map(ctypes.sizeof, (_Linear, _Norm, _Block, _Model, _LowRank, _Row))):
            return cls(None, "the package was changed while this process runs; start it again")
        return cls(CompiledModel(library.calls, weights))


NOT_COMPILED = Compiled(None, "it was not asked for")
STEPS = ("auto", "compiled", "calls")


def require_compiled(weights: ModelWeights) -> None:
    """Raise `EngineError` where step="compiled" cannot be had."""
    if why_not := Compiled.of(weights, step_library()).why_not:
        raise EngineError(f'step="compiled" cannot be had: {why_not}; use "auto"')


def _matrix_bytes(blocks: Sequence[BlockWeights]) -> list[int]:
    return [
        product.weight.nbytes
        for block in blocks
        for product in (block.query, block.key, block.value, block.out, block.gate, block.up, block.down)
        if product is not None
    ]
