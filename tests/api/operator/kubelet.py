"""Plays the kubelet: makes the pods of a namespace ready, or fail as their version's label asks for.

The Deployment controller is real; only the pods have no node. A pod without a node is deleted at once when asked.
"""

from __future__ import annotations

import threading
from typing import Any, Self

from kubernetes.client.exceptions import ApiException
from tests.api.operator.cluster import Space
from urllib3.exceptions import HTTPError

READY: dict[str, Any] = {"ready": True, "started": True, "restartCount": 0, "state": {"running": {}}}
PULL_FAILED: dict[str, Any] = {
    "ready": False,
    "restartCount": 0,
    "state": {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "crackseg-serving:test"'}},
}


class Kubelet(threading.Thread):
    """Looks at all pods of one namespace, ten times a second."""

    def __init__(self, space: Space) -> None:
        super().__init__(daemon=True)
        self.space = space
        self.broken: set[str] = set()  # versions whose image cannot be pulled
        self._ended = threading.Event()
        self._done: dict[str, bool] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        while not self._ended.wait(0.1):
            try:
                for pod in self.space.list("Pod"):
                    self._play(pod)
            except (ApiException, HTTPError, OSError):
                continue  # the pod or the API server went away meanwhile

    def _play(self, pod: dict[str, Any]) -> None:
        meta = pod["metadata"]
        broken = meta["labels"].get("crackseg.io/model-version") in self.broken
        if self._done.get(meta["uid"]) == broken or meta.get("deletionTimestamp"):
            return
        ready = "False" if broken else "True"
        conditions = ("PodScheduled", "True"), ("Initialized", "True"), ("ContainersReady", ready), ("Ready", ready)
        containers = pod["spec"]["containers"]
        status = {
            "phase": "Pending" if broken else "Running",
            "conditions": [{"type": kind, "status": value} for kind, value in conditions],
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": "",
                    **(PULL_FAILED if broken else READY),
                }
                for container in containers
            ],
        }
        self.space.patch("Pod", meta["name"], {"status": status}, sub="/status")
        self._done[meta["uid"]] = broken
