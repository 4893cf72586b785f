"""Values: equal, hashed and shown by what is in them, and never assigned to."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, field, replace
from pathlib import Path

import pytest

from crackseg_serving.values import value

pytestmark = pytest.mark.serving

ROOT = Path(__file__).parents[2]


@value
class Size:
    height: int
    width: int = 5
    note: str = field(default="", compare=False)

    @property
    def area(self) -> int:
        return self.height * self.width


@value
class Area:
    height: int
    width: int = 5


@value
class Loud:
    text: str

    def __repr__(self) -> str:
        return self.text.upper()


def test_a_value_is_equal_to_what_has_the_same_in_it():
    assert Size(3) == Size(3, 5, note="not compared")
    assert Size(3) != Size(4)
    assert Size(3) != Area(3)
    assert Size(3) != (3, 5)
    assert Loud("a") == Loud("a")


def test_equal_values_are_one_key():
    assert len({Size(3), Size(3, note="x"), Size(4), Area(3)}) == 3
    with pytest.raises(TypeError):
        hash(Size([3]))  # type: ignore[arg-type]


def test_a_value_shows_what_is_in_it_unless_it_says_itself():
    assert repr(Size(3)) == "Size(height=3, width=5, note='')"
    assert repr(Loud("a")) == "A"


def test_a_value_is_a_dataclass_with_slots():
    assert replace(Size(3), width=2).area == 6
    assert asdict(Area(3)) == {"height": 3, "width": 5}
    assert not hasattr(Size(3), "__dict__")


@pytest.mark.parametrize(
    ("line", "word"),
    [
        pytest.param("facts.width = 3", "read-only", id="assigned to"),
        pytest.param("ImageFacts('PNG')", "Missing positional", id="made without what it needs"),
    ],
)
def test_the_type_checker_takes_values_for_frozen(tmp_path: Path, line: str, word: str):
    program = tmp_path / "program.py"
    program.write_text(f"from crackseg_serving.imaging import ImageFacts\nfacts = ImageFacts('PNG', 1, 2)\n{line}\n")
    command = [sys.executable, "-m", "mypy", "--follow-imports", "silent", str(program)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    assert word in said, said
