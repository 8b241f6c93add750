"""Whether each address of the schema registry is one, and lets us in."""

from __future__ import annotations

from stream_lineage.doctor.check import Check, fail, failed_by, ok, skipped, warn
from stream_lineage.errors import RegistryUnavailable, SettingsError
from stream_lineage.wire.registry import SchemaRegistry
from stream_lineage.wire.settings import RegistrySettings


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
    mend = _mend(" ".join(error.message for error in problems))
    return warn("registry", detail, mend) if answers else fail("registry", detail, mend)


def _mend(said: str) -> str:
    if "credentials" in said or "answered 403" in said:
        return "Check schema_registry_basic_auth or schema_registry_bearer_token, and what its user may read."
    if "is this a schema registry" in said or "answered 404" in said:
        return "schema_registry_url must end where the API begins, such as http://host:8081 or .../apis/ccompat/v7."
    if "certificate" in said.lower() or "SSL" in said:
        return "Check schema_registry_ca_location, and that the certificate is for this host name."
    return "Check that a registry runs there and that this machine may connect to it."
