"""The only speaker to the API server: raw JSON over one pooled aiohttp session, static paths, no discovery.

Called by the other rooms of the shell. Decides nothing and retries nothing: a failed call is an ApiError, and whoever
holds the work knows when to try again. Typed client models cost fourteen times the CPU of a dict, so there are none.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from http import HTTPMethod, HTTPStatus
from typing import Any, Final, TypeAlias
from urllib.parse import urlencode

import aiohttp
import orjson
from yarl import URL

from crackseg_operator.api.names import FIELD_MANAGER, GROUP, KIND, LABEL_MANAGED_BY, MANAGED_BY, PLURAL, VERSION

_log = logging.getLogger(__name__)

Object: TypeAlias = Mapping[str, Any]
#: How long a write that starts now may take, in seconds; raises where this process may not write.
Allowed: TypeAlias = Callable[[], float]

#: Short calls under way at the same time, each on a connection of its own. More would only queue in the API server.
CONNECTIONS: Final = 16
_TIMEOUT: Final = aiohttp.ClientTimeout(total=30, sock_connect=5)
_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of the API and where it is found."""

    kind: str
    group: str  # "" for the core group
    version: str
    plural: str

    @property
    def api_version(self) -> str:
        """As in an object's apiVersion."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None, name: str = "") -> str:
        """The path of a collection, or of one object in it; None: all namespaces."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        where = f"/namespaces/{namespace}" if namespace else ""
        return f"{root}{where}/{self.plural}" + (f"/{name}" if name else "")


MODELS: Final = Resource(KIND, GROUP, VERSION, PLURAL)
PODS: Final = Resource("Pod", "", "v1", "pods")
LEASES: Final = Resource("Lease", "coordination.k8s.io", "v1", "leases")
EVENTS: Final = Resource("Event", "events.k8s.io", "v1", "events")

#: The kinds that a CrackSegModel owns. Watched by label, applied, pruned.
CHILDREN: Final = (
    Resource("Deployment", "apps", "v1", "deployments"),
    Resource("Service", "", "v1", "services"),
    Resource("ServiceAccount", "", "v1", "serviceaccounts"),
    Resource("Ingress", "networking.k8s.io", "v1", "ingresses"),
    Resource("NetworkPolicy", "networking.k8s.io", "v1", "networkpolicies"),
    Resource("HorizontalPodAutoscaler", "autoscaling", "v2", "horizontalpodautoscalers"),
    Resource("PodDisruptionBudget", "policy", "v1", "poddisruptionbudgets"),
)
WATCHED: Final = (MODELS, *CHILDREN, PODS)
RESOURCES: Final[Mapping[str, Resource]] = {resource.kind: resource for resource in (*WATCHED, LEASES)}

CHILD_SELECTOR: Final = f"{LABEL_MANAGED_BY}={MANAGED_BY}"


def selector(resource: Resource) -> str:
    """The label selector of lists and watches: children by label, so that memory is bounded by the models."""
    return "" if resource is MODELS else CHILD_SELECTOR


class ApiError(Exception):
    """The API server said no, or said nothing (status 0)."""

    def __init__(
        self, status: int, message: str, *, reason: str = "", causes: Container[str] = (), retry_after: float = 0.0
    ) -> None:
        super().__init__(f"{status} {reason}: {message}" if status else message)
        self.status = status
        self.reason = reason
        self.causes = causes
        self.message = message
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Access:
    """Where the API server is and how to get in."""

    server: str
    headers: Mapping[str, str]
    tls: ssl.SSLContext
    proxy: str | None = None


