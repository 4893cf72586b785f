"""The story that `make demo` tells, chapter by chapter; each raises StepFailed where it does not hold."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from crackseg_demo import answers, photographs, terminal
from crackseg_demo.clusters import REPOSITORY, Cluster, cluster
from crackseg_demo.follow import follow, rolled_back, serves
from crackseg_demo.install import NAMESPACE as OPERATOR_NAMESPACE
from crackseg_demo.install import helm_command, install_operator
from crackseg_demo.kubectl import Kubectl
from crackseg_demo.load import Tally, Target, constant_load
from crackseg_demo.photographs import Photograph
from crackseg_demo.store import FOLDER, put, start_store
from crackseg_demo.terminal import StepFailed, bad, chapter, done, say, step

NAMESPACE = "crackseg-demo"
NAME = "pavement"
HOST = "pavement.localhost"
SAMPLES = REPOSITORY / "deploy" / "samples"
OUT = REPOSITORY / "out"
_SERVED_FIRST = 3  # requests that both ends of a rollout see at least


@dataclass(frozen=True)
class Stage:
    """Where the story plays: the cluster, the demo's namespace in it, and the way in."""

    cluster: Cluster
    kubectl: Kubectl
    target: Target


def tell(kind: str, photos: Path | None) -> None:
    """The whole story. Raises StepFailed at the first thing that does not hold."""
    pictures = photographs.from_folder(photos or SAMPLES / "photographs")
    chapter(f"A Kubernetes cluster ({kind}) with the images of operator and server")
    with cluster(kind, lambda line: say(line, "dim")) as found:
        stage = Stage(found, found.kubectl.within(NAMESPACE), Target(found.ingress, HOST))
        done(f"kubeconfig {found.kubectl.kubeconfig}, Ingress at {found.ingress}")
        _install(stage)
        _store(stage)
        _first_version(stage)
        _segment(stage, pictures[:1], "A photograph through the Ingress")
        _second_version(stage, pictures[0])
        _segment(stage, pictures, "What version 2 sees")
        _broken_version(stage, pictures[0])
        _farewell(stage)


def _install(stage: Stage) -> None:
    chapter("The operator, installed with helm")
    terminal.command(["helm", *helm_command(stage.cluster)])
    with step("CustomResourceDefinition, permissions and operator"):
        install_operator(stage.cluster)
    stage.cluster.kubectl.within(OPERATOR_NAMESPACE).show("get", "pods")


