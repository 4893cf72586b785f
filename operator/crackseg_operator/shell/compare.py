"""Whether a live object already has what we want: every field we send, and no more is looked at.

Called by `apply` before each write. Pure. Fields that others own (defaults, injected sidecars, other managers'
labels) are not compared; lists that Kubernetes merges by key are compared by that key, all others as a whole. Quantities are
equal as text: `core` writes them as the API server does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

#: Path of a field -> its live value, where that is not what we want.
Differences: TypeAlias = dict[str, Any]

#: Lists that server-side apply merges, and the fields that identify an item in them.
_MERGED: Final[Mapping[str, tuple[str, ...]]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "imagePullSecrets": ("name",),
    "ownerReferences": ("uid",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
#: "ports" is merged in a container and in a Service, by other fields; in a NetworkPolicy it is one whole.
_PORT_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "Deployment": ("containerPort", "protocol"),
    "Service": ("port", "protocol"),
}
#: Maps that server-side apply replaces as a whole: one key more is not what we want.
_WHOLE: Final = frozenset(
    {"selector", "matchLabels", "podSelector", "namespaceSelector", "nodeSelector", "scaleTargetRef"}
)
#: Items of a list come without these.
_NOT_IN_LISTS: Final = ("apiVersion", "kind")
_DEFAULTS: Final[Mapping[str, str]] = {"protocol": "TCP"}


def differences(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> Differences:
    """What of `wanted` the live object does not have, by path; empty where nothing needs to be written."""
    fields = {name: value for name, value in wanted.items() if name not in _NOT_IN_LISTS}
    return dict(_compare(live, fields, "", str(wanted.get("kind", ""))))


def _compare(live: Any, wanted: Any, path: str, kind: str) -> Iterator[tuple[str, Any]]:
    if live == wanted:
        return
    if isinstance(wanted, Mapping) and isinstance(live, Mapping):
        if path.rpartition(".")[2] in _WHOLE and live.keys() - wanted.keys():
            yield path, live
            return
        for name, value in wanted.items():
            yield from _compare(live.get(name), value, f"{path}.{name}", kind)
    elif _is_list(wanted) and _is_list(live):
        yield from _compare_lists(live, wanted, path, kind)
    elif wanted or live:  # absent, null, empty, zero and false are one: the API server drops them
        yield path, live


def _compare_lists(live: Sequence[Any], wanted: Sequence[Any], path: str, kind: str) -> Iterator[tuple[str, Any]]:
    field = path.rpartition(".")[2]
    keys = _PORT_KEYS.get(kind) if field == "ports" else _MERGED.get(field)
    if keys is None:
        if len(live) != len(wanted):
            yield path, live
            return
        for index, (there, value) in enumerate(zip(live, wanted, strict=True)):
            yield from _compare(there, value, f"{path}[{index}]", kind)
        return
    by_key = {_identity(item, keys): item for item in live}
    for value in wanted:
        identity = _identity(value, keys)
        yield from _compare(by_key.get(identity), value, f"{path}[{identity[0]}]", kind)


def _identity(item: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(item.get(key, _DEFAULTS.get(key)) for key in keys)


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))
