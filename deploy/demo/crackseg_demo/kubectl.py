"""kubectl, the way a person uses it: every look at the cluster and every change goes through the program itself.

Used by the whole demo and by the end-to-end tests. Raises StepFailed with kubectl's own complaint.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any

from crackseg_demo import terminal
from crackseg_demo.terminal import StepFailed

_POLL_SECONDS = 0.3


@dataclass(frozen=True)
class Kubectl:
    """kubectl with a kubeconfig and, where it is given, a namespace."""

    program: str
    kubeconfig: Path
    namespace: str = ""

    def within(self, namespace: str) -> Kubectl:
        """The same kubectl for one namespace."""
        return Kubectl(self.program, self.kubeconfig, namespace)

    def command(self, *arguments: str) -> list[str]:
        """The whole command line."""
        namespace = [f"--namespace={self.namespace}"] if self.namespace else []
        return [self.program, f"--kubeconfig={self.kubeconfig}", *namespace, *arguments]

    def attempt(self, *arguments: str, stdin: str | bytes = "") -> subprocess.CompletedProcess[str]:
        """Run it and return whatever came of it."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        ended = subprocess.run(self.command(*arguments), input=data, capture_output=True, check=False)
        out, err = (stream.decode(errors="replace") for stream in (ended.stdout, ended.stderr))
        return subprocess.CompletedProcess(ended.args, ended.returncode, out, err)

    def __call__(self, *arguments: str, stdin: str | bytes = "") -> str:
        """Run it and return what it printed; raises StepFailed."""
        ended = self.attempt(*arguments, stdin=stdin)
        if ended.returncode != 0:
            raise StepFailed(f"kubectl {' '.join(arguments)}\n{(ended.stderr or ended.stdout).strip()}")
        return ended.stdout

    def json(self, *arguments: str) -> dict[str, Any]:
        """An object, or a list of objects."""
        found: dict[str, Any] = json.loads(self(*arguments, "--output=json"))
        return found

    def find(self, kind: str, name: str) -> dict[str, Any] | None:
        """The object, or None where there is none."""
        text = self("get", kind, name, "--ignore-not-found", "--output=json")
        found: dict[str, Any] | None = json.loads(text) if text.strip() else None
        return found

    def items(self, kind: str, *arguments: str) -> list[dict[str, Any]]:
        """All objects of a kind."""
        found: list[dict[str, Any]] = self.json("get", kind, *arguments)["items"]
        return found

    def apply(self, objects: str) -> str:
        """Apply YAML or JSON."""
        return self("apply", "--filename=-", stdin=objects)

    def show(self, *arguments: str) -> None:
        """Run it in front of the reader: the command as one would type it, and what it prints."""
        namespace = ["-n", self.namespace] if self.namespace else []
        terminal.command(["kubectl", *arguments[:1], *namespace, *arguments[1:]])
        terminal.say(self(*arguments).rstrip())

    def watch(self, kind: str, name: str, seconds: float) -> Iterator[dict[str, Any]]:
        """The object now and after each change, until the time is over or the reader stops listening."""
        arguments = self.command("get", kind, name, "--watch", "--output=json")
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            timer = Timer(seconds, process.terminate)
            timer.start()
            try:
                yield from _documents(process)
            finally:
                timer.cancel()
                process.terminate()


def _documents(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """What kubectl writes: indented JSON objects one after the other; each ends with a closing brace in the first column."""
    lines: list[str] = []
    for line in process.stdout or ():
        lines.append(line)
        if line.startswith("}"):
            yield json.loads("".join(lines))
            lines.clear()


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll until the condition holds; raises StepFailed when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise StepFailed(f"Waited {seconds:.0f} s in vain for this: {what}")
        time.sleep(_POLL_SECONDS)
