"""Whether each address of the schema registry is one, and lets us in."""

from __future__ import annotations

from stream_lineage.doctor.check import Check, fail, failed_by, ok, skipped, warn
from stream_lineage.errors import RegistryUnavailable, SettingsError
from stream_lineage.wire.registry import SchemaRegistry
from stream_lineage.wire.registry_http import UNSPECIFIC
from stream_lineage.wire.settings import RegistrySettings

_ANYTHING = "Check that a registry runs there and that this machine may connect to it."


def check_registry(settings: RegistrySettings) -> Check:
    """The check ``registry``: each address is asked for its subjects."""
    if not settings.urls:
        return skipped("registry", "no schema_registry_url: schema ids on the wire stay unresolved")
    answers, problems = [], []
    try:
        for url in settings.urls:
            registry = SchemaRegistry(settings.model_copy(update={"schema_registry_url": url}))
            try:
                answers.append(f"{url} has {len(registry.subjects())} subjects")
            except RegistryUnavailable as error:
                problems.append(error)
            finally:
                registry.close()
    except SettingsError as error:
        return failed_by("registry", error)
    if not problems:
        return ok("registry", "; ".join(answers))
    detail = "; ".join([*answers, *(error.message for error in problems)])
    said = next((error.hint for error in problems if error.hint not in (None, UNSPECIFIC)), None)
    mend = _mend(" ".join(error.message for error in problems)) or said or _ANYTHING
    return warn("registry", detail, mend) if answers else fail("registry", detail, mend)


def _mend(said: str) -> str | None:
    if "answered 403" in said:
        return "Ask for the right to read schemas, and to register those of our own topics."
    if "is this a schema registry" in said or "answered 404" in said:
        return "schema_registry_url must end where the API begins, such as http://host:8081 or .../apis/ccompat/v7."
    return None
