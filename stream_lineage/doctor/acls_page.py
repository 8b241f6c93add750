"""Writes the ACLs into ``docs/security.md``: ``python -m stream_lineage.doctor.acls_page docs/security.md``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from stream_lineage.doctor.acls import ROLES, Grant, commands, grants
from stream_lineage.settings import Settings, load_settings

_EXAMPLE = {"include": ("orders",), "tap": ("orders",)}
_PRINCIPAL = "User:lineage"


def page(text: str) -> str:
    """The page with what stands between its marks made anew."""
    settings = load_settings(_EXAMPLE, {})
    return _between(_between(text, "acls", _table(settings)), "commands", _commands(settings))


def _table(settings: Settings) -> str:
    lines = ["| who | resource | operations | for what |", "| --- | --- | --- | --- |"]
    for role, meaning in ROLES.items():
        lines.append(f"| **{role}** | | | {meaning} |")
        lines += [_row(grant) for grant in grants(settings) if grant.role == role]
    return "\n".join(lines)


def _row(grant: Grant) -> str:
    kind = "prefix" if grant.prefixed else "name"
    optional = " (optional)" if grant.optional else ""
    operations = ", ".join(grant.operations)
    return f"| | {grant.resource} `{grant.name}` ({kind}) | {operations}{optional} | {grant.why} |"


def _commands(settings: Settings) -> str:
    told, lines = None, []
    found = grants(settings)
    printed = commands(found, principal=_PRINCIPAL, bootstrap_servers=settings.kafka.bootstrap_servers)
    for grant, line in zip(found, printed, strict=True):
        if grant.role != told:
            told = grant.role
            lines.append(f"# {told}")
        lines.append(line)
    return "\n".join(["```sh", *lines, "```"])


def _between(text: str, mark: str, content: str) -> str:
    found = re.compile(rf"(<!-- {mark}: begin -->\n).*?(<!-- {mark}: end -->)", re.DOTALL)
    return found.sub(lambda match: f"{match[1]}{content}\n{match[2]}", text)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.write_text(page(target.read_text(encoding="utf-8")), encoding="utf-8")
