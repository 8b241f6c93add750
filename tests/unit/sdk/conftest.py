"""One broker for all tests of the SDK's clients."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from sdk_broker import Broker


@pytest.fixture(scope="session")
def broker() -> Broker:
    return Broker()
