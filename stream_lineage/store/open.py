"""The metric store that the settings ask for."""

from __future__ import annotations

from stream_lineage.store.ports import MetricStore
from stream_lineage.store.settings import StoreSettings
from stream_lineage.store.sqlite import SqliteStore


def open_store(settings: StoreSettings) -> MetricStore:
    """Open it, and make it if need be.

    Raises:
        ConnectionFailed: it cannot be opened.
        SettingsError: a later version of stream_lineage wrote it.
    """
    return SqliteStore(settings.sqlite_path)
