"""Where people read on: addresses made of templates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

INCIDENT_LINK = "{public_url}/api/v1/incidents/{incident}"
STEP_LINK = "{public_url}/api/v1/graph?focus={node}"
_PLACEHOLDER = re.compile(r"\{(\w*)\}")
_KNOWN = ("public_url", "incident", "node", "name")


@dataclass(frozen=True, slots=True)
class Links:
    """Templates with ``{public_url}``, ``{incident}``, ``{node}`` (the id of the failing step in the lineage graph) and
    ``{name}`` (of that step)."""

    public_url: str
    incident: str = INCIDENT_LINK
    step: str = STEP_LINK

    def of_incident(self, document: Mapping[str, Any]) -> str:
        """The address of an incident."""
        return self._made(self.incident, document)

    def of_step(self, document: Mapping[str, Any]) -> str:
        """The address of the step that broke first; of the one where it was noticed, as long as that is not known."""
        return self._made(self.step, document)

    def _made(self, template: str, document: Mapping[str, Any]) -> str:
        node = failing_step(document)
        known = {
            "public_url": self.public_url,
            "incident": quote(str(document["id"]), safe=""),
            "node": quote(node, safe=""),
            "name": quote(step_name(node), safe=""),
        }
        return _PLACEHOLDER.sub(lambda found: known.get(found[1], found[0]), template)


def template_problem(template: str) -> str | None:
    """Why it is no template of an address; null where it is one."""
    unknown = [name for name in _PLACEHOLDER.findall(template) if name not in _KNOWN]
    if unknown:
        return f"{{{unknown[0]}}} is not known: there are {', '.join(f'{{{name}}}' for name in _KNOWN)}"
    if not template.startswith(("{public_url}", "https://", "http://")):
        return "must start with {public_url}, https:// or http://"
    return None


def failing_step(document: Mapping[str, Any]) -> str:
    """The id of the node that broke first, else of the one where it was noticed."""
    cause, related = document.get("cause"), document.get("related")
    named = cause is not None and any(each.get("named") for each in cause["ranking"])
    return str(related[0]) if named and related else str(document["breach"]["node"])


def step_name(node: str) -> str:
    """``orders`` of ``dataset:kafka://broker:9092/orders``."""
    return unquote(node.rpartition("/")[2]) or node
