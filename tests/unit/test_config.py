"""Settings: what is allowed is taken, anything else is refused in one line that names the variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from libs.runtime.config import PROJECT, SettingInvalid, Settings


def test_without_variables_everything_is_local_and_embedded() -> None:
    settings = Settings.from_env({})
    assert (settings.host, settings.port, settings.data) == ("127.0.0.1", 5015, PROJECT / ".theke")
    assert (settings.postgres_dsn, settings.nats_url, settings.instance, settings.demo) == ("", "", "", False)


def test_variables_win_and_survive_the_way_to_a_child(tmp_path: Path) -> None:
    pem = tmp_path / "theke.pem"
    pem.touch()
    given = {
        "THEKE_HOST": "10.0.0.7",
        "THEKE_PORT": "8080",
        "THEKE_DATA": str(tmp_path),
        "THEKE_DEMO": "0",
        "THEKE_POSTGRES_DSN": "postgres://u:p@db:5433/postgres?sslmode=require",
        "THEKE_NATS_URL": "tls://u:p@bus:4222",
        "THEKE_STREAM_REPLICAS": "3",
        "THEKE_LOG_LEVEL": "debug",
        "THEKE_INSTANCE": "gasthaus-zur-post",
        "THEKE_REPLICAS": "pos=2,gateway=3",
        "THEKE_OPERATIONS_HOST": "10.0.0.8",
        "THEKE_OPERATIONS_PORT": "9464",
        "THEKE_RATE_LIMIT": "50",
        "THEKE_ROLE_PASSWORDS": str(tmp_path),
        "THEKE_TLS_CERT": str(pem),
        "THEKE_TLS_KEY": str(pem),
        "THEKE_OTLP_ENDPOINT": "http://collector:4318/v1/traces",
        "THEKE_TRACE_SAMPLE": "0.25",
        "THEKE_BUS_KEY": str(tmp_path / "bus.key"),
        "THEKE_STREAMS_KEPT": "1",
        "THEKE_WEBHOOK_PRIVATE": "1",
    }
    settings = Settings.from_env(given)
    assert settings.environ() == given
    assert Settings.from_env(settings.environ()) == settings


def test_several_servers_are_one_address() -> None:
    """A fail-over to a standby, a cluster of NATS."""
    given = {
        "THEKE_POSTGRES_DSN": "postgres://u:p@one:5432,two:5433/postgres?target_session_attrs=primary",
        "THEKE_NATS_URL": "nats://u:p@one:4222,nats://u:p@two:4222,nats://u:p@three",
    }
    settings = Settings.from_env(given)
    assert (settings.postgres_dsn, settings.nats_url) == tuple(given.values())


def test_an_empty_variable_counts_as_not_set() -> None:
    assert Settings.from_env(dict.fromkeys(Settings.from_env({}).environ(), "")) == Settings.from_env({})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("THEKE_PORT", "0"),
        ("THEKE_PORT", "65536"),
        ("THEKE_PORT", "http"),
        ("THEKE_PORT", "-1"),
        ("THEKE_PORT", "５０１５"),
        ("THEKE_DATA", __file__),
        ("THEKE_DEMO", "yes"),
        ("THEKE_POSTGRES_DSN", "mysql://u:p@db/postgres"),
        ("THEKE_POSTGRES_DSN", "postgres://"),
        ("THEKE_POSTGRES_DSN", "postgres://u:p@db:port/postgres"),
        ("THEKE_POSTGRES_DSN", "postgres://u:p@one:5432,:5433/postgres"),
        ("THEKE_NATS_URL", "localhost:4222"),
        ("THEKE_NATS_URL", "nats://one:4222,two:4222"),
        ("THEKE_STREAM_REPLICAS", "2"),
        ("THEKE_LOG_LEVEL", "verbose"),
        ("THEKE_REPLICAS", "pos"),
        ("THEKE_REPLICAS", "pos=0"),
        ("THEKE_REPLICAS", "pos=9"),
        ("THEKE_REPLICAS", "pos=２"),
        ("THEKE_REPLICAS", "pos=2,postgres=2"),
        ("THEKE_INSTANCE", "Zur Post"),
        ("THEKE_INSTANCE", "p"),
        ("THEKE_INSTANCE", "a" * 32),
    ],
)
def test_an_impossible_value_is_refused_in_one_line_naming_the_variable(variable: str, value: str) -> None:
    with pytest.raises(SettingInvalid, match=variable) as refusal:
        Settings.from_env({variable: value})
    assert "allowed" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_refused_address_is_not_repeated_with_its_password() -> None:
    with pytest.raises(SettingInvalid) as refusal:
        Settings.from_env({"THEKE_POSTGRES_DSN": "postgre://u:secret@db/postgres"})
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "till.example"])
def test_the_demo_with_its_known_password_is_not_shown_to_the_network(host: str) -> None:
    with pytest.raises(SettingInvalid, match="THEKE_HOST"):
        Settings.from_env({"THEKE_DEMO": "1", "THEKE_HOST": host})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_the_demo_runs_on_loopback(host: str) -> None:
    assert Settings.from_env({"THEKE_DEMO": "1", "THEKE_HOST": host}).demo


def test_an_address_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "dsn"
    file.write_text("postgres://u:p@db/postgres\n")
    assert Settings.from_env({"THEKE_POSTGRES_DSN_FILE": str(file)}).postgres_dsn == "postgres://u:p@db/postgres"
    both = {"THEKE_POSTGRES_DSN_FILE": str(file), "THEKE_POSTGRES_DSN": "postgres://u:p@other/postgres"}
    assert Settings.from_env(both).postgres_dsn == "postgres://u:p@other/postgres"
    with pytest.raises(SettingInvalid, match=r"THEKE_NATS_URL_FILE=.*absent: cannot be read"):
        Settings.from_env({"THEKE_NATS_URL_FILE": str(tmp_path / "absent")})


def test_passwords_of_roles_lie_in_a_directory(tmp_path: Path) -> None:
    assert Settings.from_env({"THEKE_ROLE_PASSWORDS": str(tmp_path)}).passwords == tmp_path
    with pytest.raises(SettingInvalid, match="THEKE_ROLE_PASSWORDS"):
        Settings.from_env({"THEKE_ROLE_PASSWORDS": str(tmp_path / "absent")})


@pytest.mark.parametrize("given", [("THEKE_TLS_CERT",), ("THEKE_TLS_KEY",)])
def test_tls_needs_a_certificate_and_its_key(tmp_path: Path, given: tuple[str, ...]) -> None:
    pem = tmp_path / "theke.pem"
    with pytest.raises(SettingInvalid, match="a file is allowed"):
        Settings.from_env(dict.fromkeys(given, str(pem)))
    pem.touch()
    with pytest.raises(SettingInvalid, match="both or none"):
        Settings.from_env(dict.fromkeys(given, str(pem)))
