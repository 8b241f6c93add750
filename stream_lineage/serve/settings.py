"""Where a role answers for itself, and where the API is."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class TelemetrySettings(BaseModel):
    """Metrics and health over HTTP. See docs/telemetry.md."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    telemetry_listen: str | None = Field(
        default=None,
        description="Address at which /metrics, /healthz and /readyz are answered; without one they are not. Under "
        "`stream-lineage run` the collector answers at the next port and the agents at the one behind it.",
        examples=["127.0.0.1:9464", "0.0.0.0:9464"],
    )

    @field_validator("telemetry_listen")
    @classmethod
    def _is_an_address(cls, text: str | None) -> str | None:
        if text is not None:
            parsed(text)
        return text or None

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port, if there are any."""
        return None if self.telemetry_listen is None else parsed(self.telemetry_listen)

    def moved(self, ports: int) -> TelemetrySettings:
        """The address so many ports further."""
        if self.address is None:
            return self
        host, port = self.address
        shown = f"[{host}]" if ":" in host else host
        return self.model_copy(update={"telemetry_listen": f"{shown}:{port + ports}"})


class ServeSettings(BaseModel):
    """The API. See docs/api.md."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    serve_listen: str = Field(
        default="127.0.0.1:8080",
        description="Address at which the API answers.",
        examples=["0.0.0.0:8080", "[::1]:8080"],
    )
    serve_auth: Literal["auto", "token", "none"] = Field(
        default="auto",
        description="Who may ask. auto: everybody where serve_listen is a loopback address, elsewhere whoever has a "
        "token, and without a token that was made it does not start. token: whoever has a token. none: everybody who "
        "reaches it.",
    )
    serve_index: bool = Field(
        default=True,
        description="Whether it keeps the provenance index up to date itself; else `stream-lineage index update "
        "--follow` has to.",
    )
    serve_index_most_age_seconds: float = Field(
        default=300.0,
        ge=0,
        description="The API is not ready while its provenance index lacks something that was written so long ago; 0: "
        "it is ready however old the index is.",
        examples=[60, 3600],
    )
    serve_share_port: bool = Field(
        default=False,
        description="Whether several of them on one machine may answer at the same serve_listen: the system shares "
        "out who asks. Each needs an index_path of its own, or serve_index off for all but one.",
    )

    @field_validator("serve_listen")
    @classmethod
    def _is_an_address(cls, text: str) -> str:
        parsed(text)
        return text

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return parsed(self.serve_listen)


def parsed(text: str) -> tuple[str, int]:
    """Host and port of ``host:port``, of which the host may be an IPv6 address in brackets.

    Raises:
        ValueError: it is none.
    """
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    if not colon or not host or (":" in host and not bracketed) or not (port.isascii() and port.isdigit()):
        raise ValueError("must be host:port, such as 127.0.0.1:9464 or 0.0.0.0:9464")
    if not 1 <= int(port) <= 65_533:
        raise ValueError("the port must be one of 1 to 65533: those behind it are used, too")
    return host, int(port)
