"""Settings: each package owns its own, here they are put together under flat names.

A setting has the same name as a flag (``--flush-interval-seconds``), in the environment
(``STREAM_LINEAGE_FLUSH_INTERVAL_SECONDS``) and in a YAML file (``flush_interval_seconds``), which count in this order.
"""

from stream_lineage.settings.composed import Settings
from stream_lineage.settings.load import load_settings

__all__ = ["Settings", "load_settings"]
