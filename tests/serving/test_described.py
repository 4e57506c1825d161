"""The description of the API against the server: whatever schemathesis makes of it is answered as the description says."""

from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason='needs the extra "serving"')
pytest.importorskip("re2")
pytest.importorskip("schemathesis", reason='needs the extra "dev"')

from tests.serving.own_halls import own_server

from interconnected_ai.bench.serving.fuzz import FuzzSizes, fuzz
from properties import NIGHTLY, NIGHTLY_FACTOR, PROFILE

IS_NIGHTLY = PROFILE == NIGHTLY


def test_no_answer_is_one_that_the_description_does_not_allow(tmp_path: Path) -> None:
    sizes = FuzzSizes(examples=5 * (NIGHTLY_FACTOR if IS_NIGHTLY else 1), edges=IS_NIGHTLY, seconds=None)
    with own_server(tmp_path, max_new_tokens=8, max_seconds=5, body_seconds=2) as (url, _):
        num_cases, found = fuzz(url, sizes)
    assert found == []
    assert num_cases > 100
