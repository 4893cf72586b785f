"""Ratios that the tests have measured, for a table at the end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

RATIOS = pytest.StashKey[list[tuple[str, float, float]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RATIOS] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if ratios := config.stash.get(RATIOS, []):
        terminalreporter.section("beside a bare loop: requests a second, CPU a request")
        for what, rate, cpu in ratios:
            terminalreporter.write_line(f"{rate:7.2f} {cpu:7.2f}  {what}")


@pytest.fixture(scope="session")
def print_ratio(pytestconfig: pytest.Config) -> Callable[[str, float, float], None]:
    """Print a pair of ratios in the table at the end."""
    return lambda what, rate, cpu: pytestconfig.stash[RATIOS].append((what, rate, cpu))
