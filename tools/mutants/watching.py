# ruff: noqa: D102 (pytest's hooks say what they are by name)
"""pytest plugins of a run in a nursery's child: what runs which lines for how long, and only the tests that matter."""

from collections import defaultdict
from collections.abc import Collection, Generator
from pathlib import Path

import coverage
import pytest

EVERYBODY = "*"  # the context of a fixture that several test files may share


class Survey:
    """Seconds of every test, and for every source file which tests run which lines.

    What a fixture of a module or a session does counts for every test of that module or session, not only for the one
    that happens to come first.
    """

    def __init__(self, source: Path) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed: list[str] = []
        self._context = ""
        self._coverage = coverage.Coverage(data_file=None, source=[str(source)], branch=False, config_file=False)

    def __enter__(self) -> "Survey":
        self._coverage.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._coverage.stop()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: object) -> Generator[None, object, object]:
        self._enter(item.nodeid)
        try:
            return (yield)
        finally:
            self._enter("")

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[object]) -> Generator[None, object, object]:
        test = self._context
        if fixturedef.scope in {"class", "module"}:
            self._enter(f"{test.split('::')[0]}::{EVERYBODY}")
        elif fixturedef.scope != "function":
            self._enter(EVERYBODY)
        try:
            return (yield)
        finally:
            self._enter(test)

    def _enter(self, context: str) -> None:
        self._context = context
        self._coverage.switch_context(context)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration
        if report.failed:
            self.failed.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)

    def contexts(self) -> dict[str, dict[int, list[str]]]:
        """file → line → contexts (tests, `file::*` or `*`)."""
        data = self._coverage.get_data()
        return {
            file: {line: _known(contexts) for line, contexts in data.contexts_by_lineno(file).items()}
            for file in data.measured_files()
        }


def _known(contexts: Collection[str]) -> list[str]:
    """Whose line it is. What runs outside of tests alone, as a module's constants do, is everybody's."""
    return [context for context in contexts if context] or [EVERYBODY]


class Chosen:
    """Runs these tests alone, in this order, and keeps the first failure."""

    def __init__(self, tests: Collection[str]) -> None:
        self._place = {test: place for place, test in enumerate(tests)}
        self.num_run = 0
        self.failed: str | None = None
        self.why = ""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((i for i in items if i.nodeid in self._place), key=lambda i: self._place[i.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.num_run += report.when == "call"
        self._keep(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._keep(report)

    def _keep(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.failed and self.failed is None:
            lines = report.longreprtext.strip().splitlines()
            self.failed, self.why = report.nodeid, lines[-1][:300] if lines else ""
