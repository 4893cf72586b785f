"""The OpenAPI document is true: the same paths as the routes, and a real server keeps what it promises when asked at random."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import positive_data_acceptance
from tests.serving.process import ServerProcess

from crackseg_serving.http.openapi import build
from crackseg_serving.http.routes import ROUTES

SCHEMA = schemathesis.openapi.from_dict(build())
OPERATIONS = [operation.ok() for operation in SCHEMA.get_all_operations()]


def test_the_document_has_the_paths_of_the_routes():
    described = {path: {method.upper() for method in methods} for path, methods in build()["paths"].items()}
    assert described == {path: set(handlers) for path, handlers in ROUTES.items()}


@pytest.mark.serving
def test_the_server_gives_the_document(server: ServerProcess):
    assert server.ask("GET", "/openapi.json").json == build()


@pytest.mark.serving
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_the_server_keeps_what_the_document_promises(server: ServerProcess, operation):
    """Statuses, types and bodies of answers are as described, no request breaks the server, and nonsense is refused."""

    # That valid data is accepted cannot be asked: no schema says which bytes are an image, or fit a tensor's shape.
    @settings(
        max_examples=20,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def ask(case):
        if "model" in (case.path_parameters or {}) and case.path_parameters["model"] != "pavement":
            case.path_parameters["model"] = "pavement" if len(case.path_parameters["model"]) % 2 else "road"
        answer = case.call_and_validate(
            base_url=f"http://127.0.0.1:{server.port}",
            timeout=60,
            excluded_checks=[positive_data_acceptance, not_a_server_error],
        )

        assert answer.status_code != 500, answer.text  # 501 and 503 are answers, and described

    ask()
    assert server.ask("GET", "/ready").status == 200
