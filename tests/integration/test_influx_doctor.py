"""If this failed, a wrong token or bucket would show as missing metrics only, and nobody would be told why."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from stream_lineage.doctor.check import Status
from stream_lineage.doctor.influx import check_influx
from stream_lineage.errors import ConnectionFailed, SettingsError
from stream_lineage.sandbox.ports import free_port
from stream_lineage.store.open import open_store
from stream_lineage.store.settings import StoreSettings
from stream_lineage.testing.influxd import Influxd

pytestmark = pytest.mark.influx


def settings(influx: Influxd, **changed: Any) -> StoreSettings:
    given = {"influx_url": influx.url, "influx_org": influx.org, "influx_token": SecretStr(influx.token)}
    return StoreSettings(**{**given, **changed})


def test_what_fits_is_said_to_fit(influx: Influxd) -> None:
    found = check_influx(settings(influx), timeout_seconds=30)
    assert (found.name, found.status) == ("store", Status.OK)


@pytest.mark.parametrize(
    ("changed", "said", "mend"),
    [
        ({"influx_token": SecretStr("not-a-token")}, "401", "influx_token"),
        ({"influx_bucket": "no-such"}, "404", "store setup"),
        ({"influx_org": "no-such"}, "404", "influx_org"),
        ({"influx_url": f"http://127.0.0.1:{free_port()}"}, "refused", "influx_url"),
        ({"influx_token": None}, "token", "influx_token"),
        ({"influx_ca_location": "/no/such"}, "/no/such", ""),
    ],
)
def test_what_does_not_fit_is_named(influx: Influxd, changed: dict[str, Any], said: str, mend: str) -> None:
    found = check_influx(settings(influx, **changed), timeout_seconds=30)
    assert found.status is Status.FAIL
    assert said in found.detail
    assert mend in found.mend
    assert influx.token not in found.detail + found.mend


def test_a_store_without_its_settings_cannot_be_opened(influx: Influxd) -> None:
    for wrong in (StoreSettings(store="influx"), settings(influx, influx_token=None)):
        with pytest.raises(SettingsError, match="missing"):
            open_store(wrong)


def test_reading_says_what_failed(influx: Influxd) -> None:
    store = open_store(settings(influx, influx_bucket="no-such"))
    try:
        with pytest.raises(ConnectionFailed, match="404"):
            store.latest("m")
    finally:
        store.close()
