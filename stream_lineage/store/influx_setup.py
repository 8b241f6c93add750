"""What InfluxDB needs to have for us: buckets that forget, tasks that make coarser copies, tokens that may do little.

What is there and as it should be is left alone, so that it can be run again at any time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Any

from influxdb_client import (
    Authorization,
    BucketRetentionRules,
    Permission,
    PermissionResource,
    TaskCreateRequest,
    TaskUpdateRequest,
)
from influxdb_client.rest import ApiException

from stream_lineage.errors import NotFound, StreamLineageError
from stream_lineage.store.influx_api import NOT_FOUND, InfluxApi, QueryRefused, answer_of
from stream_lineage.store.setup import READER, WRITER, Done
from stream_lineage.store.tiers import Tier
from stream_lineage.store.windows import window_start


class InfluxSetup:
    """``api`` has a token that may make buckets, tasks and tokens of its organisation."""

    def __init__(self, api: InfluxApi, bucket: str, retention_seconds: int, tiers: tuple[Tier, ...]) -> None:
        self._api = api
        self._bucket = bucket
        self._retention_seconds = retention_seconds
        self._tiers = tiers

    def run(self, *, renew: Collection[str] = ()) -> Iterator[Done]:
        """Do it, one thing after the other. Of the roles in ``renew`` the tokens are made anew.

        Raises:
            ConnectionFailed: no answer, or we may not.
            NotFound: there is no such organisation.
        """
        org = self._guarded("look for the organisation in", self._organisation)
        ids = {}
        wanted = [(self._bucket, self._retention_seconds)]
        for name, seconds in [*wanted, *((tier.bucket, tier.retention_seconds) for tier in self._tiers)]:
            ids[name], change = self._guarded(f"make bucket {name} in", self._make_bucket, org, name, seconds)
            yield Done("bucket", name, change)
        for tier in self._tiers:
            name = f"{self._bucket} {tier.name}"
            flux = tier.task(self._bucket, name)
            yield Done("task", name, self._guarded(f"make task {name} in", self._make_task, org, name, flux))
        reads = [Permission("read", _resource(org, id_)) for id_ in ids.values()]
        writes = [Permission("write", _resource(org, ids[self._bucket]))]
        for role, permissions in ((WRITER, [*reads, *writes]), (READER, reads)):
            yield self._guarded("make a token in", self._make_token, org, role, permissions, role in renew)

    def copy_again(self, start: datetime, end: datetime) -> Iterator[Done]:
        """Fill the coarser buckets once more from the points of a time, for what came later than their tasks look back.

        Raises:
            ConnectionFailed: no answer, or we may not.
        """
        for tier in self._tiers:
            first = window_start(start, tier.window_seconds)
            last = window_start(end, tier.window_seconds)
            at = first
            while at < last:  # a day at a time: InfluxDB holds what it writes in memory
                until = min(at + timedelta(days=1), last)
                try:
                    for _ in self._api.rows(tier.once(self._bucket, at, until)):
                        pass
                except QueryRefused as refused:
                    raise self._api.failed("copy points in", refused.answer) from None
                at = until
            yield Done("copy", tier.bucket, f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}")

    def _guarded(self, doing: str, work: Any, *arguments: Any) -> Any:
        try:
            with self._api.translated(doing):
                return work(*arguments)
        except ApiException as error:
            raise self._api.failed(doing, answer_of(error)) from None

    def _organisation(self) -> str:
        missing: StreamLineageError = NotFound(
            f"InfluxDB has no organisation {self._api.org} that this token may see",
            hint="Check influx_org, and that influx_admin_token may make buckets, tasks and tokens in it.",
        )
        try:
            found = self._api.client.organizations_api().find_organizations(org=self._api.org)
        except ApiException as error:
            if error.status == NOT_FOUND:
                raise missing from None
            raise
        if not found:
            raise missing
        return str(found[0].id)

    def _make_bucket(self, org: str, name: str, seconds: int) -> tuple[str, str]:
        buckets = self._api.client.buckets_api()
        rules = BucketRetentionRules(type="expire", every_seconds=seconds)
        found = []
        try:
            # The client's own look-up by name takes a bucket of any organisation.
            found = [each for each in buckets.find_buckets(name=name, org_id=org).buckets if each.name == name]
        except ApiException as error:
            if error.status != NOT_FOUND:
                raise
        if not found:
            return str(buckets.create_bucket(bucket_name=name, org=org, retention_rules=[rules]).id), "created"
        bucket = found[0]
        if [rule.every_seconds for rule in bucket.retention_rules] == [seconds]:
            return str(bucket.id), "unchanged"
        bucket.retention_rules = [rules]
        buckets.update_bucket(bucket=bucket)
        return str(bucket.id), "changed"

    def _make_task(self, org: str, name: str, flux: str) -> str:
        tasks = self._api.client.tasks_api()
        found = [each for each in tasks.find_tasks(name=name, org_id=org) if each.name == name]
        if not found:
            request = TaskCreateRequest(org_id=org, flux=flux, status="active", description="Made by stream-lineage.")
            tasks.create_task(task_create_request=request)
            return "created"
        if found[0].flux == flux and found[0].status == "active":
            return "unchanged"
        tasks.update_task_request(found[0].id, TaskUpdateRequest(flux=flux, status="active"))
        return "changed"

    def _make_token(self, org: str, role: str, permissions: list[Permission], renew: bool) -> Done:
        name = f"stream-lineage {self._bucket} {role}"
        tokens = self._api.client.authorizations_api()
        found = [each for each in tokens.find_authorizations(org_id=org) if each.description == name]
        current = [each for each in found if each.status == "active" and _same(each.permissions, permissions)]
        if current and not renew:
            return Done("token", name, "unchanged", role)
        made = tokens.create_authorization(
            authorization=Authorization(org_id=org, permissions=permissions, description=name)
        )
        for each in found:
            tokens.delete_authorization(each)
        return Done("token", name, "replaced" if found else "created", role, str(made.token))


def _resource(org: str, bucket: str) -> PermissionResource:
    return PermissionResource(type="buckets", org_id=org, id=bucket)


def _same(one: list[Permission], other: list[Permission]) -> bool:
    def told(permissions: list[Permission]) -> set[tuple[str, str, str | None]]:
        return {(each.action, each.resource.type, each.resource.id) for each in permissions}

    return told(one) == told(other)
