"""Whether an image has to be built again: a key from everything that its Dockerfile copies in.

Pure but for reading files; used by `images`. A key that is the same means that a build would make the same image.
"""

import hashlib
import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

_IGNORED = {"__pycache__", ".git", ".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache"}


def copied_paths(dockerfile: str) -> list[str]:
    """The sources of every COPY and ADD that takes from the build context, in order, each once."""
    found: list[str] = []
    for line in dockerfile.replace("\\\n", " ").splitlines():
        words = _words(line)
        if not words or words[0].upper() not in {"COPY", "ADD"} or any(w.startswith("--from=") for w in words):
            continue
        operands = [word for word in words[1:] if not word.startswith("--")]
        found += [source for source in operands[:-1] if source not in found]
    return found


def files(context: Path, sources: Sequence[str]) -> Iterator[Path]:
    """The files that these sources name, in a stable order."""
    for source in sources:
        pattern = source.strip("/").removeprefix("./")
        for match in [context] if pattern in {"", "."} else sorted(context.glob(pattern)):
            yield from (match,) if match.is_file() else _below(match)


def key(context: Path, dockerfile: Path, also: Sequence[str]) -> str:
    """A digest of the Dockerfile, of every file that it copies with its mode, and of the words in `also`."""
    text = dockerfile.read_text()
    digest = hashlib.sha256("\0".join([text, *also]).encode())
    for path in files(context, copied_paths(text)):
        digest.update(f"\0{path.relative_to(context)}\0{path.stat().st_mode & 0o111}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _words(line: str) -> list[str]:
    """The words of an instruction, whose operands may also be a JSON list."""
    line = line.strip()
    if line.startswith("#"):
        return []
    instruction, _, rest = line.partition(" ")
    try:
        return [instruction, *json.loads(rest)] if rest.strip().startswith("[") else shlex.split(line)
    except ValueError:
        return line.split()


def _below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not _IGNORED.intersection(path.relative_to(folder).parts):
            yield path
