"""Words that may not appear, and words that must: the vocabulary is explained to the people who meet it."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from crackseg_operator.api import names
from crackseg_operator.core import conditions
from crackseg_serving import contract

ROOT = Path(__file__).parents[2]

#: Names that say nothing about what is in the file.
EMPTY = re.compile(r"manager|helper|util|common|misc", re.IGNORECASE)
#: Addresses of package registries: every installation names its own, through its own configuration.
REGISTRIES = re.compile(
    r"pypi\.org|pythonhosted\.org|(proxy|sum)\.golang\.org|npmjs\.(org|com)|deb\.debian\.org|static\.crates\.io"
)
#: Folders of one machine.
MACHINES = re.compile(r"(?<![\w.$~}])/(work|home/\w+|root/(?!\.cache/pip))(/|\b)")

#: Tests that name these words to forbid them.
FORBIDDING = {"tests/contract/test_words.py", "tests/models/test_samples.py"}


@cache
def committed() -> list[Path]:
    """Files under version control, or, without it, all that is there."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]
    except (OSError, subprocess.CalledProcessError):
        folders = ("operator", "serving", "deploy", "docs", "tests", "crds")
        return [file for folder in folders for file in (ROOT / folder).rglob("*") if file.is_file()]


@cache
def texts() -> dict[str, str]:
    found = {}
    for file in committed():
        try:
            found[str(file.relative_to(ROOT))] = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
    return found


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in texts().items()
        if name not in FORBIDDING and not name.endswith((".sum", ".lock"))
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_file_and_no_class_has_a_name_that_says_nothing():
    files = [name for name in texts() if name.endswith(".py") and EMPTY.search(Path(name).stem)]
    classes = [
        f"{name}: {found}"
        for name, text in texts().items()
        if name.endswith(".py")
        for found in re.findall(r"^class (\w+)", text, re.MULTILINE)
        if EMPTY.search(found)
    ]
    assert files + classes == []


@pytest.mark.parametrize("pattern", [pytest.param(REGISTRIES, id="registries"), pytest.param(MACHINES, id="machines")])
def test_no_committed_file_names(pattern: re.Pattern[str]):
    assert lines_with(pattern) == []


def test_every_reason_is_explained_with_what_to_do():
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", (ROOT / "docs/reasons.md").read_text(), re.MULTILINE)
    assert [row[0] for row in rows] == sorted({row[0] for row in rows}, key=[row[0] for row in rows].index)
    assert {row[0] for row in rows} == {reason.value for reason in names.Reason}
    assert [row[0] for row in rows if len(row[1]) < 20 or len(row[2]) < 7] == []


def test_every_condition_is_explained():
    text = (ROOT / "docs/rollout.md").read_text()
    assert [condition.value for condition in names.Condition if f"`{condition.value}`" not in text] == []


def test_what_the_server_reports_is_a_reason_of_the_operator():
    assert {reason.value for reason in names.Reason} >= contract.REPORTED_REASONS


def test_reasons_of_models_are_those_that_the_server_reports():
    assert {reason.value for reason in conditions._MODEL_REASONS} <= contract.REPORTED_REASONS


def test_every_metric_of_the_operator_is_documented():
    text = (ROOT / "docs/operator.md").read_text()
    assert [metric.value for metric in names.Metric if metric.value not in text] == []
