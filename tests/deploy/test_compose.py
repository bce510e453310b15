"""compose.yaml: what the specification cannot know, next to what it can. No engine runs it here."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema
from jsonschema.validators import validator_for

from tests.deploy.commands import unknown_options

DIRECTORY = Path(__file__).parents[2] / "deploy" / "compose"
FILES = [DIRECTORY / "compose.yaml", DIRECTORY / "compose.gpu.yaml"]
COMPOSE = yaml.safe_load(FILES[0].read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
VARIABLE = re.compile(r"\$\{(\w+)(:[-?][^}]*)?\}")
OWN_IMAGE = "lifecycle:"
OPTIONAL = ("LIFECYCLE_ENDPOINT_KEY",)
"""Secrets that only some recipes need."""


def variables(path: Path) -> dict[str, set[str]]:
    """Variables that a file asks of the environment, with what stands behind each name: `:-default` or `:?message`."""
    found: dict[str, set[str]] = {}
    for name, rest in VARIABLE.findall(path.read_text(encoding="utf-8").replace("$$", "")):
        found.setdefault(name, set()).add(rest)
    return found


def example() -> dict[str, str]:
    """`.env.example` as compose reads it."""
    lines = (DIRECTORY / ".env.example").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_specification_holds(path: Path) -> None:
    schema = get_builtin_schema("vendor.compose-spec")
    validator = validator_for(schema)(schema)
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert [error.message for error in validator.iter_errors(data)] == []
    data["services"]["code"]["helthcheck"] = {}
    assert list(validator.iter_errors(data)), "the schema lets a misspelt key through"


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_says_how_it_is_and_waits_for_the_health_of_others(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    for other, condition in service.get("depends_on", {}).items():
        assert condition == {"condition": "service_healthy"}, other
        assert "healthcheck" in SERVICES[other]
    assert service["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_our_own_or_pinned(name: str) -> None:
    image = SERVICES[name]["image"]
    repository, _, tag = image.partition(":")
    assert image.startswith(OWN_IMAGE) or re.fullmatch(r"v?\d+\.\d+(\.\d+)?(-\w+)?", tag), image
    assert repository


@pytest.mark.parametrize("files", [FILES[:1], FILES], ids=["cpu", "gpu"])
def test_every_image_of_our_own_is_built(files: list[Path]) -> None:
    """With the GPU's file in place nobody built the image of webserver and daemon."""
    used, built = {}, {}
    for path in files:
        for name, service in yaml.safe_load(path.read_text(encoding="utf-8"))["services"].items():
            used[name] = service.get("image", used.get(name, ""))
            built[name] = service.get("build", built.get(name))
    ours = {image for image in used.values() if image.startswith(OWN_IMAGE)}
    assert ours == {used[name] for name, build in built.items() if build}
    for build in filter(None, built.values()):
        assert (DIRECTORY / build["context"] / build["dockerfile"]).is_file()
        assert "GIT_COMMIT" in build["args"]


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_the_loopback_address_alone(name: str) -> None:
    """A port without an address is open to the network, past the machine's firewall."""
    assert all(str(port).startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_volumes_are_declared_and_used_and_files_are_there() -> None:
    used = set()
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (DIRECTORY / source).exists()
            elif not source.startswith("$"):
                used.add(source)
    assert used == set(COMPOSE["volumes"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_variable_is_explained_and_no_secret_has_a_default(path: Path) -> None:
    known = example()
    for name, forms in variables(path).items():
        assert name in known
        if "PASSWORD" in name or name.endswith("_KEY"):
            assert known[name] == "", "the example holds no secret"
            assert forms == {":-"} if name in OPTIONAL else all(form.startswith(":?") for form in forms), name
        else:
            assert {form.removeprefix(":-") for form in forms} == {known[name]}, f"the default of {name} is another one"


def test_the_example_explains_nothing_that_is_not_there() -> None:
    assert set(example()) == set().union(*(variables(path) for path in FILES))


@pytest.mark.parametrize("name", [name for name, each in SERVICES.items() if each["image"].startswith(OWN_IMAGE)])
def test_commands_and_health_checks_are_known_to_the_installed_programs(name: str) -> None:
    service = SERVICES[name]
    commands = [service.get("command"), service["healthcheck"]["test"][1:]]
    for command in commands:
        if command and command[0] == "python":
            compile(command[2], name, "exec")
        elif command:
            assert unknown_options(command) == []


def test_the_network_name_of_each_service_is_the_one_that_others_use() -> None:
    """An address with another name is found at the first request of the first run."""
    told = json.dumps(COMPOSE) + (DIRECTORY / "workspace.yaml").read_text(encoding="utf-8")
    for host in re.findall(r"(?:https?://|@|host: |_HOST\": \")([a-z][\w-]*)", told):
        assert host in {*SERVICES, "localhost"}, host
    ports = {"code": "4000", "mlflow": "5000", "objects": "7070"}
    for service, port in ports.items():
        assert f"{service}:{port}" in told.replace("host: code, port: 4000", "code:4000")
        assert port in json.dumps(SERVICES[service]["healthcheck"])


def test_mlflow_knows_the_name_under_which_runs_call_it() -> None:
    """Since 3.5 MLflow answers a Host header that it does not know with 403."""
    uri = SERVICES["code"]["environment"]["LIFECYCLE_TRACKING_URI"]
    allowed = SERVICES["mlflow"]["environment"]["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    assert f"{uri.removeprefix('http://').split(':')[0]}:*" in allowed
