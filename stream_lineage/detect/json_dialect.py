"""Drafts of JSON Schema: which keywords count in which.

A schema that does not say its draft is taken for draft 7, as registries do, unless it uses a keyword that only later
drafts have. Keywords that a draft does not know are no assertions in it, so they are not looked at.
"""

from __future__ import annotations

from typing import Any

DRAFT_4, DRAFT_6, DRAFT_7, DRAFT_2019, DRAFT_2020 = 4, 6, 7, 8, 9

_SINCE = {
    **dict.fromkeys(("const", "contains", "propertyNames"), DRAFT_6),
    **dict.fromkeys(("if", "then", "else"), DRAFT_7),
    **dict.fromkeys(("dependentRequired", "dependentSchemas", "unevaluatedProperties", "unevaluatedItems"), DRAFT_2019),
    **dict.fromkeys(("minContains", "maxContains"), DRAFT_2019),
    **dict.fromkeys(("prefixItems", "$dynamicRef"), DRAFT_2020),
    "$recursiveRef": DRAFT_2019,
}
_MARKS_OF_NEWER = frozenset(name for name, since in _SINCE.items() if since >= DRAFT_2019) | {
    "$defs",
    "$anchor",
    "$dynamicAnchor",
}


def counts(keyword: str, draft: int) -> bool:
    """Whether a keyword asserts something in a draft."""
    return draft >= _SINCE.get(keyword, DRAFT_4)


def draft_of(schema: Any, otherwise: int | None = None) -> int:
    """The draft of a whole document; ``otherwise`` where it does not say."""
    said = schema.get("$schema") if isinstance(schema, dict) else None
    if isinstance(said, str):
        for mark, draft in (
            ("draft-03", DRAFT_4),
            ("draft-04", DRAFT_4),
            ("draft-06", DRAFT_6),
            ("draft-07", DRAFT_7),
            ("2019-09", DRAFT_2019),
            ("2020-12", DRAFT_2020),
            ("/next", DRAFT_2020),
        ):
            if mark in said:
                return draft
    if otherwise is not None:
        return otherwise
    return DRAFT_2020 if _uses_newer(schema) else DRAFT_7


def _uses_newer(schema: Any) -> bool:
    pending = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            if not _MARKS_OF_NEWER.isdisjoint(node):
                return True
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)
    return False
