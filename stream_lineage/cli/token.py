"""``stream-lineage token``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click

from stream_lineage.cli.options import TO_READ_OURS, settings_options
from stream_lineage.cli.output import JSON, output_option, print_json, print_table
from stream_lineage.serve.tokens import ROLES, Role
from stream_lineage.settings import Settings


@click.group()
def token() -> None:
    """Make and revoke the tokens by which the API lets people and programs in."""


@token.command()
@click.option("--name", required=True, help="Whose it is, for those who see the list.")
@click.option(
    "--role", type=click.Choice(ROLES), default="reader", show_default=True,
    help="A reader asks; an operator also sends and changes.",
)  # fmt: skip
@click.option("--days", type=click.IntRange(1, 3650), metavar="N", help="How long it holds.  [default: until revoked]")
@output_option
@settings_options(single=TO_READ_OURS)
def create(settings: Settings, name: str, role: Role, days: int | None, output: str) -> None:
    """Make a token and print it, this once: what is kept is its hash.

    \b
    stream-lineage token create --name airflow --role operator --days 365
    """
    from stream_lineage.doctor.preflight import preflight
    from stream_lineage.serving.tokens import create_token

    if not name.isprintable() or not 0 < len(name) <= 200:
        raise click.UsageError("--name is a printable text of up to 200 characters")
    preflight(settings, "token")
    made, text = create_token(settings, name, role, None if days is None else datetime.now(UTC) + timedelta(days=days))
    if output == JSON:
        print_json({"token": text, "id": made.id, "role": made.role, "expires_at": made.expires_at})
    else:
        click.echo(text)


@token.command("list")
@output_option
@settings_options(single=TO_READ_OURS)
def list_(settings: Settings, output: str) -> None:
    """Show which tokens there are; not the tokens themselves."""
    from stream_lineage.serving.tokens import read_tokens

    found = read_tokens(settings)
    rows = [
        {
            "id": each.id,
            "name": each.name,
            "role": each.role,
            "created_at": each.created_at,
            "expires_at": each.expires_at,
        }
        for each in found
    ]
    if output == JSON:
        print_json(rows)
    else:
        print_table(("id", "name", "role", "created", "expires"), [tuple(row.values()) for row in rows])


@token.command()
@click.argument("id", metavar="ID")
@settings_options(single=TO_READ_OURS)
def revoke(settings: Settings, id: str) -> None:
    """Have the token ID be none any more, within a second or two.

    \b
    stream-lineage token revoke 2f1c0a9d8b7e
    """
    from stream_lineage.serving.tokens import revoke_token

    found = revoke_token(settings, id)
    click.echo(f"{found.name} ({found.role}) is not let in any more")
