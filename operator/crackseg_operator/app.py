"""The only wiring: builds the shell's parts, starts and stops them with kopf, and logs in.

Called by `__main__`. Holds no logic of its own; every number stands where it is used.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Coroutine
from typing import Any, Final

import kopf

from crackseg_operator.settings import InvalidSettings, Settings
from crackseg_operator.shell import watch
from crackseg_operator.shell.apply import Applier
from crackseg_operator.shell.events import Recorder
from crackseg_operator.shell.kube import MODELS, WATCHED, Access, ApiError, Kube, Resource, open_session
from crackseg_operator.shell.leader import AlwaysLeader, Leader
from crackseg_operator.shell.reconcile import Follower, Reconciler
from crackseg_operator.shell.resync import Resync
from crackseg_operator.shell.store import Key, Store
from crackseg_operator.shell.telemetry import Endpoints, Health, Metrics
from crackseg_operator.shell.workqueue import WorkQueue, backoff

_log = logging.getLogger(__name__)
_clock = time.monotonic

#: Models reconciled at the same time. Each waits for the API server most of the time.
_WORKERS: Final = 16
_RENEW_CREDENTIALS_EVERY: Final = 60.0  # seconds; a mounted token changes on disk within its last minutes


class App:
    """One operator process."""

    def __init__(self, settings: Settings) -> None:
        """Put the parts together; nothing is under way before `start`. Needs a running event loop."""
        self._settings = settings
        self._store = Store()
        self._queue: WorkQueue[Key] = WorkQueue(_clock)
        self._metrics = Metrics()
        self._kube = Kube(log_in, settings.watch_namespace)
        self._lease_kube = Kube(log_in, None, connections=1)  # never behind a queue of other calls
        self._leader = (
            Leader(self._lease_kube, settings.pod_namespace, settings.pod_name, _clock)
            if settings.leader_election
            else AlwaysLeader()
        )
        self._applier = Applier(self._kube, self._store, self._leader, self._metrics, _clock)
        self.follower = Follower(self._store, self._queue, self._applier)
        self._resync = Resync(self._kube, self._store, self._queue.add)
        self._trace = watch.WatchTrace(settings.watch_namespace, self.follower, self._watch_opened, _clock)
        self._health = Health(self._stuck_for, self._queue.longest_work, self._trace.stale)
        self._endpoints = Endpoints(self._metrics, self._health, self._refresh_gauges)
        self._tasks: list[asyncio.Task[None]] = []
        self.ended = asyncio.Event()  # tells kopf to stop
        self.fault: BaseException | None = None

    async def start(self, kopf_settings: kopf.OperatorSettings) -> None:
        """Connect, take in the whole cluster, then let the workers begin."""
        settings = self._settings
        await self._endpoints.start(settings.metrics_port, settings.health_port)
        watch.configure(kopf_settings, streaming_lists=await self._connect())
        await asyncio.gather(*(self._fill(resource) for resource in WATCHED))
        self._health.started = True
        self._add_all()
        recorder = Recorder(self._kube, settings.pod_name, _clock)
        reconciler = Reconciler(self._kube, self._store, self._queue, self._leader, self._applier, self._metrics)
        self._spawn(recorder.run(), "events")
        self._spawn(self._renew_credentials(), "credentials")
        if isinstance(self._leader, Leader):
            self._spawn(self._leader.run(self._add_all), "leader")
        for number in range(_WORKERS):
            self._spawn(reconciler.work(settings.plan, recorder), f"worker {number}")
        _log.info("Started; %d models", len(self._store.models()))

    async def stop(self) -> None:
        """End what was started, in reverse, and give the Lease up; a second call does nothing."""
        self._resync.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if isinstance(self._leader, Leader):
            await self._leader.release()
        await self._endpoints.stop()
        await self._kube.close()
        await self._lease_kube.close()
        # A watch that kopf cancelled between two events is left half read, and kopf would wait five seconds for it.
        await asyncio.get_running_loop().shutdown_asyncgens()

    def watching_session(self) -> kopf.AiohttpSession:
        """The session of kopf: as many connections as watches, traced."""
        access = log_in()
        session = open_session(access, traces=[self._trace.config()])
        return kopf.AiohttpSession(server=access.server, aiohttp_session=session)

    async def _connect(self) -> bool:
        """Wait for the API server; whether it streams lists (Kubernetes 1.34 and later)."""
        failures = 0
        while True:
            try:
                version = await self._kube.version()
            except ApiError as error:
                failures += 1
                _log.warning("The API server does not answer, trying on: %s", error)
                await asyncio.sleep(min(5.0, backoff(failures + 6)))
            else:
                return version >= (1, 34)

    async def _fill(self, resource: Resource) -> None:
        """List one kind; wait for it where it is missing or not allowed yet."""
        while True:
            try:
                return await self._resync.fill(resource)
            except ApiError as error:
                missing = resource is MODELS and error.status == 404
                hint = "install the CustomResourceDefinition (crds/)" if missing else error
                _log.warning("Waiting for %s: %s", resource.plural, hint)
                await asyncio.sleep(1.0)

    async def _renew_credentials(self) -> None:
        while True:
            await asyncio.sleep(_RENEW_CREDENTIALS_EVERY)
            self._kube.renew()
            self._lease_kube.renew()

    def _watch_opened(self, resource: Resource) -> None:
        self._resync.opened(resource)
        self._queue.hasten()  # the API server answers (again)

    def _add_all(self) -> None:
        for key in self._store.models():
            self._queue.add(key)

    def _stuck_for(self) -> float:
        return self._queue.stuck_for(self._leader.since)  # a standby keeps models waiting for as long as it stands by

    def _refresh_gauges(self) -> None:
        self._metrics.depth.set(len(self._queue))
        self._metrics.age.set(self._queue.oldest_age(self._leader.since))
        self._metrics.leader.set(self._leader.leading)
        self._metrics.models.set(len(self._store.models()))

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._on_end)
        self._tasks.append(task)

    def _on_end(self, task: asyncio.Task[None]) -> None:
        """None of our tasks ends by itself: one that does takes the process with it, to be started again."""
        if not task.cancelled():
            self.fault = task.exception() or RuntimeError(f"the task {task.get_name()!r} ended")
            self.ended.set()


def log_in() -> Access:
    """Credentials from KUBECONFIG, a pod's service account or ~/.kube/config, in this order; raises InvalidSettings."""
    settings = kopf.OperatorSettings()
    in_pod = None if os.environ.get("KUBECONFIG") else kopf.login_with_service_account(settings=settings)
    try:
        info = in_pod or kopf.login_with_kubeconfig(settings=settings)
    except (OSError, KeyError, ValueError, kopf.LoginError) as error:
        raise InvalidSettings(f"KUBECONFIG cannot be used: {error}") from error
    if info is None:
        raise InvalidSettings("No cluster is named: set KUBECONFIG, or run in a pod with a service account.")
    server = _server_in_pod() if in_pod else ""
    return Access(server or info.server, info.as_http_headers(), info.as_ssl_context(), info.proxy_url)


def _server_in_pod() -> str:
    """The address that the kubelet gives every container: the cluster's DNS may be down, and need not be asked."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    return f"https://{f'[{host}]' if ':' in host else host}:{port}" if host else ""


async def run(settings: Settings) -> None:
    """Run the operator until it is told to end."""
    app = App(settings)
    registry = kopf.OperatorRegistry()

    async def start(settings: kopf.OperatorSettings, **_: Any) -> None:
        await app.start(settings)

    async def stop(**_: Any) -> None:
        await app.stop()

    async def login(**_: Any) -> kopf.AiohttpSession:
        return app.watching_session()

    kopf.on.startup(registry=registry)(start)
    kopf.on.cleanup(registry=registry)(stop)
    kopf.on.login(registry=registry)(login)
    watch.register(registry, app.follower)
    namespaces = [settings.watch_namespace] if settings.watch_namespace else []
    # Named, because kopf would ask the system for a user name, and uid 65532 has none.
    identity: Any = settings.pod_name
    await kopf.operator(registry=registry, identity=identity, clusterwide=not namespaces, namespaces=namespaces)
