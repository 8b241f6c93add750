"""Fingerprints of findings: the same for the same problem, whenever and by whichever worker it is found."""

from __future__ import annotations

import hashlib
import json


def finding_fingerprint(*parts: str | int | None) -> str:
    """32 hexadecimal digits. The parts are told apart whatever they contain."""
    return hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode()).hexdigest()[:32]
