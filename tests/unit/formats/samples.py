"""Where the folder of real files lies, which is no part of the project: beside it, or where PANJ_SAMPLES says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SAMPLES = Path(os.environ.get("PANJ_SAMPLES") or Path(__file__).parents[4] / "shared" / "samples")

needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the folder of real files is not here (PANJ_SAMPLES names it)")
