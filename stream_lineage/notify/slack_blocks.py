"""A message as Slack's blocks (Block Kit), within Slack's limits, with nothing in it that Slack would act on."""

from __future__ import annotations

from typing import Any

from stream_lineage.notify.message import Message

_HEADER, _SECTION, _FIELD, _FIELDS, _FALLBACK = 150, 3000, 2000, 10, 3000
"""Characters of a header, a section and a field, fields of a section: docs.slack.dev/reference/block-kit/blocks has the
limits. Of the text beside the blocks Slack asks for fewer than 4,000 characters."""


def slack_blocks(message: Message) -> list[dict[str, Any]]:
    """The blocks."""
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": _cut(message.title, _HEADER), "emoji": False}},
        _section(escaped(message.headline)),
    ]
    fields = [_markdown(f"*{escaped(name)}*\n{escaped(value)}", _FIELD) for name, value in message.facts[: 2 * _FIELDS]]
    blocks += [
        {"type": "section", "fields": fields[start : start + _FIELDS]} for start in range(0, len(fields), _FIELDS)
    ]
    for title, lines in message.sections:
        said = "\n".join(f"• {escaped(line)}" for line in lines)
        blocks.append(_section(f"*{escaped(title)}*\n{said}"))
    # Links in text: buttons need an app that takes interactions.
    found = " · ".join(f"<{_address(address)}|{escaped(title)}>" for title, address in message.links)
    if found and len(found) <= _SECTION:
        blocks.append(_section(found))
    return blocks


def slack_text(message: Message) -> str:
    """What is shown where blocks are not, as in what a phone announces."""
    return _cut(escaped(f"{message.title}: {message.headline}"), _FALLBACK)


def escaped(text: str) -> str:
    """Without control sequences: ``<!channel>`` in the name of a topic calls nobody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _address(address: str) -> str:
    return escaped(address.replace("<", "%3C").replace(">", "%3E").replace("|", "%7C"))


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _markdown(text, _SECTION)}


def _markdown(text: str, most: int) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": _cut(text, most), "verbatim": True}


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
