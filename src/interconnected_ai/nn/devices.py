"""Names of devices, checked before PyTorch sees them: the one place where a room learns whether a device is here."""

import torch

from interconnected_ai.errors import ConfigError

_KNOWN = "auto, cpu, cuda, cuda:NUMBER, mps"


def device_of(name: str) -> torch.device:
    """The device of this name; "auto" is a GPU where there is one. Raises `ConfigError` for a device that is not here."""
    if not isinstance(name, str):
        raise ConfigError(f"device={name!r}: needed is a name: {_KNOWN}")
    if name == "auto":
        return torch.device(next((kind for kind in ("cuda", "mps") if _num_devices(kind)), "cpu"))
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not number.isdecimal()) or name.endswith(":"):
        raise ConfigError(f"unknown device {name!r}; known: {_KNOWN}")
    num_devices = _num_devices(kind)
    if not num_devices:
        raise ConfigError(f"device {name!r} is not on this machine; use auto or cpu")
    if int(number or 0) >= num_devices:
        raise ConfigError(f"device {name!r} is not on this machine, which has {kind}:0 to {kind}:{num_devices - 1}")
    return torch.device(name)


def _num_devices(kind: str) -> int:
    if kind == "cuda":
        return torch.cuda.device_count() if torch.cuda.is_available() else 0
    return 1 if kind == "cpu" or torch.backends.mps.is_available() else 0
