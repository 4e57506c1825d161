"""Names of devices: what is here, what is not, and what no machine has."""

import re

import pytest
import torch

from interconnected_ai.errors import ConfigError
from interconnected_ai.nn.devices import device_of


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A machine with so many GPUs of NVIDIA and, or not, one of Apple."""
    num_gpus, has_mps = request.param
    monkeypatch.setattr(torch.cuda, "is_available", lambda: num_gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: num_gpus)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: has_mps)


def machines(*names: tuple[int, bool]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("machine", names, indirect=True)


@pytest.mark.usefixtures("machine")
@machines((0, False))
def test_without_a_gpu_auto_is_the_cpu() -> None:
    assert device_of("auto") == torch.device("cpu")


@pytest.mark.usefixtures("machine")
@machines((0, True))
def test_auto_takes_apples_gpu_where_there_is_no_other() -> None:
    assert device_of("auto") == device_of("mps") == torch.device("mps")


@pytest.mark.usefixtures("machine")
@machines((1, False), (2, True))
def test_auto_takes_nvidias_gpu_first() -> None:
    assert device_of("auto") == torch.device("cuda")


@pytest.mark.usefixtures("machine")
@machines((2, False))
@pytest.mark.parametrize("name", ["cpu", "cpu:0", "cuda", "cuda:0", "cuda:1"])
def test_a_device_that_is_here_is_given_as_named(name: str) -> None:
    assert device_of(name) == torch.device(name)


@pytest.mark.usefixtures("machine")
@machines((2, False))
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cuda:2", "'cuda:2' is not on this machine, which has cuda:0 to cuda:1"),
        ("cpu:1", "'cpu:1' is not on this machine, which has cpu:0 to cpu:0"),
        ("mps", "'mps' is not on this machine; use auto or cpu"),
        ("potato", "unknown device 'potato'; known: auto, cpu, cuda, cuda:NUMBER, mps"),
        ("cuda:", "unknown device 'cuda:'"),
        ("cuda:-1", "unknown device 'cuda:-1'"),
        ("cuda:one", "unknown device 'cuda:one'"),
        ("", "unknown device ''"),
        (None, "device=None: needed is a name: auto, cpu"),
        (0, "device=0: needed is a name"),
    ],
)
def test_what_is_not_here_is_said_with_what_is(name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        device_of(name)


@pytest.mark.usefixtures("machine")
@machines((0, True))
def test_gpus_are_not_counted_where_there_are_none() -> None:
    with pytest.raises(ConfigError, match="'cuda' is not on this machine; use auto or cpu"):
        device_of("cuda")
