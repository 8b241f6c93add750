"""Who is told of incidents, what is done then, and which addresses may be called for it."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from stream_lineage.notify.address import Policy, network
from stream_lineage.notify.links import INCIDENT_LINK, STEP_LINK, Links, template_problem


class NotifySettings(BaseModel):
    """Messages about incidents, and what is done then. See docs/notifications.md and docs/remediation.md."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    notifications: Path | None = Field(
        default=None,
        description="YAML file of who is told of incidents and how, read by the agents at the start; "
        "docs/notifications.md shows it.",
    )
    hooks: Path | None = Field(
        default=None,
        description="YAML file of what is done when there is an incident, read by the agents at the start; "
        "docs/remediation.md shows it.",
    )
    incident_link: str = Field(
        default=INCIDENT_LINK,
        description="Address of an incident in messages, with {public_url}, {incident}, {node} and {name} in it.",
    )
    step_link: str = Field(
        default=STEP_LINK,
        description="Address of the failing step in messages, with {public_url}, {incident}, {node} (the step's id in "
        "the lineage graph) and {name} (of the step) in it.",
        examples=["{public_url}/steps/{node}"],
    )
    notify_private_networks: tuple[str, ...] = Field(
        default=(),
        description="Networks that may be called although they are not public. Else no private, loopback, link-local "
        "or metadata address is called, whatever a name resolves to.",
        examples=[["10.20.0.0/16", "127.0.0.1/32"]],
    )
    notify_http: bool = Field(
        default=False, description="Whether http:// may be called, where everybody on the way reads along."
    )
    notify_ca_location: Path | None = Field(
        default=None, description="PEM file of the authorities that may sign the certificates of what is called."
    )
    notify_timeout_seconds: float = Field(
        default=10.0, gt=0, le=120, description="How long one call may take, with all of its answer."
    )
    notify_give_up_days: float = Field(
        default=3.0,
        gt=0,
        le=30,
        description="After so many days of failures a message is given up: it is then dead in `notify list` and in "
        "/metrics.",
    )

    @field_validator("incident_link", "step_link")
    @classmethod
    def _is_a_template(cls, text: str) -> str:
        if (problem := template_problem(text)) is not None:
            raise ValueError(problem)
        return text

    @field_validator("notify_private_networks")
    @classmethod
    def _are_networks(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        for text in texts:
            try:
                network(text)
            except ValueError as error:
                raise ValueError(f"{text!r} is no network such as 10.0.0.0/8: {error}") from error
        return texts

    def links(self, public_url: str) -> Links:
        """Where messages lead."""
        return Links(public_url, self.incident_link, self.step_link)

    @property
    def policy(self) -> Policy:
        """What may be called."""
        return Policy(tuple(network(text) for text in self.notify_private_networks), self.notify_http)