class Kube:
    """One connection pool to one API server."""

    def __init__(self, login: Callable[[], Access], namespace: str | None, *, connections: int = CONNECTIONS) -> None:
        self.namespace = namespace
        self._login = login
        self._access = login()
        self._session = open_session(self._access)
        self._slots = asyncio.Semaphore(connections)

    async def close(self) -> None:
        """Close the pool."""
        await self._session.close()

    def renew(self) -> None:
        """Read the credentials again; a service account's token changes on disk about once an hour."""
        try:
            self._access = self._login()
        except Exception as error:  # noqa: BLE001 - the old ones may still do; what is wrong is said, not fatal
            _log.warning("The credentials cannot be read again: %s", error)
        self._session.headers.update(self._access.headers)

    async def call(
        self,
        method: HTTPMethod,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        allowed: Allowed | None = None,
    ) -> dict[str, Any]:
        """One call; the answer's JSON. Raises ApiError for every refusal, broken connection and timeout."""
        # Names of objects need no quoting, so the client need not look for what to quote.
        url = URL(f"{self._access.server}{path}" + (f"?{urlencode(query)}" if query else ""), encoded=True)
        data = None if body is None else orjson.dumps(body)
        async with self._slots:  # before the clock starts, and before the right to write is looked at
            limit = _TIMEOUT if allowed is None else aiohttp.ClientTimeout(total=allowed(), sock_connect=5)
            return await self._send(method, url, data, headers, limit)

    async def _send(
        self,
        method: HTTPMethod,
        url: URL,
        data: bytes | None,
        headers: Mapping[str, str] | None,
        limit: aiohttp.ClientTimeout,
    ) -> dict[str, Any]:
        try:
            async with self._session.request(method, url, data=data, headers=headers, timeout=limit) as response:
                raw = await response.read()
                if response.status < HTTPStatus.BAD_REQUEST:
                    answer: dict[str, Any] = orjson.loads(raw)
                    return answer
                if response.status == HTTPStatus.UNAUTHORIZED:
                    self.renew()
                raise _refusal(response.status, raw, response.headers.get("Retry-After", ""))
        except TimeoutError as error:
            raise ApiError(0, f"{method} {url.path}: no answer in time") from error
        except (aiohttp.ClientError, ValueError, RuntimeError) as error:
            raise ApiError(0, f"{method} {url.path}: {str(error) or type(error).__name__}") from error

    async def version(self) -> tuple[int, int]:
        """Major and minor version of the API server."""
        answer = await self.call(HTTPMethod.GET, "/version")
        return int(answer["major"]), int("".join(filter(str.isdecimal, answer["minor"])))

    async def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        """The live object, or None where there is none."""
        try:
            return await self.call(HTTPMethod.GET, resource.path(namespace, name))
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def list(self, resource: Resource, *, cached: bool = False, metadata: bool = False) -> dict[str, Any]:
        """The watched collection; `cached`: as the API server remembers it, `metadata`: without spec and status."""
        query = {}
        if labels := selector(resource):
            query["labelSelector"] = labels
        if cached:
            query["resourceVersion"] = "0"
        headers = {"Accept": _METADATA_ONLY} if metadata else None
        return await self.call(HTTPMethod.GET, resource.path(self.namespace), query=query, headers=headers)

    async def apply(self, wanted: Object, allowed: Allowed) -> dict[str, Any]:
        """Server-side apply of one child with every field in `wanted` ours; the live object after it."""
        meta = wanted["metadata"]
        path = RESOURCES[wanted["kind"]].path(meta["namespace"], meta["name"])
        return await self.call(
            HTTPMethod.PATCH,
            path,
            wanted,
            query={"fieldManager": FIELD_MANAGER, "force": "true"},
            headers={"Content-Type": "application/apply-patch+yaml"},
            allowed=allowed,
        )

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str, allowed: Allowed) -> None:
        """Delete the object with this uid, its own children after it; none there is fine, another uid is 409."""
        body = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        try:
            await self.call(HTTPMethod.DELETE, resource.path(namespace, name), body, allowed=allowed)
        except ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise

    async def put_status(self, model: Object, status: Object, allowed: Allowed) -> dict[str, Any]:
        """Replace the whole status of the model as it was seen; 409 where it has changed since."""
        meta = model["metadata"]
        patch = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": meta["resourceVersion"]},
            {"op": "add", "path": "/status", "value": status},
        ]
        return await self.call(
            HTTPMethod.PATCH,
            MODELS.path(meta["namespace"], meta["name"]) + "/status",
            patch,
            query={"fieldManager": FIELD_MANAGER},
            headers={"Content-Type": "application/json-patch+json"},
            allowed=allowed,
        )


def open_session(access: Access, traces: list[aiohttp.TraceConfig] | None = None) -> aiohttp.ClientSession:
    """A session with the credentials."""
    return aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),  # the API server sets none
        connector=aiohttp.TCPConnector(limit=0, ssl=access.tls, keepalive_timeout=75),
        # Compression costs the API server more time than a cluster's network saves.
        headers={
            "User-Agent": FIELD_MANAGER,
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            **access.headers,
        },
        proxy=access.proxy,
        trace_configs=traces,
    )


def _refusal(status: int, raw: bytes, retry_after: str) -> ApiError:
    try:
        answer = orjson.loads(raw)
        reason, message = str(answer.get("reason", "")), str(answer.get("message", ""))
        causes = [cause.get("reason") for cause in (answer.get("details") or {}).get("causes") or ()]
    except (ValueError, AttributeError):
        reason, message, causes = "", raw[:200].decode(errors="replace"), []
    seconds = float(retry_after) if retry_after.isdecimal() else 0.0
    return ApiError(status, message, reason=reason, causes=causes, retry_after=seconds)
