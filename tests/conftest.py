"""Fixtures that every test may ask for."""

from __future__ import annotations

import os

from hypothesis import settings

pytest_plugins = ("tests.services.fixtures",)

# A gate that rolls dice lets in today what it refused yesterday: there the examples are the same each time. `make fuzz` looks further.
settings.register_profile("gate", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("gate")
