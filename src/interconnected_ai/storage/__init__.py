"""What is on disk: folders and files that are whole or absent, read and written by many at once. Never pickle."""

from interconnected_ai.storage.arrays import load_arrays, save_arrays
from interconnected_ai.storage.files import atomic_file, sha256_of
from interconnected_ai.storage.folders import ANY, AnyVersion, atomic_folder, read_folder, recover, write_folder
from interconnected_ai.storage.gguf import GGUF_SUFFIX, GgufHead, GgufTensor, is_gguf, read_gguf
from interconnected_ai.storage.kinds import ADAPTER, CAUSAL, EXPERT, RECOLLECTION, ROUTER, SYSTEM
from interconnected_ai.storage.locks import lock_path, locked
from interconnected_ai.storage.manifests import (
    FORMAT_VERSION,
    MANIFEST,
    check_folder,
    is_complete,
    state_of,
    version_of,
)
from interconnected_ai.storage.objects import read_json, write_json
from interconnected_ai.storage.outputs import refuse_same, refuse_standing
from interconnected_ai.storage.tensors import PICKLES, load_described_tensors, load_tensors, save_tensors, tensor_shapes

__all__ = [
    "ADAPTER",
    "ANY",
    "CAUSAL",
    "EXPERT",
    "FORMAT_VERSION",
    "GGUF_SUFFIX",
    "MANIFEST",
    "PICKLES",
    "RECOLLECTION",
    "ROUTER",
    "SYSTEM",
    "AnyVersion",
    "GgufHead",
    "GgufTensor",
    "atomic_file",
    "atomic_folder",
    "check_folder",
    "is_complete",
    "is_gguf",
    "load_arrays",
    "load_described_tensors",
    "load_tensors",
    "lock_path",
    "locked",
    "read_folder",
    "read_gguf",
    "read_json",
    "recover",
    "refuse_same",
    "refuse_standing",
    "save_arrays",
    "save_tensors",
    "sha256_of",
    "state_of",
    "tensor_shapes",
    "version_of",
    "write_folder",
    "write_json",
]
