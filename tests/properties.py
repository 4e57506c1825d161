"""How many examples a property is tried on: few and always the same; with HYPOTHESIS_PROFILE=nightly many, and new ones.

`@examples(40)` stands where `@hypothesis.settings(max_examples=40)` would; the profile decides the rest.
"""

import os
from typing import Any

from hypothesis import settings

STEADY, NIGHTLY = "steady", "nightly"
# A nightly run tries this many times the usual number.
NIGHTLY_FACTOR = 20
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", STEADY)

settings.register_profile(STEADY, derandomize=True, deadline=None)
settings.register_profile(NIGHTLY, derandomize=False, deadline=None, print_blob=True)
settings.load_profile(PROFILE)


def examples(usual: int, **other: Any) -> settings:
    """Settings of a property: `usual` examples, or many times as many in a nightly run; other settings as hypothesis has
    them."""
    return settings(max_examples=usual * (NIGHTLY_FACTOR if PROFILE == NIGHTLY else 1), **other)
