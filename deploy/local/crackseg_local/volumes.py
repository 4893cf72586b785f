"""Persistent volumes for trying `pvc://`: a folder of the machine, seen by both nodes, bound to a claim.

Called by `__main__`, tests and the demo. A real cluster has a storage class for this; here the nodes share a disk.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from crackseg_local.cluster import Cluster
from crackseg_local.errors import LocalClusterError
from crackseg_local.progress import say


def objects(namespace: str, name: str, folder: Path) -> list[dict[str, Any]]:
    """A volume for this one claim, and the claim."""
    volume = f"{namespace}-{name}"
    common = {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "",
    }
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume},
            "spec": {
                **common,
                "capacity": {"storage": "1Gi"},
                "hostPath": {"path": str(folder), "type": "Directory"},
                "persistentVolumeReclaimPolicy": "Retain",
                "claimRef": {"namespace": namespace, "name": name},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {**common, "volumeName": volume, "resources": {"requests": {"storage": "1Gi"}}},
        },
    ]


def create(cluster: Cluster, claim: str, source: str) -> Path:
    """Copy the files of `source` into a volume and claim it as NAMESPACE/NAME; a second call renews the files.

    Returns the volume's folder. Raises LocalClusterError for a malformed claim or a folder that is not there.
    """
    namespace, _, name = claim.partition("/")
    if not namespace or not name:
        raise LocalClusterError(f"'{claim}' is no claim. Write it as NAMESPACE/NAME, for example default/models")
    if not Path(source).is_dir():
        raise LocalClusterError(f"There is no folder {source} to take the volume's files from.")
    folder = cluster.state.volumes / namespace / name
    shutil.copytree(source, folder, dirs_exist_ok=True)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    documents = "\n---\n".join(map(json.dumps, objects(namespace, name, folder)))
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=documents)
    wait = ["--for=jsonpath={.status.phase}=Bound", "--timeout=120s"]
    cluster.kubectl("wait", "persistentvolumeclaim", name, f"--namespace={namespace}", *wait)
    say(f"the claim {claim} holds the files of {source}")
    return folder
