"""compose.yaml and deploy/ without a container engine: the published schema, and what the schema cannot know."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from libs.bus import accounts
from libs.runtime.bus_key import BusKey
from libs.runtime.config import SERVICES
from libs.runtime.embedded import NATS_MAX_PAYLOAD_BYTES, nats_program
from libs.runtime.installation import GATEWAY

PROJECT = Path(__file__).resolve().parents[2]
COMPOSE = PROJECT / "compose.yaml"
ENDING = ("prepare", "operator")  # they do one thing, and end


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return YAML(typ="safe").load(COMPOSE)


def checked(*files: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_follows_the_compose_specification() -> None:
    outcome = checked(COMPOSE)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_the_check_would_notice_a_word_the_specification_does_not_have(tmp_path: Path) -> None:
    broken = tmp_path / "compose.yaml"
    broken.write_text(COMPOSE.read_text().replace("restart: unless-stopped", "restrat: unless-stopped", 1))
    assert checked(broken).returncode != 0


def test_there_is_a_container_for_every_process_the_supervisor_runs(compose: dict[str, Any]) -> None:
    programs = {service["command"][-1] for service in compose["services"].values() if "services." in service["command"][-1]}
    assert programs == {f"services.{name}" for name in (*SERVICES, GATEWAY)}


def test_every_long_running_container_has_a_health_check_and_comes_back(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        if name not in ENDING:
            assert "test" in service["healthcheck"], name
            assert service["restart"] == "unless-stopped", name


def test_only_the_gateway_is_published_and_only_on_loopback(compose: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert set(published) == {GATEWAY}
    assert all(port.startswith("127.0.0.1:") for port in published[GATEWAY])


def test_whatever_a_service_refers_to_is_declared(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for kind in ("secrets", "configs"):
            used = {entry if isinstance(entry, str) else entry["source"] for entry in service.get(kind, ())}
            assert used <= set(compose[kind]), (name, kind)
        assert set(service.get("networks", ())) <= set(compose["networks"]), name
        assert {volume.split(":")[0] for volume in service.get("volumes", ())} <= set(compose["volumes"]), name
        assert set(service.get("depends_on", ())) <= set(compose["services"]), name


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """What deploy/make-secrets makes."""
    script = tmp_path / "make-secrets"
    script.write_bytes((PROJECT / "deploy" / "make-secrets").read_bytes())
    subprocess.run(["/bin/sh", str(script)], check=True, capture_output=True)
    return tmp_path / "secrets"


def test_the_secrets_it_names_are_those_the_script_makes_and_git_ignores(compose: dict[str, Any], tmp_path: Path) -> None:
    script = tmp_path / "make-secrets"
    script.write_bytes((PROJECT / "deploy" / "make-secrets").read_bytes())
    subprocess.run(["/bin/sh", str(script)], check=True, capture_output=True)
    made = {f"deploy/secrets/{file.name}" for file in (tmp_path / "secrets").iterdir()}
    assert made == {secret["file"] for secret in compose["secrets"].values()}
    assert (tmp_path / "secrets").stat().st_mode & 0o077 == 0
    before = (tmp_path / "secrets" / "postgres_password").read_text()
    assert len(before) == 48
    assert subprocess.run(["/bin/sh", str(script)], capture_output=True, check=False).returncode == 1
    assert (tmp_path / "secrets" / "postgres_password").read_text() == before
    assert "secrets/" in (PROJECT / "deploy" / ".gitignore").read_text().splitlines()


def test_nats_takes_its_configuration_and_everybody_may_log_in_with_their_own_password(made: Path, compose: dict[str, Any]) -> None:
    for config in compose["configs"].values():
        shutil.copy(PROJECT / config["file"], made)
    configuration = (made / "nats.conf").read_text()
    tried = subprocess.run([str(nats_program()), "-t", "-c", str(made / "nats.conf")], capture_output=True, text=True, check=False)
    assert tried.returncode == 0, tried.stderr
    assert f"max_payload: {NATS_MAX_PAYLOAD_BYTES}\n" in configuration
    passwords = dict(line.split(": ") for line in (made / "passwords.conf").read_text().splitlines())
    assert passwords == {f"password_{user.name}": json.dumps((made / f"nats_{user.name}").read_text()) for user in accounts.users()}
    assert len(set(passwords.values())) == len(passwords)


def test_every_process_gets_its_own_password_of_the_bus_and_no_other(compose: dict[str, Any]) -> None:
    for name in (*SERVICES, GATEWAY):
        service = compose["services"][name]
        assert service["environment"]["THEKE_NATS_USER"] == name
        assert {"source": f"nats_{name}", "target": "nats_password"} in service["secrets"]
        assert [one["source"] for one in service["secrets"] if one["source"].startswith("nats")] == [f"nats_{name}"]
    assert all(compose["services"][name]["environment"]["THEKE_STREAMS_KEPT"] == "1" for name in SERVICES)
    keys = [name for name, service in compose["services"].items() if "bus_key" in service.get("secrets", ())]
    assert keys == ["keeper", "operator"]


def test_nats_takes_the_accounts_that_the_command_line_prints(made: Path, compose: dict[str, Any]) -> None:
    for config in compose["configs"].values():
        shutil.copy(PROJECT / config["file"], made)
    key = BusKey.kept_in(made / "bus_key")
    (made / "instances.conf").write_text(accounts.instance_accounts(lambda user: json.dumps(key.password(user)), [1, 2, 17]))
    tried = subprocess.run([str(nats_program()), "-t", "-c", str(made / "nats.conf")], capture_output=True, text=True, check=False)
    assert tried.returncode == 0, tried.stderr


@pytest.mark.parametrize("user", ["", "pos"])
def test_the_entrypoint_puts_addresses_together(tmp_path: Path, user: str) -> None:
    (tmp_path / "postgres_password").write_text("p1")
    if user:
        (tmp_path / "nats_password").write_text("p2")
    text = (PROJECT / "deploy" / "entrypoint").read_text()
    script = tmp_path / "entrypoint"
    script.write_text(text.replace("/run/secrets", str(tmp_path)))
    program = "import os; print(os.environ['THEKE_POSTGRES_DSN'], os.environ.get('THEKE_NATS_URL', 'none'))"
    environ = {"PATH": os.environ["PATH"], "THEKE_NATS_USER": user}
    command = ["/bin/sh", str(script), sys.executable, "-c", program]
    ran = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["postgres://theke:p1@postgres:5432/postgres", "nats://pos:p2@nats:4222" if user else "none"]
    ran = subprocess.run(command, env={**environ, "THEKE_POSTGRES_USER": "theke_pos"}, capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("postgres://theke_pos:p1@postgres:5432/postgres")
    (tmp_path / "postgres_password").unlink()
    command[-1] = "import os; print(os.environ.get('THEKE_POSTGRES_DSN', 'none'))"
    ran = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["none"], "the keeper has no database"


def test_only_what_prepares_and_the_operator_have_the_password_of_the_databases_owner(compose: dict[str, Any]) -> None:
    def files(name: str) -> dict[str, str]:
        secrets = compose["services"][name].get("secrets", ())
        return {one if isinstance(one, str) else one["target"]: one if isinstance(one, str) else one["source"] for one in secrets}

    for name in (*SERVICES, GATEWAY):
        assert files(name)["postgres_password"] == f"postgres_{name}"
        assert compose["services"][name]["environment"]["THEKE_POSTGRES_USER"] == f"theke_{name}"
    prepares = files("prepare")
    assert {"postgres_password", *(f"postgres_{name}" for name in (*SERVICES, GATEWAY))} <= prepares.keys()
    assert compose["services"]["prepare"]["environment"]["THEKE_ROLE_PASSWORDS"] == "/run/secrets"
    holders = {name for name in compose["services"] if "postgres_password" in files(name).values()}
    assert holders == {"postgres", *ENDING}


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1), (None, 1)])
def test_the_health_check_says_what_the_process_says(status: int | None, code: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if status is None:
            server.close()
        else:
            threading.Thread(target=_answer_once, args=(server, status), daemon=True).start()
        script = [str(PROJECT / "deploy" / "healthy")]
        ran = subprocess.run(script, env={"THEKE_OPERATIONS_PORT": str(port)}, capture_output=True, check=False, timeout=20)
    assert ran.returncode == code, ran.stderr


def _answer_once(server: socket.socket, status: int) -> None:
    connection, _ = server.accept()
    with connection:
        assert connection.recv(1024).startswith(b"GET /readyz HTTP/1.0\r\n")
        connection.sendall(f"HTTP/1.0 {status} Said\r\n\r\n".encode())
