"""All settings of one process, each package's own under its name."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from stream_lineage.agents.settings import AgentsSettings
from stream_lineage.collect.settings import CollectSettings
from stream_lineage.index.settings import IndexSettings
from stream_lineage.logs import LogSettings
from stream_lineage.notify.settings import NotifySettings
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
    notify: NotifySettings = Field(default_factory=NotifySettings)
    index: IndexSettings = Field(default_factory=IndexSettings)
    serve: ServeSettings = Field(default_factory=ServeSettings)
    telemetry: TelemetrySettings = Field(default_factory=TelemetrySettings)
    logs: LogSettings = Field(default_factory=LogSettings)

    @model_validator(mode="after")
    def _values_are_not_guessed(self) -> Settings:
        """The key that is derived from the cluster's id is known to whoever may read its topics: he hashes all ids that
        there may be and compares."""
        if self.index.key_fields and self.collect.hash_key is None:
            raise ValueError(
                "key_fields needs hash_key: without one, whoever may read lineage.keys finds out the values by "
                "guessing. Make one with `openssl rand -hex 32 > hash_key`, give collectors and readers the same, and "
                "name the file: hash_key_file or STREAM_LINEAGE_HASH_KEY_FILE"
            )
        return self

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
    "notify": NotifySettings,
    "index": IndexSettings,
    "serve": ServeSettings,
    "telemetry": TelemetrySettings,
    "logs": LogSettings,
}

KNOWN: Mapping[str, Setting] = {
    setting.name: setting for section, model in SECTIONS.items() for setting in settings_of(section, model)
}
"""Every setting by its flat name."""
