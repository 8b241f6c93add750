"""``stream-lineage notify``."""

from __future__ import annotations

import click

from stream_lineage.cli.options import TO_READ_OURS, settings_options
from stream_lineage.cli.output import JSON, output_option, print_json, print_table
from stream_lineage.settings import Settings

_STATES = ("waiting", "sent", "refused", "dead")


@click.group()
def notify() -> None:
    """Tell people of incidents: try targets, see who was told (docs/notifications.md)."""


@notify.command()
@click.option("--target", "targets", multiple=True, metavar="NAME", help="Only this one; may be repeated.")
@output_option
@settings_options("notify", single=("public_url",))
def test(settings: Settings, targets: tuple[str, ...], output: str) -> int:
    """Send each target a message that says it is a test. Exit code 1 if one does not take it.

    \b
    stream-lineage notify test --target on-call
    """
    from stream_lineage.notify.sending import Sent
    from stream_lineage.telling import tried

    fine, found = True, []
    for target, outcome in tried(settings, targets):
        taken = isinstance(outcome, Sent)
        said = "taken" if isinstance(outcome, Sent) else outcome.reason
        fine = fine and taken
        found.append({"target": target.name, "kind": target.kind, "taken": taken, "said": said})
        if output != JSON:
            click.echo(f"{target.name} ({target.kind}): {said}")
    if output == JSON:
        print_json(found)
    return 0 if fine else 1


@notify.command("list")
@click.option("--state", type=click.Choice(_STATES), help="Only those that stand so.")
@click.option("--target", metavar="NAME", help="Only this one.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Lines, at most.")
@output_option
@settings_options(single=TO_READ_OURS)
def list_(settings: Settings, state: str | None, target: str | None, limit: int, output: str) -> None:
    """List who was told of which incident, the last change first: sent, waiting, refused or dead.

    \b
    stream-lineage notify list --state dead
    """
    from stream_lineage.telling import deliveries, delivery_document

    found = [
        each
        for each in deliveries(settings)
        if (state is None or each.state == state) and (target is None or each.target == target)
    ][:limit]
    if output == JSON:
        print_json([delivery_document(each) for each in found])
        return
    rows = [
        (
            each.at.strftime("%Y-%m-%d %H:%M:%S"), each.target, each.state.value, each.incident[:12], each.event,
            each.title, each.failures or "", each.error,
        )
        for each in found
    ]  # fmt: skip
    print_table(("at", "target", "state", "incident", "change", "what", "failures", "why"), rows, right=("failures",))


@notify.command()
@click.argument("name", metavar="ID")
@click.option("--slack", is_flag=True, help="As Slack's blocks, in JSON.")
@settings_options("notify", single=(*TO_READ_OURS, "public_url"))
def show(settings: Settings, name: str, slack: bool) -> None:
    """Show the message about an incident, as it is by now, and send it to nobody.

    \b
    stream-lineage notify show 3fa9 --slack
    """
    from stream_lineage.incidents import incident
    from stream_lineage.notify.message import incident_message
    from stream_lineage.notify.slack_blocks import slack_blocks, slack_text
    from stream_lineage.telling import links

    message = incident_message(incident(settings, name).body, links(settings))
    if slack:
        print_json({"text": slack_text(message), "blocks": slack_blocks(message)})
    else:
        click.echo(message.text)
