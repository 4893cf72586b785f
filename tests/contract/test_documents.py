"""Documents: their links lead somewhere, and the generated ones are what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")])
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)#\s]+)?(#[^)\s]+)?\)|!\[[^\]]*\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {"#" + re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path):
    broken = []
    for target, anchor, picture in LINK.findall(
        re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    ):
        path = target or picture
        if path.startswith(("http://", "https://", "mailto:")):
            continue
        aim = page.parent / path if path else page
        if not aim.exists() or (anchor and aim.suffix == ".md" and anchor not in anchors(aim)):
            broken.append(path + anchor)
    assert broken == []


def test_the_documents_that_people_look_for_are_there():
    wanted = ["LICENSE", "CONTRIBUTING.md", "CHANGELOG.md", "docs/architecture.md", "docs/reasons.md", "docs/api.md"]
    assert [name for name in wanted if not (ROOT / name).is_file()] == []
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert "END OF TERMS AND CONDITIONS" in (ROOT / "LICENSE").read_text()


def test_the_changelog_knows_the_version():
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert f"## {version[1]}" in (changes := (ROOT / "CHANGELOG.md").read_text()) or "## Unreleased" in changes
    assert version[1] in (ROOT / "operator/crackseg_operator/__init__.py").read_text()


def test_every_decision_has_a_number_of_its_own_and_bears_it():
    records = sorted((ROOT / "docs/decisions").glob("*.md"))
    numbers = [int(re.match(r"# (\d+)\. ", path.read_text(encoding="utf-8"))[1]) for path in records]
    assert numbers == [int(path.name[:4]) for path in records] == list(range(1, len(records) + 1))