def _store(stage: Stage) -> None:
    chapter("A place for models: a small web server in the cluster")
    if stage.cluster.kubectl.find("namespace", NAMESPACE):
        with step("removing what an earlier demo left"):
            stage.cluster.kubectl("delete", "namespace", NAMESPACE, "--wait", "--timeout=120s")
    stage.cluster.kubectl("create", "namespace", NAMESPACE)
    with step("starting it"):
        start_store(stage.kubectl, stage.cluster.images.serving)
    for version in ("1.0.0", "2.0.0"):
        put(stage.kubectl, f"pavement-{version}.onnx", (SAMPLES / f"pavement-{version}.onnx").read_bytes())
    good = (SAMPLES / "pavement-2.0.0.onnx").read_bytes()
    put(stage.kubectl, "pavement-3.0.0.onnx", good[: len(good) * 2 // 3])
    done("pavement-1.0.0.onnx, pavement-2.0.0.onnx, and a pavement-3.0.0.onnx whose last third is missing")


def _apply(stage: Stage, file: str) -> None:
    terminal.command(["kubectl", "apply", "-n", NAMESPACE, "-f", f"deploy/demo/{file}"])
    say(stage.kubectl("apply", f"--filename={FOLDER / file}").strip())


def _first_version(stage: Stage) -> None:
    chapter("Version 1: one YAML")
    say((FOLDER / "pavement-1.yaml").read_text().rstrip(), "dim")
    _apply(stage, "pavement-1.yaml")
    follow(stage.kubectl, NAME, serves("1.0.0"), 120)
    stage.kubectl.show("get", "csm")


def _segment(stage: Stage, pictures: list[Photograph], title: str) -> None:
    chapter(title)
    OUT.mkdir(exist_ok=True)
    answers.wait_for_route(stage.target)
    say(f"POST {stage.target.url}/v1/segment   Host: {stage.target.host}", "blue")
    agreements = [photographs.show(stage.target, picture, OUT) for picture in pictures]
    known = [agreement for agreement in agreements if agreement is not None]
    if len(known) > 1:
        done(f"{len(known)} photographs with a true mask: mean IoU {sum(known) / len(known):.2f}")


def _second_version(stage: Stage, picture: Photograph) -> None:
    chapter("Version 2, under constant load")
    with constant_load(stage.target, answers.middle(picture.content)) as tally:
        tally.wait_for("1.0.0", _SERVED_FIRST)
        _apply(stage, "pavement-2.yaml")
        follow(stage.kubectl, NAME, serves("2.0.0"), 180)
        tally.wait_for("2.0.0", _SERVED_FIRST)
    _judge(tally)
    stage.kubectl.show("get", "csm")


def _broken_version(stage: Stage, picture: Photograph) -> None:
    chapter("Version 3 is broken: the operator takes it back by itself")
    with constant_load(stage.target, answers.middle(picture.content)) as tally:
        tally.wait_for("2.0.0", _SERVED_FIRST)
        _apply(stage, "pavement-3-broken.yaml")
        follow(stage.kubectl, NAME, rolled_back("3.0.0"), 180)
        tally.wait_for("2.0.0", tally.answered["2.0.0"] + _SERVED_FIRST)
    _judge(tally)
    if tally.answered["3.0.0"]:
        raise StepFailed(f"{tally.answered['3.0.0']} requests reached the broken version.")
    stage.kubectl.show("get", "csm")
    ours = f"--field-selector=involvedObject.kind=CrackSegModel,involvedObject.name={NAME}"
    stage.kubectl.show("get", "events", ours, "--sort-by=.metadata.creationTimestamp")


def _judge(tally: Tally) -> None:
    """Say how the load went; raises StepFailed where a request failed."""
    say(
        f"{tally.sentence()}; half of them slower than {tally.latency(50) * 1000:.0f} ms, 1 % than {tally.latency(99) * 1000:.0f} ms"
    )
    if tally.failed:
        bad(f"number of failed requests: {tally.failed}")
        raise StepFailed("Requests failed:\n" + "\n".join(tally.failures))
    done("number of failed requests: 0")


def _farewell(stage: Stage) -> None:
    chapter("Everything held. What to try next")
    kubeconfig = stage.cluster.kubectl.kubeconfig
    kubectl = Path(stage.cluster.kubectl.program)
    on_path = kubectl.parent.as_posix() in os.environ.get("PATH", "").split(":")
    setup = [f"export KUBECONFIG={kubeconfig}"] + ([] if on_path else [f"export PATH={kubectl.parent}:$PATH"])
    say("\n".join(setup), "blue")
    for command, meaning in (
        (f"kubectl -n {NAMESPACE} get csm -o wide -w", "watch it"),
        (f"kubectl -n {NAMESPACE} edit csm {NAME}", "change something: another version, replicas, resources"),
        (f"kubectl -n {NAMESPACE} scale csm {NAME} --replicas=3", "more pods"),
        (f"kubectl -n {NAMESPACE} delete deployment --all", "break something: it is repaired"),
        ("kubectl explain csm.spec --recursive", "every field, described"),
        ("PHOTOS=FOLDER make demo", "your own photographs (with FOLDER/images and FOLDER/masks: compared)"),
        (stage.cluster.remove, "remove everything"),
    ):
        say(f"{terminal.paint(f'{command:<62}', 'blue')} {meaning}")
