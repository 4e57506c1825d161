"""What was measured on this machine, kept in the user's config folder."""

import os
from pathlib import Path

from interconnected_ai.errors import ConfigError, StorageError
from interconnected_ai.planner.devices.device import Device
from interconnected_ai.storage import atomic_file


def calibration_path() -> Path:
    """Where this machine's calibration is kept: in $IAI_HOME, or the user's config folder ($XDG_CONFIG_HOME, ~/.config)."""
    if home := os.environ.get("IAI_HOME"):
        return Path(home) / "calibration.yaml"
    folder = os.environ.get("XDG_CONFIG_HOME") or (os.environ.get("APPDATA") if os.name == "nt" else None)
    return (Path(folder) if folder else Path.home() / ".config") / "interconnected_ai" / "calibration.yaml"


def load_calibration(path: str | Path | None = None) -> Device | None:
    """The calibrated device that `save_calibration` stored; None where none was made.

    Raises `ConfigError` when the file is damaged or of another version.
    """
    path = Path(path) if path is not None else calibration_path()
    if not path.is_file():
        return None
    remedy = f"remove {path} and measure again with: iai plan calibrate"
    try:
        device = Device.from_file(path)
    except ConfigError as error:
        raise ConfigError(f"the stored calibration cannot be read; {remedy}\n{error}") from error
    if device.calibration is None:
        raise ConfigError(f"{path} holds a device without a calibration; {remedy}")
    return device


def save_calibration(device: Device, path: str | Path | None = None) -> Path:
    """Store a calibrated device, whole or not at all; returns where. Raises `StorageError` when it cannot be written."""
    if device.calibration is None:
        raise ConfigError(f"{device.name!r} has no calibration to store; measure it first: iai plan calibrate")
    path = Path(path) if path is not None else calibration_path()
    try:
        with atomic_file(path) as scratch:
            scratch.write_text(device.to_yaml(), encoding="utf-8")
    except StorageError as error:
        raise StorageError(f"{error}; or set IAI_HOME to a folder that can be written") from error
    return path
