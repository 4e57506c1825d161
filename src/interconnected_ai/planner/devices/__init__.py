"""Devices: what a GPU, a CPU or an Apple chip can do and costs; a user's own rows; and this machine.

To add one, add a row to `table`, or write it into a YAML file and give that to `find_device`.
"""

from interconnected_ai.planner.devices.calibration import calibration_path, load_calibration, save_calibration
from interconnected_ai.planner.devices.detection import this_machine
from interconnected_ai.planner.devices.device import PRECISIONS, Calibration, Device
from interconnected_ai.planner.devices.lookup import find_device, read_devices
from interconnected_ai.planner.devices.table import DEVICES

__all__ = [
    "DEVICES",
    "PRECISIONS",
    "Calibration",
    "Device",
    "calibration_path",
    "find_device",
    "load_calibration",
    "read_devices",
    "save_calibration",
    "this_machine",
]
