"""All settings of one process, each package's own under its name."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from stream_lineage.agents.settings import AgentsSettings
from stream_lineage.collect.settings import CollectSettings
from stream_lineage.index.settings import IndexSettings
from stream_lineage.logs import LogSettings
from stream_lineage.serve.settings import ServeSettings, TelemetrySettings
from stream_lineage.settings.setting import Setting, settings_of
from stream_lineage.store.settings import StoreSettings
from stream_lineage.wire.settings import KafkaSettings, RegistrySettings


class Settings(BaseModel):
    """What ``load_settings`` gives: valid, complete, immutable."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    registry: RegistrySettings = Field(default_factory=RegistrySettings)
    collect: CollectSettings = Field(default_factory=CollectSettings)
    agents: AgentsSettings = Field(default_factory=AgentsSettings)
    store: StoreSettings = Field(default_factory=StoreSettings)
    index: IndexSettings = Field(default_factory=IndexSettings)
    serve: ServeSettings = Field(default_factory=ServeSettings)
    telemetry: TelemetrySettings = Field(default_factory=TelemetrySettings)
    logs: LogSettings = Field(default_factory=LogSettings)

    def secrets(self) -> tuple[str, ...]:
        """Every secret in clear, for the one purpose of cutting them out of logs and errors."""
        found: list[str] = []
        for section in SECTIONS:
            for value in dict(getattr(self, section)).values():
                inner = value.values() if isinstance(value, Mapping) else (value,)
                found.extend(item.get_secret_value() for item in inner if isinstance(item, SecretStr))
        # A password is as secret alone as beside its user.
        return tuple(found) + tuple(text.partition(":")[2] for text in found if ":" in text)


SECTIONS: Mapping[str, type[BaseModel]] = {
    "kafka": KafkaSettings,
    "registry": RegistrySettings,
    "collect": CollectSettings,
    "agents": AgentsSettings,
    "store": StoreSettings,
    "index": IndexSettings,
    "serve": ServeSettings,
    "telemetry": TelemetrySettings,
    "logs": LogSettings,
}

KNOWN: Mapping[str, Setting] = {
    setting.name: setting for section, model in SECTIONS.items() for setting in settings_of(section, model)
}
"""Every setting by its flat name."""
