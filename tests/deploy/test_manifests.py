"""Compose and Kubernetes: that they parse, name what exists, and keep the promises their comments make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped, unused-ignore]

from sync.cli import COMMANDS
from sync.sandbox.server import Sandbox
from sync.settings import load_settings, unknown_variables, variable_names

DEPLOY = Path(__file__).parents[2] / "deploy"
KUBERNETES = DEPLOY / "kubernetes"


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = read(DEPLOY / "compose.yaml")["services"]
    return found


@pytest.fixture(scope="module")
def objects() -> dict[str, Any]:
    """Every manifest of the kustomization and the example of the secret, by kind."""
    names = [*read(KUBERNETES / "kustomization.yaml")["resources"], "secret.example.yaml"]
    return {thing["kind"]: thing for thing in (read(KUBERNETES / name) for name in names)}


def environment(service: dict[str, Any]) -> dict[str, str]:
    return dict(service.get("environment", {}))


# --- Compose ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mpsync", "try"])
def test_compose_names_only_settings_that_exist(name: str, services: dict[str, Any]) -> None:
    given = environment(services[name])

    assert given
    assert set(given) <= set(variable_names())


@pytest.mark.parametrize("name", ["mpsync", "try", "sandbox"])
def test_compose_runs_the_image_without_privileges_on_a_read_only_root(name: str, services: dict[str, Any]) -> None:
    service = services[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "user" not in service, "the image's own user"
    assert "privileged" not in service


def test_compose_opens_ports_to_this_machine_only(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_compose_gives_each_secret_as_a_file_that_the_settings_name(services: dict[str, Any]) -> None:
    files = read(DEPLOY / "compose.yaml")["secrets"]
    given = environment(services["mpsync"])
    named = {value.removeprefix("/run/secrets/") for name, value in given.items() if name.endswith("_FILE")}

    assert named == set(services["mpsync"]["secrets"])
    assert named | set(services["postgres"]["secrets"]) == set(files)
    assert not [value for name, value in given.items() if f"{name}_FILE" in variable_names() and value]


def test_without_the_profile_compose_starts_the_service_and_its_database(services: dict[str, Any]) -> None:
    started = {name for name, service in services.items() if not service.get("profiles")}

    assert started == {"mpsync", "postgres"}


def test_the_sandbox_of_compose_is_reached_with_the_sandboxs_own_credentials(services: dict[str, Any]) -> None:
    given = environment(services["try"])
    _, _, port = services["sandbox"]["command"]
    expected = Sandbox(port=int(port), populate=False).settings()

    same = {"MPW_BASE_URL", "MPW_EMAIL", "MPW_PASSWORD", "MPW_WAREHOUSE", "MPSERVICES_BASE_URL", "MPSERVICES_TOKEN"}
    assert {name: given[name] for name in same} == {name: expected[name] for name in same}
    assert services["try"]["network_mode"] == "service:sandbox", "it listens on loopback only"
    assert load_settings(given, dotenv=None).routes["receipts"] == "push"


# --- Kubernetes ---------------------------------------------------------------------------


def pod(objects: dict[str, Any]) -> Any:
    return objects["Deployment"]["spec"]["template"]["spec"]


def test_two_replicas_work_on_one_postgresql_and_never_two_versions(objects: dict[str, Any]) -> None:
    spec = objects["Deployment"]["spec"]

    assert spec["replicas"] == 2
    assert spec["strategy"] == {"type": "Recreate"}
    assert objects["Secret"]["stringData"]["database-url"].startswith("postgresql+psycopg://")
    assert objects["PodDisruptionBudget"]["spec"]["minAvailable"] == 1


def test_kubernetes_gives_settings_that_are_right_together(objects: dict[str, Any], tmp_path: Path) -> None:
    secrets = objects["Secret"]["stringData"]
    given = dict(objects["ConfigMap"]["data"])
    (container,) = pod(objects)["containers"]
    for variable in container["env"]:
        name = variable["value"].rpartition("/")[2]
        (tmp_path / name).write_text(secrets[name])
        given[variable["name"]] = str(tmp_path / name)

    settings = load_settings(given, dotenv=None)

    assert unknown_variables(given, dotenv=None) == []
    assert settings.mpw_on
    assert settings.mpservices_on
    assert set(settings.routes.values()) == {"hold"}, "nothing is pushed before somebody has decided it"


def test_no_secret_stands_in_the_config_map(objects: dict[str, Any]) -> None:
    data = objects["ConfigMap"]["data"]

    assert all(isinstance(value, str) for value in data.values())
    assert not {name for name in data if f"{name}_FILE" in variable_names()}


def test_probes_ask_the_process_itself_where_it_listens(objects: dict[str, Any]) -> None:
    (container,) = pod(objects)["containers"]
    (port,) = container["ports"]

    address = load_settings({"SYNC_HTTP_ADDRESS": objects["ConfigMap"]["data"]["SYNC_HTTP_ADDRESS"]}, dotenv=None)
    assert address.sync_http_address is not None
    assert address.sync_http_address.port == port["containerPort"]
    asked = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert asked == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    assert {container[name]["httpGet"]["port"] for name in asked} == {port["name"]}
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 600, "as long as migrations may take"
    (rule,) = objects["NetworkPolicy"]["spec"]["ingress"]
    assert [entry["port"] for entry in rule["ports"]] == [port["containerPort"]]


def test_a_pod_is_an_ordinary_user_on_a_read_only_root(objects: dict[str, Any]) -> None:
    spec = pod(objects)
    (container,) = spec["containers"]

    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 10001
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["args"][0] in COMMANDS


def test_everything_is_selected_by_the_label_that_the_pods_have(objects: dict[str, Any]) -> None:
    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]

    assert objects["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert objects["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels


def test_the_kustomization_leaves_out_nothing_but_the_secret() -> None:
    there = {path.name for path in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"}

    assert there - set(read(KUBERNETES / "kustomization.yaml")["resources"]) == {"secret.example.yaml"}
