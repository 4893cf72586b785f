"""Settings from the environment."""

from __future__ import annotations

import pytest

from crackseg_operator.settings import InvalidSettings, load


def test_nothing_need_be_set():
    settings = load({})
    assert settings.watch_namespace is None
    assert settings.leader_election
    assert (settings.metrics_port, settings.health_port) == (9090, 8081)
    assert settings.plan.serving_image.startswith("crackseg-serving:")
    assert settings.plan.serving_image_gpu == settings.plan.serving_image


def test_what_is_set_is_taken():
    settings = load(
        {"SERVING_IMAGE": "a", "SERVING_IMAGE_GPU": "b", "WATCH_NAMESPACE": "roads", "LEADER_ELECTION": "Disabled"}
    )
    assert (settings.plan.serving_image, settings.plan.serving_image_gpu) == ("a", "b")
    assert settings.watch_namespace == "roads"
    assert not settings.leader_election


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("METRICS_PORT", "-1"),
        ("HEALTH_PORT", "65536"),
        ("LOG_LEVEL", "LOUD"),
        ("LEADER_ELECTION", "true"),
        ("IMAGE_PULL_POLICY", "Sometimes"),
        ("WATCH_NAMESPACE", "Not A Namespace"),
    ],
)
def test_a_bad_value_is_refused_in_a_sentence_that_names_it(name: str, value: str):
    with pytest.raises(InvalidSettings, match=f"{name} is '{value}', but must be"):
        load({name: value})
