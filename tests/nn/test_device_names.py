"""Names of devices: known and here, or an error that says what is."""

from typing import Any

import pytest
import torch

from interconnected_ai.errors import ConfigError
from interconnected_ai.nn import device_of


def test_devices_that_are_here_are_taken_by_name() -> None:
    for name in ("cpu", "cpu:0", torch.device("cpu")):
        assert device_of(name).type == "cpu"
    assert torch.ones(1, device=device_of("auto")).sum() == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("potato", "unknown device 'potato'; known: auto, cpu, cuda, cuda:NUMBER, mps"),
        ("meta", "unknown device 'meta'"),
        ("", "unknown device ''"),
        ("CPU", "unknown device 'CPU'"),
        ("cuda:-1", "unknown device 'cuda:-1'"),
        ("cpu:", "unknown device 'cpu:'"),
        ("cpu:1", "which has cpu:0 to cpu:0"),
        ("cuda:999999999999999999999", "is not on this machine"),
        (None, "device=None: needed is a name"),
        (0, "device=0: needed is a name"),
    ],
)
def test_others_are_refused_in_our_own_words(name: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        device_of(name)


@pytest.mark.parametrize(("kind", "num_devices"), [("cuda", 2), ("mps", 1)])
def test_a_number_beyond_the_machine_is_refused(kind: str, num_devices: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: kind == "cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: kind == "mps")
    assert device_of("auto") == torch.device(kind)
    assert device_of(f"{kind}:{num_devices - 1}") == torch.device(kind, num_devices - 1)
    with pytest.raises(ConfigError, match=f"'{kind}:{num_devices}' is not on this machine, which has {kind}:0 to"):
        device_of(f"{kind}:{num_devices}")


@pytest.mark.parametrize("has_mps", [False, True])
def test_auto_takes_nvidias_gpu_first_and_the_cpu_where_there_is_none(
    has_mps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: has_mps)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert device_of("auto") == torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # a driver may count cards that it cannot use
    assert device_of("auto") == torch.device("mps" if has_mps else "cpu")
    with pytest.raises(ConfigError, match="'cuda' is not on this machine; use auto or cpu"):
        device_of("cuda")
