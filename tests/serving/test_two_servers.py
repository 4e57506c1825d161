"""Two servers beside each other: each has a folder of its own, for what outlives it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason='needs the extra "serving"')

from tests.serving.halls import Waiting, call

from interconnected_ai.config import ServingConfig
from interconnected_ai.errors import BusyError
from interconnected_ai.experts import ExpertPool, TextExpert
from interconnected_ai.serving import Hall, ServerThread


def test_a_second_server_on_the_same_folder_is_refused_and_the_first_serves_on(tmp_path: Path) -> None:
    pool: ExpertPool[TextExpert]
    with ExpertPool(10) as pool:
        pool.add("waiting", Waiting, num_bytes=1)
        hall, config = Hall(experts=pool), ServingConfig(port=0, state=str(tmp_path / "kept" / "state"))

        def another() -> str:
            with ServerThread(hall, config) as server:
                return server.url

        with ThreadPoolExecutor(1) as beside:
            with ServerThread(hall, config) as first:
                with pytest.raises(BusyError, match="serving"):
                    beside.submit(another).result()
                assert call(first.url, "/healthz")[0] == 200
            assert beside.submit(another).result()  # the first has ended


def test_servers_that_keep_nothing_stand_beside_each_other() -> None:
    pool: ExpertPool[TextExpert]
    with ExpertPool(10) as pool:
        pool.add("waiting", Waiting, num_bytes=1)
        hall = Hall(experts=pool)
        with ServerThread(hall, ServingConfig(port=0)) as first, ServerThread(hall, ServingConfig(port=0)) as second:
            assert [call(each.url, "/healthz")[0] for each in (first, second)] == [200, 200]
