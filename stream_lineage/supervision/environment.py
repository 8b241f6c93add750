"""Settings as environment variables: how a process hands them to one that it starts.

Arguments are seen by everybody on the machine; the environment is seen by the same user only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from stream_lineage.settings import Settings
from stream_lineage.settings.composed import KNOWN
from stream_lineage.settings.setting import ENVIRONMENT_PREFIX, Kind
from stream_lineage.settings.sources import CONFIG_VARIABLE, RESERVED_VARIABLES


def settings_environment(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """``environ`` in which ``load_settings`` gives exactly ``settings``, wherever they came from.

    It holds secrets in clear: for starting a process only.
    """
    kept = {name: text for name, text in environ.items() if not _says_a_setting(name)}
    for setting in KNOWN.values():
        text = _text(setting.kind, getattr(getattr(settings, setting.section), setting.name))
        if text:
            kept[setting.environment] = text
    return kept


def _says_a_setting(variable: str) -> bool:
    if not variable.startswith(ENVIRONMENT_PREFIX):
        return False
    return variable == CONFIG_VARIABLE or RESERVED_VARIABLES.fullmatch(variable) is None


def _text(kind: Kind, value: Any) -> str:
    if value is None or value in ((), {}):
        return ""
    if kind is Kind.BOOLEAN:
        return "true" if value else "false"
    if kind is Kind.LIST:
        return json.dumps(list(value))
    if kind is Kind.PROPERTIES:
        return json.dumps({name: _revealed(item) for name, item in value.items()})
    return str(_revealed(value))


def _revealed(value: Any) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
