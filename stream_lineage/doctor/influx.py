"""Whether InfluxDB is there, lets us read and write, and keeps what it should."""

from __future__ import annotations

from stream_lineage.doctor.check import Check, fail, failed_by, ok
from stream_lineage.errors import StreamLineageError
from stream_lineage.store.open import influx_api
from stream_lineage.store.settings import StoreSettings

_NOTHING = b"# nothing is written"


def check_influx(settings: StoreSettings, *, timeout_seconds: float) -> Check:
    """The check ``store``: a write of no point and a question are allowed."""
    from stream_lineage.store.flux import quoted
    from stream_lineage.store.influx_api import QueryRefused

    where = f"{settings.influx_url}, bucket {settings.influx_bucket}"
    try:
        patience = min(timeout_seconds, settings.influx_timeout_seconds)
        api = influx_api(settings.model_copy(update={"influx_timeout_seconds": patience}), settings.influx_token)
        try:
            answer = api.write(settings.influx_bucket, _NOTHING)
            if answer.ok:
                list(api.rows(f"from(bucket: {quoted(settings.influx_bucket)}) |> range(start: -1m) |> limit(n: 1)"))
        except QueryRefused as refused:
            answer = refused.answer
        finally:
            api.close()
    except StreamLineageError as error:
        return failed_by("store", error)
    if not answer.ok:
        return fail("store", f"{where}: answered {answer.status}: {answer.message}", answer.hint or "Look at its logs.")
    return ok("store", f"{where}: may be read and written")
