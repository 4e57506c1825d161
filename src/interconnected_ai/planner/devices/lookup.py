"""A device by its name: in the user's own rows, in the table, or the machine we run on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interconnected_ai.config import settings_in
from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.planner.devices.detection import THIS_MACHINE, this_machine
from interconnected_ai.planner.devices.device import Device
from interconnected_ai.planner.devices.names import compacted, named, with_part
from interconnected_ai.planner.devices.table import DEVICES


def find_device(name: str, own: str | Path | Mapping[str, Any] | None = None) -> Device:
    """The device of that name: in the user's own rows first, then in the table; "this machine" is the one we run on.

    Case, blanks and hyphens do not count, "NVIDIA" may be left out, and a part is enough where only one device has it
    ("4090"). own: a YAML file of rows, or one row as a mapping. Raises `ConfigError` when several devices have that
    part ("A100"), `UnknownNameError` when none has.
    """
    mine = _own_rows(own)
    if compacted(name) in ("thismachine", "this", "here", "local", "cpu") and not named(name, mine):
        return this_machine()
    if exact := named(name, mine) or named(name, DEVICES):
        return exact
    near = with_part(name, mine) or with_part(name, DEVICES)
    if len(near) > 1:
        listed = ", ".join(repr(device.name) for device in near)
        raise ConfigError(f"device {name!r} is not clear, several have that name: {listed}; write one of these")
    if not near:
        raise UnknownNameError("device", name, [THIS_MACHINE, *(device.name for device in (*mine, *DEVICES))])
    return near[0]


def read_devices(path: str | Path) -> tuple[Device, ...]:
    """A user's own rows: a YAML file with one row, or a list of rows; keys as in `Device`."""
    rows = settings_in(path, what="device file", remedy="write one with name, kind, memory_bytes, …")
    if isinstance(rows, Mapping):
        return (Device.from_mapping(rows, source=str(path)),)
    if not isinstance(rows, list) or not rows:
        raise ConfigError(f"{path}: needs a row (a mapping) or a list of rows, got {type(rows).__name__}")
    return tuple(Device.from_mapping(row, source=f"{path}, row {i}") for i, row in enumerate(rows, start=1))


def _own_rows(own: str | Path | Mapping[str, Any] | None) -> tuple[Device, ...]:
    if own is None:
        return ()
    if isinstance(own, Mapping):
        return (Device.from_mapping(own, source="device"),)
    return read_devices(own)
