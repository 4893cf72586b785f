"""Quantities are written as the API server writes them (checked against kube-apiserver 1.34 by tests/api)."""

from __future__ import annotations

import pytest

from crackseg_operator.core.quantity import canonical


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("0", "0"),
        ("1", "1"),
        (2, "2"),
        ("500m", "500m"),
        ("0.5", "500m"),
        ("1.5", "1500m"),
        ("1000m", "1"),
        ("2500m", "2500m"),
        ("1024", "1024"),
        ("1000", "1k"),
        ("1500000", "1500k"),
        ("1Gi", "1Gi"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("2048Ki", "2Mi"),
        ("1000Mi", "1000Mi"),
        ("0.5Ki", "512"),
        ("1e3", "1e3"),
        ("1E6", "1e6"),
        ("12e4", "120e3"),
        ("0Gi", "0"),
        ("0.0000000001", "1n"),
        ("many", "many"),
        ("1.2.3", "1.2.3"),
        ("", ""),
    ],
)
def test_one_spelling(written: str | int, kept: str) -> None:
    assert canonical(written) == kept


def test_the_spelling_is_stable() -> None:
    for text in ("0.1Gi", "3.3", "1e-3", "7000Ki", "1Ei"):
        assert canonical(canonical(text)) == canonical(text)
