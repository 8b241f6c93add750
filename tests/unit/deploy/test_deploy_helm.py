"""If this failed, the chart would not render, or would start pods that cannot work or may do more than they need."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from stream_lineage.cli.main import COMMANDS
from stream_lineage.serve.guard import is_local
from stream_lineage.settings.composed import KNOWN
from stream_lineage.settings.load import load_settings

CHART = Path(__file__).parents[3] / "deploy" / "helm" / "stream-lineage"
HELM = os.environ.get("HELM_BIN") or shutil.which("helm")
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
needs_helm = pytest.mark.skipif(HELM is None, reason="there is no helm: neither HELM_BIN nor on the PATH")
EVERYTHING: dict[str, Any] = {
    "schemaRegistryUrl": "http://registry:8081",
    "image": {"repository": "registry.example/stream-lineage", "tag": "1.2.3"},
    "imagePullSecrets": [{"name": "pull"}],
    "settings": {
        "group_id": "mine",
        "include": ["orders\\..*"],
        "kafka": {"security.protocol": "SASL_SSL", "ssl.ca.location": "/etc/stream-lineage/files/kafka-ca/ca.pem"},
    },
    "secrets": [{"variable": "STREAM_LINEAGE_KAFKA_SASL_PASSWORD", "secretName": "kafka", "key": "password"}],
    "files": [{"name": "kafka-ca", "secretName": "kafka-ca"}, {"name": "rules", "configMapName": "lineage-rules"}],
    "collector": {
        "replicas": 3, "podAnnotations": {"a": "b"}, "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "k", "operator": "Exists"}],
    },
    "agents": {"persistence": {"enabled": True, "size": "1Gi", "storageClassName": "fast"}},
    "api": {
        "replicas": 2,
        "secrets": [{"variable": "STREAM_LINEAGE_KAFKA_SASL_PASSWORD", "secretName": "kafka-reader", "key": "secret"}],
        "persistence": {"enabled": True, "size": "3Gi", "storageClassName": "fast"},
        "service": {"type": "LoadBalancer", "port": 443, "annotations": {"a": "b"}},
        "ingress": {
            "enabled": True, "className": "nginx", "host": "lineage.example", "tlsSecretName": "lineage-tls",
            "annotations": {"nginx.ingress.kubernetes.io/proxy-buffering": "off"},
        },
    },
    "serviceAccount": {"create": True, "annotations": {"role": "arn"}},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "networkPolicy": {
        "enabled": True,
        "from": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
        "apiFrom": [{"namespaceSelector": {"matchLabels": {"name": "ingress"}}}],
        "egress": [{"ports": [{"port": 9092, "protocol": "TCP"}]}],
    },
}  # fmt: skip
SPARSE: dict[str, Any] = {
    "collector": {"staticMembership": False},
    "agents": {"persistence": {"enabled": False}},
    "api": {"persistence": {"enabled": False}, "auth": "none"},
    "serviceAccount": {"create": False},
    "podDisruptionBudget": {"enabled": False},
}


def refused(values: dict[str, Any]) -> bool:
    return bool(list(jsonschema.Draft7Validator(SCHEMA).iter_errors({**VALUES, **values})))


def test_values_have_a_schema_that_refuses_what_it_does_not_know() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert set(SCHEMA["properties"]) == {"global", *VALUES}
    for role in ("collector", "agents", "api"):
        assert set(SCHEMA["properties"][role]["properties"]) == set(VALUES[role])
    assert not refused({})
    assert not refused(EVERYTHING)
    assert not refused(SPARSE)
    assert refused({"bootstrapServer": "typo:9092"})
    assert refused({"bootstrapServers": ""})
    assert refused({"api": {"auth": "nobody"}})
    assert refused({"api": {"ingress": {"enabled": True}}})
    assert refused({"api": {"secrets": [{"variable": "PATH", "secretName": "a", "key": "b"}]}})
    assert refused({"collector": {"replicas": -1}})
    assert refused({"secrets": [{"variable": "PATH", "secretName": "a", "key": "b"}]})
    assert refused({"files": [{"name": "both", "secretName": "a", "configMapName": "b"}]})


def test_templates_name_what_exists() -> None:
    text = "\n".join(path.read_text() for path in (CHART / "templates").iterdir())
    variables = set(re.findall(r"STREAM_LINEAGE_\w+", text))
    assert variables
    assert variables <= {setting.environment for setting in KNOWN.values()}
    roles = set(re.findall(r'"role" "(\w+)"', text))
    assert roles == {"collect", "agents", "serve"}
    assert roles <= set(COMMANDS)
    assert set(re.findall(r"path: (/\w+)", text)) == {"/healthz", "/readyz", "/metrics"}
    used = set(re.findall(r"\.Values\.(\w+)", text))
    assert used == set(VALUES), "a value that nothing uses, or one that is not there"


def rendered(directory: Path, values: dict[str, Any], *more: str) -> list[dict[str, Any]]:
    file = directory / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    done = subprocess.run(
        [str(HELM), "template", "team", str(CHART), "--namespace", "data", "-f", str(file), *more],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def one(documents: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    [found] = [each for each in documents if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


@needs_helm
def test_helm_finds_nothing_to_say(tmp_path: Path) -> None:
    for values in ({}, EVERYTHING, SPARSE):
        file = tmp_path / "values.yaml"
        file.write_text(yaml.safe_dump(values))
        done = subprocess.run(
            [str(HELM), "lint", "--strict", str(CHART), "-f", str(file)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    bad = subprocess.run(
        [str(HELM), "template", "team", str(CHART), "--set", "collectors.replicas=2"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert bad.returncode != 0
    assert "collectors" in bad.stderr


@needs_helm
@pytest.mark.parametrize("values", [{}, EVERYTHING, SPARSE], ids=["defaults", "everything", "sparse"])
def test_kubernetes_takes_all_of_it(values: dict[str, Any], tmp_path: Path) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    documents = rendered(tmp_path, values)
    assert {"StatefulSet", "ConfigMap", "Service"} <= {document["kind"] for document in documents}
    for document in documents:
        if document["kind"] == "ServiceMonitor":  # the operator's, not Kubernetes' own
            assert document["spec"]["endpoints"][0]["port"] == "telemetry"
        else:
            validate.validate(document, validate.latest_version(), strict=True)


@needs_helm
def test_pods_may_do_nothing_but_their_work(tmp_path: Path) -> None:
    documents = rendered(tmp_path, EVERYTHING)
    for name, role in (
        ("team-stream-lineage-collector", "collect"),
        ("team-stream-lineage-agents", "agents"),
        ("team-stream-lineage-api", "serve"),
    ):
        stateful = one(documents, "StatefulSet", name)["spec"]
        pod = stateful["template"]["spec"]
        [container] = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        assert container["args"] == [role, "--config", "/etc/stream-lineage/config.yaml"]
        assert container["image"] == "registry.example/stream-lineage:1.2.3"
        mounts = {mount["name"] for mount in container["volumeMounts"]}
        claims = {claim["metadata"]["name"] for claim in stateful.get("volumeClaimTemplates", ())}
        assert mounts == {volume["name"] for volume in pod["volumes"]} | claims
        labels = stateful["template"]["metadata"]["labels"]
        assert stateful["selector"]["matchLabels"].items() <= labels.items()
        budget = one(documents, "PodDisruptionBudget", name)["spec"]
        assert budget["selector"]["matchLabels"] == stateful["selector"]["matchLabels"]
    roles = {
        d["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"]
        for d in documents
        if d["kind"] == "StatefulSet"
    }
    assert roles == {"collect", "agents", "serve"}


@needs_helm
def test_the_roles_load_what_the_chart_gives_them(tmp_path: Path) -> None:
    documents = rendered(tmp_path, EVERYTHING)
    file = tmp_path / "config.yaml"
    file.write_text(one(documents, "ConfigMap", "team-stream-lineage")["data"]["config.yaml"])
    [container] = one(documents, "StatefulSet", "team-stream-lineage-collector")["spec"]["template"]["spec"][
        "containers"
    ]
    environment = {each["name"]: each.get("value", "given-by-kubernetes") for each in container["env"]}
    settings = load_settings({}, environment, file)
    assert settings.kafka.bootstrap_servers == "kafka:9092"
    assert settings.registry.urls == ("http://registry:8081",)
    assert settings.collect.group_id == "mine"
    assert settings.collect.instance_id == "given-by-kubernetes"
    assert settings.kafka.client_config()["sasl.password"] == "given-by-kubernetes"
    [port] = container["ports"]
    assert settings.telemetry.address is not None
    assert settings.telemetry.address[1] == port["containerPort"]
    service = one(documents, "Service", "team-stream-lineage")["spec"]
    assert service["ports"][0]["targetPort"] == port["name"]


@needs_helm
def test_the_api_lets_nobody_in_unless_told_and_answers_where_it_is_asked(tmp_path: Path) -> None:
    documents = rendered(tmp_path, EVERYTHING)
    pod = one(documents, "StatefulSet", "team-stream-lineage-api")["spec"]["template"]
    [container] = pod["spec"]["containers"]
    given = [each["name"] for each in container["env"]]
    assert len(set(given)) == len(given)
    secrets = {
        each["name"]: each["valueFrom"]["secretKeyRef"]["name"] for each in container["env"] if "valueFrom" in each
    }
    assert secrets == {"STREAM_LINEAGE_KAFKA_SASL_PASSWORD": "kafka-reader"}
    file = tmp_path / "config.yaml"
    file.write_text(one(documents, "ConfigMap", "team-stream-lineage")["data"]["config.yaml"])
    environment = {each["name"]: each.get("value", "given-by-kubernetes") for each in container["env"]}
    settings = load_settings({}, environment, file)
    assert (settings.serve.serve_auth, settings.serve.serve_index) == ("token", True)
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    host, port = settings.serve.address
    assert (is_local(host), port) == (False, ports["api"])
    assert settings.telemetry.address == (host, ports["telemetry"])
    mounts = {each["mountPath"] for each in container["volumeMounts"]}
    assert str(settings.index.index_path.parent) in mounts  # all else is read-only
    probes = {container[name]["httpGet"]["port"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert probes == {"api"}
    service = one(documents, "Service", "team-stream-lineage-api")["spec"]
    assert service["ports"] == [{"name": "api", "port": 443, "targetPort": "api"}]
    assert service["selector"].items() <= pod["metadata"]["labels"].items()
    [rule] = one(documents, "Ingress", "team-stream-lineage-api")["spec"]["rules"]
    backend = rule["http"]["paths"][0]["backend"]["service"]
    assert (rule["host"], backend) == ("lineage.example", {"name": "team-stream-lineage-api", "port": {"name": "api"}})
    _, api = one(documents, "NetworkPolicy", "team-stream-lineage")["spec"]["ingress"]
    assert api["ports"][0]["port"] == "api"
    assert api["from"] == EVERYTHING["networkPolicy"]["apiFrom"]


@needs_helm
def test_there_need_be_no_api(tmp_path: Path) -> None:
    documents = rendered(tmp_path, {"api": {"enabled": False}, "networkPolicy": {"enabled": True}})
    assert not [each for each in documents if each["metadata"]["name"].endswith("-api")]
    [rule] = one(documents, "NetworkPolicy", "team-stream-lineage")["spec"]["ingress"]
    assert rule["ports"][0]["port"] == "telemetry"
    one(rendered(tmp_path, {"api": {"enabled": True}}), "StatefulSet", "team-stream-lineage-api")
