"""What an expert takes of its own while its weights stay in their file. No torch."""

from interconnected_ai.config import ExpertConfig

_SESSION_BYTES, _LAYER_BYTES = 400_000, 70_000  # graph, kernels, plan and tokenizer, measured


def mapped_bytes(shape: ExpertConfig) -> int:
    """Private bytes of ONNX Runtime on mapped weights: the session, its nodes, and norms and biases, which are copied."""
    return _SESSION_BYTES + shape.n_layers * (_LAYER_BYTES + 4 * (12 * shape.d_model + shape.inner))
