"""kubectl crackseg: how a model is, what it has served, and another try for a version that was taken back.

Installed as `kubectl-crackseg`, so that kubectl finds it on the PATH. Reads and annotates CrackSegModels with the
official client and the user's own rights; knows the vocabulary and nothing else of the operator.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from collections.abc import Sequence
from typing import Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from crackseg_operator.api.names import ANNOTATION_RETRY, GROUP, KIND, PLURAL, VERSION


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one verb. Exit codes: 0 done, 1 the API server says no, 2 the command line is wrong."""
    given = _parser().parse_args(arguments)
    try:
        kubeconfig = config.list_kube_config_contexts()[1]
        config.load_kube_config()
        namespace = given.namespace or kubeconfig["context"].get("namespace", "default")
        api = client.CustomObjectsApi()
        model = api.get_namespaced_custom_object(GROUP, VERSION, namespace, PLURAL, given.name)
        given.verb(api, model)
    except config.ConfigException as error:
        sys.exit(f"kubectl crackseg: no cluster to talk to: {error}")
    except ApiException as error:
        missing = f"there is no {KIND} {given.name!r} here" if error.status == 404 else error.reason
        sys.exit(f"kubectl crackseg: {missing}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kubectl crackseg", description="CrackSegModels: status, history, retry.")
    parser.add_argument("-n", "--namespace", help="default: the namespace of the current context")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for name, verb, what in (
        ("status", status, "what serves, what is tried, and why it stands where it stands"),
        ("history", history, "the versions that have served, and those in quarantine"),
        ("retry", retry, "try the version again that was taken back"),
    ):
        sub = verbs.add_parser(name, help=what)
        sub.add_argument("name", metavar="NAME", help=f"the {KIND}")
        sub.set_defaults(verb=verb)
    return parser


def status(_: client.CustomObjectsApi, model: dict[str, Any]) -> None:
    """What serves, what is tried, and why."""
    known = model.get("status", {})
    print(f"{model['metadata']['namespace']}/{model['metadata']['name']}  {known.get('url', '')}".rstrip())
    for role in ("stable", "candidate"):
        if revision := known.get(role):
            ready = f"{revision.get('readyReplicas', 0)}/{revision.get('replicas', 0)} pods ready"
            print(f"  {role:10} {revision['version']} ({revision['revision']})  {ready}")
    for condition in known.get("conditions", []):
        print(
            f"  {condition['type']:14} {condition['status']:8} {condition['reason']:18} {condition.get('message', '')}"
        )


def history(_: client.CustomObjectsApi, model: dict[str, Any]) -> None:
    """The versions that have served, newest first, then those that failed."""
    known = model.get("status", {})
    for past in known.get("history", []):
        print(
            f"{past['version']:20} {past['revision']:12} served from {past['promoted']}  {past.get('digest', '')}".rstrip()
        )
    for failed in known.get("failedRevisions", []):
        print(
            f"{failed['version']:20} {failed['revision']:12} {failed['reason']} at {failed['at']}: {failed['message']}"
        )


def retry(api: client.CustomObjectsApi, model: dict[str, Any]) -> None:
    """Ask the operator to lift the quarantine and try once more."""
    meta = model["metadata"]
    if not model.get("status", {}).get("failedRevisions"):
        sys.exit(f"kubectl crackseg: {meta['name']} has no failed version to try again")
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    change = {"metadata": {"annotations": {ANNOTATION_RETRY: now}}}
    api.patch_namespaced_custom_object(GROUP, VERSION, meta["namespace"], PLURAL, meta["name"], change)
    print(f"{meta['name']}: version {model['spec']['model']['version']} is tried again")


if __name__ == "__main__":
    main()
