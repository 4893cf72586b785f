"""The operator's configuration: environment variables -> one frozen object, or one sentence that says which is wrong.

Read once by `__main__`; handed on by `app`. Knows no cluster. docs/operator.md has the same table for people.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from crackseg_operator import __version__
from crackseg_operator.core.plan import Settings as PlanSettings

_NAMESPACE_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_DNS_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class InvalidSettings(Exception):  # noqa: N818 - it reads as what it says
    """A variable's value cannot be used; the text names the variable, the value and the remedy."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How this process runs. Ports are 0 where the endpoint is off."""

    plan: PlanSettings
    watch_namespace: str | None  # None: all namespaces
    leader_election: bool
    pod_name: str  # identity in the Lease
    pod_namespace: str  # where the Lease is
    metrics_port: int
    health_port: int
    log_level: str


def load(environment: Mapping[str, str]) -> Settings:
    """The settings in `environment`; raises InvalidSettings."""
    image = environment.get("SERVING_IMAGE") or f"crackseg-serving:{__version__}"
    pull_policy = _choice(environment, "IMAGE_PULL_POLICY", ("IfNotPresent", "Always", "Never"))
    return Settings(
        plan=PlanSettings(
            serving_image=image,
            serving_image_gpu=environment.get("SERVING_IMAGE_GPU") or image,
            image_pull_policy=pull_policy,
        ),
        watch_namespace=_namespace(environment, "WATCH_NAMESPACE") or None,
        leader_election=_choice(environment, "LEADER_ELECTION", ("Enabled", "Disabled")) == "Enabled",
        # Two processes on one machine must differ; two lives of one pod must not, so a restart keeps its Lease.
        pod_name=environment.get("POD_NAME") or f"{socket.gethostname()}-{os.getpid()}",
        pod_namespace=_namespace(environment, "POD_NAMESPACE") or _own_namespace(),
        metrics_port=_port(environment, "METRICS_PORT", 9090),
        health_port=_port(environment, "HEALTH_PORT", 8081),
        log_level=_choice(environment, "LOG_LEVEL", ("INFO", "DEBUG", "WARNING", "ERROR")),
    )


def _choice(environment: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    value = environment.get(name) or choices[0]
    if value not in choices:
        raise InvalidSettings(f"{name} is {value!r}, but must be one of {', '.join(choices)}.")
    return value


def _port(environment: Mapping[str, str], name: str, default: int) -> int:
    value = environment.get(name) or str(default)
    if not value.isdecimal() or int(value) > 65535:
        raise InvalidSettings(f"{name} is {value!r}, but must be a port number from 1 to 65535, or 0 for none.")
    return int(value)


def _namespace(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "")
    if value and not _DNS_LABEL.fullmatch(value):
        raise InvalidSettings(f"{name} is {value!r}, but must be the name of a namespace.")
    return value


def _own_namespace() -> str:
    try:
        return _NAMESPACE_FILE.read_text(encoding="utf-8").strip() or "default"
    except OSError:
        return "default"
