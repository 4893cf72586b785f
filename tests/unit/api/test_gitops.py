"""What Argo CD and Flux make of a status: the script in docs/argo-cd.md, run by a real Lua."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from lupa.lua53 import LuaRuntime

PAGE = (Path(__file__).parents[3] / "docs/argo-cd.md").read_text(encoding="utf-8")
BLOCKS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
SCRIPT = BLOCKS[0]["data"]["resource.customizations.health.crackseg.io_CrackSegModel"]


def condition(
    kind: str, status: str, reason: str = "Serving", message: str = "2 of 2 pods are ready."
) -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def health(status: dict[str, Any] | None, generation: int = 3) -> tuple[str, str]:
    lua = LuaRuntime(unpack_returned_tuples=True)
    model: dict[str, Any] = {"metadata": {"generation": generation}}
    if status is not None:
        model["status"] = status
    run = lua.eval(f"function(obj) {SCRIPT} end")
    answer = run(lua.table_from(model, recursive=True))
    return answer["status"], answer["message"]


@pytest.mark.parametrize(
    ("status", "wanted", "message"),
    [
        pytest.param(None, "Progressing", "operator", id="no operator has seen it"),
        pytest.param({}, "Progressing", "operator", id="an empty status"),
        pytest.param(
            {"observedGeneration": 2, "conditions": [condition("Ready", "True")]},
            "Progressing",
            "see the change",
            id="well, but of an older spec",
        ),
        pytest.param(
            {"observedGeneration": 3, "conditions": [condition("Ready", "True"), condition("Available", "True")]},
            "Healthy",
            "Serving: 2 of 2",
            id="serving",
        ),
        pytest.param(
            {
                "observedGeneration": 3,
                "conditions": [condition("Ready", "False", "Shifting"), condition("Reconciling", "True", "Shifting")],
            },
            "Progressing",
            "Shifting: ",
            id="in mid-rollout",
        ),
        pytest.param(
            {
                "observedGeneration": 3,
                "conditions": [
                    condition("Ready", "False", "DigestMismatch", "Version 3 was taken back."),
                    condition("Available", "True"),
                    condition("Stalled", "True", "DigestMismatch", "Version 3 was taken back."),
                    condition("RolledBack", "True", "DigestMismatch"),
                ],
            },
            "Degraded",
            "DigestMismatch: Version 3 was taken back.",
            id="taken back, the old version serving",
        ),
    ],
)
def test_argo_cd_judges(status: dict[str, Any] | None, wanted: str, message: str):
    verdict, told = health(status)
    assert verdict == wanted
    assert message in told


def test_flux_is_given_one_expression_for_each_outcome():
    (check,) = BLOCKS[1]["spec"]["healthCheckExprs"]
    assert (check["apiVersion"], check["kind"]) == ("crackseg.io/v1alpha1", "CrackSegModel")
    assert {"inProgress", "failed", "current"} < check.keys()
