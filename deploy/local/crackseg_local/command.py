"""Running other programs to their end, with errors that say which one failed and how.

Used by every module that calls openssl, ip, kubectl, go or buildah. Long-running programs are `processes`' business.
"""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from crackseg_local.errors import LocalClusterError

_TAIL_LINES = 12


def run(
    arguments: Sequence[str | Path],
    *,
    stdin: str | bytes = "",
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    advice: str = "",
) -> str:
    """Run a program and return its standard output.

    Raises LocalClusterError with the last lines it printed, and with `advice`, when it exits with another code than 0 or
    is not installed.
    """
    command = [str(argument) for argument in arguments]
    data = stdin.encode() if isinstance(stdin, str) else stdin
    try:
        done = subprocess.run(command, input=data, cwd=cwd, env=env, capture_output=True, check=False)
    except FileNotFoundError as missing:
        raise LocalClusterError(f"The program '{command[0]}' is not installed. {advice}".strip()) from missing
    if done.returncode != 0:
        printed = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        tail = "\n    ".join(printed[-_TAIL_LINES:]) or "(it printed nothing)"
        raise LocalClusterError(
            f"'{' '.join(command[:6])}' failed with exit code {done.returncode}:\n    {tail}\n{advice}".rstrip()
        )
    return done.stdout.decode(errors="replace")


def succeeds(arguments: Sequence[str | Path]) -> bool:
    """Whether a program is there and exits with 0; what it prints is of no interest."""
    command = [str(argument) for argument in arguments]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
