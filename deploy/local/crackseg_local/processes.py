"""Long-running programs: started in their own session, found again by a mark in their environment, stopped by pid.

The mark names the state folder that a process belongs to. It is inherited (a container's shim carries it too), so a
process is found even when the tool was killed before it could write the pid file, and a pid that the system has given
to somebody else is never taken for ours. Used by the control plane, the nodes and the take-down.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from crackseg_local.errors import LocalClusterError

MARK = "CRACKSEG_LOCAL_STATE"
_POLL_SECONDS = 0.02
# On a busy machine the kernel now and then answers with nothing when it is asked for a living process's environment.
_LOOKS = 5
_DOUBT_SECONDS = 0.5


@dataclass(frozen=True)
class Process:
    """One program of the cluster, and where its pid and its log are."""

    name: str
    command: tuple[str, ...]
    state: Path
    environment: tuple[tuple[str, str], ...] = field(default=())

    @property
    def pid_file(self) -> Path:
        """Holds the pid of the last start."""
        return self.state / "pids" / f"{self.name}.pid"

    @property
    def log(self) -> Path:
        """Standard output and standard error of every start."""
        return self.state / "logs" / f"{self.name}.log"

    def running_pid(self) -> int | None:
        """The pid, when the process that the pid file names is alive and ours."""
        try:
            pid = int(self.pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        ours = wait_until(lambda: belongs_to(pid, self.state) or not is_alive(pid), _DOUBT_SECONDS)
        return pid if ours and is_alive(pid) else None

    def start(self) -> int:
        """Start the program in its own session and note its pid; an already running one is left alone."""
        running = self.running_pid()
        if running is not None:
            return running
        for folder in (self.pid_file.parent, self.log.parent):
            folder.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, **dict(self.environment), MARK: str(self.state)}
        with self.log.open("ab") as log:
            started = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=self.state,
                start_new_session=True,
            )
        self.pid_file.write_text(str(started.pid))
        _forget(started)
        return started.pid

    def stop(self, *, patience_seconds: float = 5.0) -> None:
        """Ask the program to end, and end it when it does not; nothing happens when it is not running."""
        pid = self.running_pid()
        if pid is not None:
            stop_all([pid], self.state, patience_seconds=patience_seconds)
        self.pid_file.unlink(missing_ok=True)

    def log_tail(self, lines: int = 8) -> str:
        """The last lines of the log, for an error message."""
        try:
            text = self.log.read_bytes()[-8192:].decode(errors="replace")
        except FileNotFoundError:
            return "(no log)"
        return "\n".join(f"    {line[:300]}" for line in text.strip().splitlines()[-lines:])


def _forget(started: subprocess.Popen[bytes]) -> None:
    """Keep Popen from warning that its child outlives it: outliving us is the purpose."""
    started.returncode = 0


def _environment_of(pid: int) -> bytes:
    folder = Path(f"/proc/{pid}")
    try:
        for _ in range(_LOOKS):
            found = (folder / "environ").read_bytes()
            if found or not (folder / "exe").readlink().name:  # the kernel's own threads run no file: OSError
                return found
            time.sleep(_POLL_SECONDS)
    except OSError:
        return b""
    return b""


def is_alive(pid: int) -> bool:
    """Whether the process runs: a zombie has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


def belongs_to(pid: int, state: Path) -> bool:
    """Whether the process is alive and carries the mark of this state folder."""
    entry = f"{MARK}={state}".encode()
    return is_alive(pid) and entry in _environment_of(pid).split(b"\0")


def find_all(state: Path) -> list[int]:
    """Every living process that carries the mark of this state folder, this one excepted."""
    pids = (int(entry) for entry in os.listdir("/proc") if entry.isdigit())  # noqa: PTH208 - names are enough
    return sorted(pid for pid in pids if pid != os.getpid() and belongs_to(pid, state))


def stop_all(pids: Iterable[int], state: Path, *, patience_seconds: float = 5.0) -> None:
    """Send SIGTERM to all, wait, and send SIGKILL to those that remain.

    Raises LocalClusterError when a process survives even that.
    """
    remaining = [pid for pid in pids if belongs_to(pid, state)]
    for number, patience in ((signal.SIGTERM, patience_seconds), (signal.SIGKILL, 10.0)):
        remaining = _signal_all(remaining, number, patience)
        if not remaining:
            return
    raise LocalClusterError(f"The processes {remaining} do not end, not even by SIGKILL. Look at them with: ps -fp PID")


def _signal_all(pids: list[int], number: signal.Signals, patience_seconds: float) -> list[int]:
    """Send a signal to all and return those that are still alive when the patience ends."""
    for pid in pids:
        send(pid, number)
    wait_until(lambda: not any(map(is_alive_or_reap, pids)), patience_seconds)
    return [pid for pid in pids if is_alive(pid)]


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may have ended already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def is_alive_or_reap(pid: int) -> bool:
    """Whether a process runs; one of our own children that has ended is reaped."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return is_alive(pid)


def wait_until(condition: Callable[[], bool], deadline_seconds: float) -> bool:
    """Poll until the condition holds; False when the deadline passes first."""
    end = time.monotonic() + deadline_seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def wait_for(processes: Sequence[Process], ready: Callable[[], bool], what: str, deadline_seconds: float) -> None:
    """Wait until `ready` holds.

    Raises LocalClusterError at once when one of the processes ends before that, and when the deadline passes, with the
    end of the log that tells why.
    """

    def settled() -> bool:
        return ready() or any(process.running_pid() is None for process in processes)

    in_time = wait_until(settled, deadline_seconds)
    for process in processes:
        if process.running_pid() is None:
            raise LocalClusterError(
                f"{process.name} ended before {what}. The end of its log ({process.log}):\n{process.log_tail()}"
            )
    if not in_time:
        process = processes[-1]
        raise LocalClusterError(
            f"Waited {deadline_seconds:.0f} s for this, in vain: {what}. "
            f"The end of {process.log}:\n{process.log_tail()}"
        )
