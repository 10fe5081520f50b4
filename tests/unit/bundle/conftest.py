"""The receiving side's trust, for all tests of bundles."""

from __future__ import annotations

import pytest

from broker.trust.anchors import TrustStore
from tests.unit.bundle.senders import AF_ROOT, TJ_ROOT
from tests.unit.trust.certificates import trust_in


@pytest.fixture(scope="session")
def trust(tmp_path_factory: pytest.TempPathFactory) -> TrustStore:
    return trust_in(tmp_path_factory.mktemp("trust"), tj=TJ_ROOT, af=AF_ROOT)
