"""The device of a training: one that is here, and without a number."""

import pytest
import torch

from interconnected_ai.errors import ConfigError
from interconnected_ai.training.devices import choose


def test_a_device_that_cannot_be_is_named() -> None:
    assert choose("cpu", "float32").device == torch.device("cpu")
    with pytest.raises(ConfigError, match="unknown device 'potato'; known: auto, cpu, cuda"):
        choose("potato", "float32")
    with pytest.raises(ConfigError, match="'cuda:1' has a number; choose among several GPUs with CUDA_VISIBLE_DEVICES"):
        choose("cuda:1", "float32")
