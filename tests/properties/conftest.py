"""How hard the properties are searched: `HYPOTHESIS_PROFILE=long` for a night, else what fits into every test run."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

COMMON = {"deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": True}
settings.register_profile("short", max_examples=30, stateful_step_count=30, **COMMON)
settings.register_profile("long", max_examples=2000, stateful_step_count=60, **COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))
