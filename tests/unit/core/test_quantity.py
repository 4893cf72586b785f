"""Quantities are written so that the API server leaves them as they are.

The right-hand sides were compared with k8s.io/apimachinery 0.34, which returns each of them unchanged.
"""

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
        ("1e3", "1k"),
        ("1E6", "1M"),
        ("12e4", "120k"),
        ("0Gi", "0"),
        ("937.5Ki", "960k"),
        ("0.0000000001", "1m"),
        ("1.500", "1500m"),
        ("0.1Gi", "107374182400m"),
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
