"""The frozen encoder's outputs on disk: computed once for each text, memory-mapped, keyed by encoder, text and length.

A cache is a folder of segments, each a .npy file of token vectors and an index that is written last. A killed build
goes on where it stopped and writes the same bits: texts are encoded in an order and in batches that depend on the texts
alone.
"""

import hashlib
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from interconnected_ai.arguments import checked
from interconnected_ai.branches import InterconnectedAISystem, batches_by_length
from interconnected_ai.errors import StorageError
from interconnected_ai.nn import in_evaluation, in_lanes
from interconnected_ai.storage import atomic_file

_TEXTS_PER_SEGMENT = 4096
_BATCH = 64


class FeatureCache:
    """Token vectors of texts, as the trunk takes them (with "cls" pooling one vector for each text).

    Any number of trainings may build and read one folder at once, in threads or processes, each with a cache of its own.
    Several threads may read one cache at once; one at a time may build.
    """

    @checked
    def __init__(self, folder: str | Path, system: InterconnectedAISystem) -> None:
        self.system = system
        config = system.config
        position = "cls" if config.pooling == "cls" else "tokens"
        key = f"{system.encoder.outputs_fingerprint[:16]}-{system.encoder.max_seq_len}-{position}"
        self.folder = Path(folder) / key
        self._where: dict[bytes, tuple[int, int, int]] = {}  # text → segment, first token, end token
        self._segments: list[np.ndarray] = []
        self._open_segments()

    def build(self, texts: Iterable[str], progress: Callable[[int, int], None] = lambda done, total: None) -> int:
        """Encode and store the texts that are not stored yet; returns how many those were.

        progress: is told of encoded texts, and how many there will be, after every batch.
        Raises `StorageError` before it begins when the disk is too small.
        """
        missing = sorted({text for text in texts if _digest(text) not in self._where})
        if not missing:
            return 0
        token_ids = self.system.encoder.tokenize(missing)
        order = sorted(range(len(missing)), key=lambda i: (-len(token_ids[i]), missing[i]))
        self._require_space(sum(len(ids) for ids in token_ids))
        for start in range(0, len(order), _TEXTS_PER_SEGMENT):
            chunk = order[start : start + _TEXTS_PER_SEGMENT]
            self._add_segment(
                [missing[i] for i in chunk],
                [token_ids[i] for i in chunk],
                _from(start, len(order), progress),
            )
        return len(missing)

    def read(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Packed token vectors (num_tokens, d_model) and the (batch, seq) mask, as `system(tokens=…)` takes them."""
        places = [self._where[_digest(text)] for text in texts]
        lengths = [end - start for _, start, end in places]
        tokens = np.concatenate([self._segments[segment][start:end] for segment, start, end in places])
        mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
        return torch.from_numpy(tokens), mask

    def pooled(self, texts: Sequence[str], *, progress: Callable[[int, int], None] | None = None) -> Tensor:
        """(num_texts, d_model): `system.encode(texts)`, where the encoder is spared the texts that are stored.

        Equal to it up to rounding, since texts meet in other batches. Nothing is stored. progress: as there, of the texts that
        the encoder is not spared.
        """
        stored = [row for row, text in enumerate(texts) if _digest(text) in self._where]
        missing = [row for row, text in enumerate(texts) if _digest(text) not in self._where]
        trunk, device = in_evaluation(self.system.trunk), self.system.encoder.device
        out = torch.empty(len(texts), self.system.encoder.d_model, device=device)
        with torch.inference_mode():
            for batch in batches_by_length([self._length(texts[row]) for row in stored], _BATCH):
                rows = [stored[place] for place in batch]
                tokens, mask = self.read([texts[row] for row in rows])
                out[rows] = trunk(tokens.to(device), mask.to(device))[0].to(out.dtype)
        if missing:
            out[missing] = self.system.encode([texts[row] for row in missing], progress=progress)
        return out.clone()  # a plain tensor: inference tensors cannot be learnt from

    def _length(self, text: str) -> int:
        _, start, end = self._where[_digest(text)]
        return end - start

    @property
    def num_bytes(self) -> int:
        """Size of the stored vectors."""
        return sum(segment.nbytes for segment in self._segments)

    def _add_segment(
        self, texts: Sequence[str], token_ids: Sequence[Sequence[int]], progress: Callable[[int], None]
    ) -> None:
        """Write these texts' vectors, unless a training beside us has, and open them.

        The name follows from the texts: trainings with other texts write other files, those with the same write the same.
        """
        digests = [_digest(text) for text in texts]
        name = f"segment-{hashlib.sha256(b''.join(digests)).hexdigest()[:16]}"
        if not (self.folder / f"{name}.index.npz").is_file():
            self._write_segment(name, digests, token_ids, progress)
        self._open_segment(name)

    def _write_segment(
        self,
        name: str,
        digests: Sequence[bytes],
        token_ids: Sequence[Sequence[int]],
        progress: Callable[[int], None],
    ) -> None:
        vectors, lengths = self._encode(token_ids, progress)
        with atomic_file(self.folder / f"{name}.npy") as scratch, scratch.open("wb") as file:
            np.save(file, vectors)
        table = np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(len(digests), -1)
        with atomic_file(self.folder / f"{name}.index.npz") as scratch, scratch.open("wb") as file:
            np.savez(file, digests=table, lengths=lengths)

    def _encode(
        self, token_ids: Sequence[Sequence[int]], progress: Callable[[int], None]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Token vectors one after another, and how many each text has. progress: is told of texts after every batch."""
        encoder = self.system.encoder.eval()

        def encoded(start: int) -> tuple[np.ndarray, np.ndarray]:
            with torch.inference_mode():
                tokens, kept = self.system.encode_tokens(*encoder.pad(token_ids[start : start + _BATCH]))
            return tokens.float().cpu().numpy(), kept.sum(dim=1).cpu().numpy()

        starts = range(0, len(token_ids), _BATCH)
        on_cpu = encoder.device.type == "cpu" and encoder.computes_in_parts
        vectors, lengths = [], []
        for start, found in zip(starts, (in_lanes if on_cpu else map)(encoded, starts), strict=True):
            vectors.append(found[0])
            lengths.append(found[1])
            progress(min(start + _BATCH, len(token_ids)))
        return np.concatenate(vectors), np.concatenate(lengths)

    def _open_segments(self) -> None:
        for index in sorted(self.folder.glob("segment-*.index.npz")):
            self._open_segment(index.name.removesuffix(".index.npz"))

    def _open_segment(self, name: str) -> None:
        vectors = np.load(self.folder / f"{name}.npy", mmap_mode="r")
        with np.load(self.folder / f"{name}.index.npz") as index:
            ends = np.cumsum(index["lengths"])
            for digest, end, length in zip(index["digests"], ends.tolist(), index["lengths"].tolist(), strict=True):
                self._where[digest.tobytes()] = (len(self._segments), end - length, end)
        self._segments.append(vectors)

    def _require_space(self, num_tokens: int) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        needed = num_tokens * self.system.encoder.d_model * 4
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise StorageError(
                f"the feature cache needs {needed / 1e9:.2f} GB in {self.folder}, {free / 1e9:.2f} GB are free; free some "
                "space, set training.feature_cache to another disk, or training.cache_features to false"
            )


def _from(start: int, total: int, progress: Callable[[int, int], None]) -> Callable[[int], None]:
    """Tells of the texts of one segment as a part of all that are encoded."""
    return lambda done: progress(start + done, total)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16]
