"""The cluster's programs: built from Go modules at pinned versions into the user's cache, once for each version.

Each folder below `programs/` is one Go module whose go.mod and go.sum pin everything; etcd, Kubernetes and the rest have
dependency graphs that do not mix. Used by the cluster, the API tests' control plane and the demo.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crackseg_local import toolchain
from crackseg_local.command import run
from crackseg_local.errors import LocalClusterError
from crackseg_local.lock import locked
from crackseg_local.paths import cache_folder, source_folder
from crackseg_local.progress import say, step

_LDFLAGS = "-s -w"


@dataclass(frozen=True)
class Module:
    """One Go module below `programs/`: the module it takes its version from, and the programs it builds."""

    folder: str
    upstream: str
    packages: tuple[tuple[str, str], ...]


MODULES = (
    Module("etcd", "go.etcd.io/etcd/server/v3", (("etcd", "go.etcd.io/etcd/server/v3"),)),
    Module(
        "kubernetes",
        "k8s.io/kubernetes",
        (
            ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
            ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
            ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
            ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
            ("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
            ("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
            ("kustomize", "sigs.k8s.io/kustomize/kustomize/v5"),
        ),
    ),
    Module("coredns", "github.com/coredns/coredns", (("coredns", "."),)),
    Module("metrics-server", "sigs.k8s.io/metrics-server", (("metrics-server", "."),)),
    Module("pause", "", (("pause", "."),)),
    Module("helm", "helm.sh/helm/v3", (("helm", "helm.sh/helm/v3/cmd/helm"),)),
    Module("kwok", "sigs.k8s.io/kwok", (("kwok", "sigs.k8s.io/kwok/cmd/kwok"),)),
    Module("versitygw", "github.com/versity/versitygw", (("versitygw", "github.com/versity/versitygw/cmd/versitygw"),)),
)
#: Modules whose go.mod files name one version of whatever they share: its packages are then compiled once for all, which
#: saves minutes of the first build (coredns and helm bring the same Kubernetes client that the rest is made of).
COMPILED_TOGETHER = ("etcd", "kubernetes", "coredns", "metrics-server", "helm")
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
CLUSTER = (*CONTROL_PLANE, "kubelet", "kube-proxy", "coredns", "metrics-server", "pause")
ALL = tuple(name for module in MODULES for name, _ in module.packages)


def module_of(program: str) -> Module:
    """The module that builds a program.

    Raises LocalClusterError for an unknown name, with the known ones.
    """
    for module in MODULES:
        if program in dict(module.packages):
            return module
    raise LocalClusterError(f"No program is called '{program}'. There are: {', '.join(ALL)}")


def module_version(gomod: str, upstream: str) -> str:
    """The version at which a go.mod requires the upstream module; `local` when it requires none."""
    found = re.search(rf"^(?:require)?\s*{re.escape(upstream)} (v\S+)", gomod, re.MULTILINE) if upstream else None
    return found[1] if found else "local"


def build_flags(module: Module, version: str) -> list[str]:
    """The flags that make a small static program which says its own version."""
    ldflags = _LDFLAGS
    if module.folder == "kubernetes":
        major, minor = version.removeprefix("v").split(".")[:2]
        base = "k8s.io/component-base/version"
        ldflags += f" -X {base}.gitVersion={version} -X {base}.gitMajor={major} -X {base}.gitMinor={minor}"
    if module.folder == "helm":
        ldflags += f" -X helm.sh/helm/v3/internal/version.version={version}"
    return ["-trimpath", "-ldflags", ldflags]


def module_folder(module: Module) -> Path:
    """The cache folder of a module's programs, named by everything that decides about their bytes."""
    sources = sorted((source_folder() / "programs" / module.folder).iterdir())
    version = module_version((source_folder() / "programs" / module.folder / "go.mod").read_text(), module.upstream)
    digest = hashlib.sha256(" ".join(build_flags(module, version)).encode())
    for source in sources:
        digest.update(source.read_bytes())
    return cache_folder() / "bin" / f"{module.folder}-{version}-{digest.hexdigest()[:8]}"


def program_path(program: str) -> Path:
    """Where a program is, or will be once it is built."""
    return module_folder(module_of(program)) / program


def bin_folder() -> Path:
    """One folder with a link to each program of this checkout's versions that has been built."""
    versions = "\n".join(str(module_folder(module)) for module in MODULES)
    folder = cache_folder() / "bin" / f"set-{hashlib.sha256(versions.encode()).hexdigest()[:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    for program in ALL:
        link, target = folder / program, program_path(program)
        if target.exists() and not link.exists():
            unfinished = folder / f".{program}.{os.getpid()}"
            unfinished.symlink_to(target)
            unfinished.rename(link)
    return folder


def ensure(programs: Sequence[str]) -> Path:
    """Build the programs that are missing, and return the folder that links to all that are there.

    With one that is compiled together with others come these others: Go's caches are gone afterwards, and whoever asks
    for the next one would compile it all again. Raises LocalClusterError that names the program which did not build.
    """
    if _missing(programs):
        with locked(cache_folder() / "build.lock", "builds programs"):
            _build_missing(_missing(with_companions(_missing(programs))))
    return bin_folder()


def with_companions(programs: Sequence[str]) -> list[str]:
    """The programs, and all of those that any of them is compiled together with."""
    together = [name for module in MODULES if module.folder in COMPILED_TOGETHER for name, _ in module.packages]
    return [name for name in ALL if name in programs or (name in together and not set(together).isdisjoint(programs))]


def _missing(programs: Sequence[str]) -> list[str]:
    return [program for program in programs if not program_path(program).exists()]


def _build_missing(missing: Sequence[str]) -> None:
    go = toolchain.go_program()
    say(f"to build, once for this version: {', '.join(missing)}")
    for program in missing:
        _build(program, go)
    with step("removing the compiler's caches"):
        shutil.rmtree(cache_folder() / "go", ignore_errors=True)


def _go_environment() -> dict[str, str]:
    """Go's own caches are kept apart from the user's, because they are removed after the build."""
    cache = cache_folder() / "go"
    return {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOFLAGS": "-buildvcs=false -modcacherw",
        "GOGC": os.environ.get("GOGC", "300"),  # a fifth less work for the compiler, for some memory
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "GOCACHE": str(cache / "build"),
        "GOMODCACHE": str(cache / "mod"),
    }


def _build(program: str, go: str) -> None:
    """Build one program under a temporary name and move it to its place: a killed build leaves no half a program."""
    module = module_of(program)
    source = source_folder() / "programs" / module.folder
    target = program_path(program)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{program}.{os.getpid()}")
    flags = build_flags(module, module_version((source / "go.mod").read_text(), module.upstream))
    with step(f"building {program} ({target.parent.name})"):
        run(
            ["nice", "-n", "5", go, "build", *flags, "-o", unfinished, dict(module.packages)[program]],
            cwd=source,
            env=_go_environment(),
            advice=f"{program} could not be built from {source}. If a module could not be downloaded, see that the Go "
            "module proxy is reachable (go env GOPROXY) and run the command again: what is built is kept.",
        )
    unfinished.rename(target)
