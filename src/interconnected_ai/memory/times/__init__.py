"""Times in questions, and the clocks they are told by."""

from interconnected_ai.memory.times.windows import Window, time_window
from interconnected_ai.memory.times.zones import clock_at, day_at, seconds_at, shown_at, zone_name, zone_of

__all__ = ["Window", "clock_at", "day_at", "seconds_at", "shown_at", "time_window", "zone_name", "zone_of"]
