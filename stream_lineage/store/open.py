"""The metric store that the settings ask for."""

from __future__ import annotations

import socket
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from pydantic import SecretStr

from stream_lineage.errors import ConnectionFailed, SettingsError
from stream_lineage.store.capped import CappedStore
from stream_lineage.store.pausing import PausingStore
from stream_lineage.store.ports import MetricStore
from stream_lineage.store.series_cap import SeriesCap
from stream_lineage.store.settings import StoreSettings
from stream_lineage.store.setup import Setup
from stream_lineage.store.sqlite import SqliteStore
from stream_lineage.store.tiers import Tier, tiers

if TYPE_CHECKING:
    from stream_lineage.store.influx import InfluxStore
    from stream_lineage.store.influx_api import InfluxApi


def open_store(settings: StoreSettings) -> MetricStore:
    """Open it, and make it if need be.

    Raises:
        ConnectionFailed: it cannot be opened.
        SettingsError: a later version of stream_lineage wrote it, or it cannot be opened as configured.
    """
    if settings.kind == "sqlite":
        return SqliteStore(
            settings.sqlite_path, retention=timedelta(days=settings.retention_days), tiers=_tiers(settings)
        )
    return _influx_store(settings, influx_api(settings, settings.influx_token))


def open_outbox_store(settings: StoreSettings) -> CappedStore:
    """As ``open_store``, for those who write: what is remote may be away meanwhile, and series are bounded. Raises as
    ``open_store`` does."""
    host = socket.gethostname()
    if settings.kind == "sqlite":
        return CappedStore(PausingStore(open_store(settings)), SeriesCap(settings.max_series, host))
    from stream_lineage.store.outbox import Outbox
    from stream_lineage.store.outbox_store import OutboxStore, Slot, take_over
    from stream_lineage.store.set_aside import REFUSED, SetAside

    api = influx_api(settings, settings.influx_token)
    slot = Slot(settings.outbox_path)
    try:
        outbox = Outbox(
            slot.directory,
            max_bytes=settings.outbox_max_mb * 1024 * 1024,
            max_age_seconds=settings.outbox_max_hours * 3600,
        )
        take_over(settings.outbox_path, slot, outbox)
    except OSError as error:
        hint = "Check outbox_path and its permissions."
        raise ConnectionFailed(f"the outbox {slot.directory} cannot be opened: {error}", hint=hint) from error
    destination = partial(api.write, settings.influx_bucket)
    aside, refusals = SetAside(slot.directory), SetAside(slot.directory, REFUSED)
    store = OutboxStore(_influx_store(settings, api), outbox, destination, slot, aside, refusals)
    return CappedStore(store, SeriesCap(settings.max_series, f"{host}/{slot.directory.name}"))


def open_setup(settings: StoreSettings) -> Setup:
    """What makes the store ready for us.

    Raises:
        SettingsError: of InfluxDB's address and a token there is only one.
    """
    if settings.kind == "sqlite" and settings.influx_admin_token is None:
        from stream_lineage.store.sqlite_setup import SqliteSetup

        return SqliteSetup(settings.sqlite_path, timedelta(days=settings.retention_days), _tiers(settings))
    from stream_lineage.store.influx_setup import InfluxSetup

    api = influx_api(settings, settings.influx_admin_token or settings.influx_token)
    return InfluxSetup(api, settings.influx_bucket, round(settings.retention_days * 86_400), _tiers(settings))


def _influx_store(settings: StoreSettings, api: InfluxApi) -> InfluxStore:
    from stream_lineage.store.influx import InfluxStore

    return InfluxStore(api, settings.influx_bucket, timedelta(days=settings.retention_days), _tiers(settings))


def _tiers(settings: StoreSettings) -> tuple[Tier, ...]:
    return tiers(settings.influx_bucket, settings.five_minute_days, settings.hour_days)


def influx_api(settings: StoreSettings, token: SecretStr | None) -> InfluxApi:
    """InfluxDB as configured. Asks nothing yet.

    Raises:
        SettingsError: no address or token is set, or the authorities' file cannot be read.
    """
    from stream_lineage.store.influx_api import InfluxApi

    if settings.influx_url is None or token is None:
        missing = "influx_url" if settings.influx_url is None else "a token for InfluxDB"
        raise SettingsError(f"{missing} is missing", hint="Set influx_url and influx_token; see docs/stores.md.")
    ca = settings.influx_ca_location
    if ca is not None and not ca.is_file():
        raise SettingsError(f"influx_ca_location: there is no file {ca}")
    return InfluxApi(
        settings.influx_url,
        settings.influx_org,
        token.get_secret_value(),
        timeout_seconds=settings.influx_timeout_seconds,
        ca_location=None if ca is None else str(ca),
    )
