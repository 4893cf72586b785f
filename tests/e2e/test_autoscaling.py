"""A real HorizontalPodAutoscaler on real CPU load: it writes the model's scale, and the Ingress goes on answering."""

from __future__ import annotations

import time

from tests.e2e.spaces import model

from crackseg_demo import answers
from crackseg_demo.follow import serves
from crackseg_demo.load import constant_load

HOST = "hpa.e2e.localhost"


def test_the_number_of_pods_follows_the_load(here, photograph, note):
    metrics = [{"type": "CPU", "averageUtilizationPercent": 50}]
    here.given(
        model("busy", autoscaling={"minReplicas": 1, "maxReplicas": 3, "metrics": metrics}, exposure={"host": HOST})
    )
    first = here.wait("busy", serves("1.0.0"))
    answers.wait_for_route(here.target(HOST))

    began = time.monotonic()
    with constant_load(here.target(HOST), photograph, per_second=10) as load:
        grown = here.wait(
            "busy", lambda seen: seen["spec"]["replicas"] > 1 and seen["status"]["readyReplicas"] > 1, 300
        )
        note("the autoscaler's second pod ready", time.monotonic() - began)
        load.wait_for("1.0.0", load.answered["1.0.0"] + 10)
    assert load.failures == []
    assert grown["status"]["stable"]["revision"] == first["status"]["stable"]["revision"]
    scaler = here.kubectl.json("get", "hpa", "busy")
    assert scaler["spec"]["scaleTargetRef"] == {
        "apiVersion": "crackseg.io/v1alpha1",
        "kind": "CrackSegModel",
        "name": "busy",
    }
