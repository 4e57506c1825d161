"""The engine ONNX Runtime: a decoder on the exported graph, with a KV cache that is written in place."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interconnected_ai.config import ExpertConfig
from interconnected_ai.errors import EngineError
from interconnected_ai.experts.asked import EndIds, require_known
from interconnected_ai.experts.decoder_engine import DecoderEngine
from interconnected_ai.experts.mapped import mapped_bytes
from interconnected_ai.extras import require
from interconnected_ai.storage import read_json
from interconnected_ai.text import TextTokenizer

_ELEMENTS = {torch.float32: "float32", torch.int64: "int64", torch.int32: "int32"}


class OnnxEngine(DecoderEngine):
    """Continues prompts with a folder that `write_onnx` wrote.

    threads: of one step; None is torch's number. mapped: weights stay in the file, which all processes map once, and are not
    packed anew: few private bytes and there at once, but slower steps. Raises `MissingExtraError` without ONNX Runtime,
    `EngineError` for a mapped engine on weights in fewer bits, which it would unpack at every step.
    """

    name = "onnx"

    def __init__(
        self,
        folder: str | Path,
        tokenizer: TextTokenizer | None = None,
        *,
        end_ids: EndIds = None,
        threads: int | None = None,
        mapped: bool = False,
    ) -> None:
        runtime = require("onnxruntime", "onnx", "the engine onnx")
        content = read_json(Path(folder) / "config.json")
        shape = ExpertConfig.from_mapping(content["model"], source=str(folder))
        super().__init__(shape.vocab_size, shape.max_seq_len, tokenizer, end_ids=end_ids)
        self._shape, graph = shape, Path(folder) / "model.onnx"
        if mapped and (precision := content.get("precision", "float32")) != "float32":
            raise EngineError(
                f"weights in {precision} cannot be mapped by the engine onnx, float32 can; leave mapped out"
            )
        data = graph.with_name("model.onnx.data")
        self._num_bytes = mapped_bytes(shape) if mapped else data.stat().st_size
        self._session: Any = _session(runtime, graph, threads or torch.get_num_threads(), mapped=mapped)

    @property
    def num_bytes(self) -> int:
        """The weights; of mapped ones what is private."""
        return 0 if self.is_closed else self._num_bytes

    def decoder(self) -> "OnnxDecoder":
        """A decoder for one generation at a time; all of an engine share the weights."""
        if (session := self._session) is None:
            raise self._closed_error()
        return OnnxDecoder(session, self._shape)

    def _let_go(self) -> None:
        self._session = None


class OnnxDecoder:
    """Rows stand flush left in the cache, each with a length of its own, so no row waits for another's padding."""

    def __init__(self, session: Any, shape: ExpertConfig) -> None:
        self._session, self._shape = session, shape
        self._cache = torch.empty(0)
        self._lengths = torch.empty(0, dtype=torch.int32)
        self._step: _Run | None = None

    @property
    def vocab_size(self) -> int:
        """Logits per row."""
        return self._shape.vocab_size

    @property
    def max_seq_len(self) -> int:
        """The window."""
        return self._shape.max_seq_len

    def start(self, prompts: Sequence[Sequence[int]], capacity: int) -> Tensor:
        """Forget everything, read the prompts: (batch, vocab_size) logits of the token after each."""
        for prompt in prompts:
            require_known(prompt, self.vocab_size)
        shape, longest = self._shape, max(len(prompt) for prompt in prompts)
        self._lengths = torch.tensor([len(prompt) for prompt in prompts], dtype=torch.int32)
        # Zeros: attention multiplies what lies beyond a row's end by 0, which a stray NaN would survive.
        self._cache = torch.zeros(shape.n_layers, 2, len(prompts), shape.n_heads, capacity, shape.head_width)
        run = _Run(self._session, self._cache, longest, self.vocab_size)
        run.input_ids.copy_(torch.tensor([[*prompt, *[0] * (longest - len(prompt))] for prompt in prompts]))
        run.positions.copy_(torch.arange(longest))
        self._step = None
        return run(self._lengths)

    def step(self, token_ids: Tensor) -> Tensor:
        """Add one token to each row: (batch, vocab_size) logits of the next one, overwritten by the next step."""
        if self._step is None:
            self._step = _Run(self._session, self._cache, 1, self.vocab_size)
        self._step.input_ids[:, 0] = token_ids
        self._step.positions[:, 0] = self._lengths
        self._lengths += 1
        return self._step(self._lengths)

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order; a row may come several times or not at all."""
        if list(rows) == list(range(len(self._lengths))):
            return
        index = torch.tensor(rows)
        filled = int(self._lengths.max())
        kept = torch.zeros_like(self._cache[:, :, :1]).repeat(1, 1, len(index), 1, 1, 1)
        kept[..., :filled, :] = self._cache[..., :filled, :].index_select(2, index)
        self._cache, self._lengths, self._step = kept, self._lengths[index], None


class _Run:
    """Inputs and outputs of one shape, bound once: past and present are the same memory, so nothing is copied."""

    def __init__(self, session: Any, cache: Tensor, seq: int, vocab_size: int) -> None:
        batch = cache.shape[2]
        self._session, self._binding = session, session.io_binding()
        self.input_ids = torch.zeros(batch, seq, dtype=torch.int64)
        self.positions = torch.zeros(batch, seq, dtype=torch.int64)
        self._last = torch.zeros(batch, dtype=torch.int32)
        self._total = torch.zeros(1, dtype=torch.int32)
        self._logits = torch.empty(batch, vocab_size)
        self._cache = cache  # the binding knows an address only
        self._bind_input("input_ids", self.input_ids)
        self._bind_input("positions", self.positions)
        self._bind_input("last", self._last)
        self._bind_input("total", self._total)
        self._bind_output("logits", self._logits)
        for number, layer in enumerate(cache):
            for part, tensor in zip(("key", "value"), layer, strict=True):
                self._bind_input(f"past.{number}.{part}", tensor)
                self._bind_output(f"present.{number}.{part}", tensor)

    def __call__(self, lengths: Tensor) -> Tensor:
        """The logits once the rows are `lengths` tokens long."""
        torch.sub(lengths, 1, out=self._last)
        self._total[0] = lengths.max()
        self._session.run_with_iobinding(self._binding)
        return self._logits

    def _bind_input(self, name: str, tensor: Tensor) -> None:
        self._binding.bind_input(name, "cpu", 0, _ELEMENTS[tensor.dtype], tuple(tensor.shape), tensor.data_ptr())

    def _bind_output(self, name: str, tensor: Tensor) -> None:
        self._binding.bind_output(name, "cpu", 0, _ELEMENTS[tensor.dtype], tuple(tensor.shape), tensor.data_ptr())


def _session(runtime: Any, path: Path, threads: int, *, mapped: bool) -> Any:
    options = runtime.SessionOptions()
    if mapped:
        options.add_session_config_entry("session.disable_prepacking", "1")
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3  # errors; what it warns of is the node order that we chose
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
