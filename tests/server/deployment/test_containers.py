"""What docker-compose.yml and the Dockerfiles promise; `make containers` tries it on real ones."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml", reason="comes with the extra serve")

ROOT = Path(__file__).resolve().parents[3]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
SERVERS, CLIENTS = ("server", "server-cpu"), ("rollout", "replay", "convert")
DOCKERFILES = ("server/Dockerfile", "client/Dockerfile")
USER = "10001:10001"


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """[(FROM, …), (RUN, …), …], continued lines joined and comments left out."""
    lines = (ROOT / dockerfile).read_text().splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", text)
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line]


def stages(dockerfile: str) -> dict[str, list[tuple[str, str]]]:
    """The instructions of each stage by its name; the last one may have none."""
    found, name = {}, ""
    for keyword, rest in instructions(dockerfile):
        if keyword == "FROM":
            source, _, name = rest.partition(" AS ")
            found[name] = list(found.get(source, []))
        if name or found:
            found[name].append((keyword, rest))
    return found


def flags(service: str) -> str:
    return " ".join([*SERVICES[service].get("entrypoint", []), *SERVICES[service]["command"]])


def test_the_services_are_the_two_servers_and_their_clients():
    assert set(SERVICES) == {*SERVERS, *CLIENTS}
    assert SERVICES["server"]["profiles"] == ["gpu"]
    assert SERVICES["server-cpu"]["profiles"] == ["cpu"]


@pytest.mark.parametrize("has_gpu", [False, True])
def test_a_bare_up_starts_the_one_server_that_fits_the_host(tmp_path, has_gpu):
    (tmp_path / "server").mkdir()
    script = shutil.copy(ROOT / "server/make_secrets.sh", tmp_path / "server")
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "nvidia-smi").write_text(f"#!/bin/sh\nexit {int(not has_gpu)}\n")
    (tools / "nvidia-smi").chmod(0o755)
    environment = {"PATH": f"{tools}:/usr/bin:/bin:/usr/sbin:/sbin"}
    subprocess.run([script], env=environment, check=True, capture_output=True, timeout=60)
    lines = (tmp_path / ".env").read_text().splitlines()
    (profile,) = [line for line in lines if line.startswith("COMPOSE_PROFILES=")]
    started = [n for n in SERVERS if profile.partition("=")[2] in SERVICES[n]["profiles"]]
    assert started == ["server" if has_gpu else "server-cpu"]


def test_only_the_gpu_server_has_a_compiler_and_a_place_for_what_it_makes():
    builds = {name: SERVICES[name]["build"].get("args", {}) for name in SERVERS}
    assert builds["server"]["COMPILER"] == "4:12.2.0-3"
    assert "COMPILER" not in builds["server-cpu"]
    assert [place for place in SERVICES["server"]["tmpfs"] if "exec" in place] == [
        "/compiled:size=1g,mode=1777,exec"
    ]
    assert not any("exec" in place for place in SERVICES["server-cpu"]["tmpfs"])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_can_do_no_more_than_it_has_to(name):
    service = SERVICES[name]
    assert service["user"] == USER
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["tmpfs"], "a read-only root file system wants a place for scratch files"
    forbidden = {"privileged", "cap_add", "pid", "ipc", "userns_mode", "devices", "volumes_from"}
    assert not forbidden & set(service)
    assert service.get("network_mode", "none") == "none"
    assert "/var/run/docker.sock" not in str(service)


@pytest.mark.parametrize("name", SERVICES)
def test_only_what_a_service_writes_is_mounted_writable(name):
    writable = {
        volume.split(":")[-1]
        for volume in SERVICES[name].get("volumes", [])
        if not volume.endswith(":ro")
    }
    allowed = {"rollout": {"/runs"}, "replay": {"/runs"}, "convert": {"/datasets"}}
    assert writable == allowed.get(name, set())


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_is_encrypted_wants_a_token_and_says_how_it_is(name):
    service = SERVICES[name]
    for flag, secret in (("tls-cert", "tls_cert"), ("tls-key", "tls_key"), ("token-file", "token")):
        assert f"--{flag}=/run/secrets/{secret}" in flags(name)
        assert secret in service["secrets"]
    assert "--insecure" not in flags(name)
    check = service["healthcheck"]
    assert check["test"][:3] == ["CMD", "handover", "info"]
    assert int(check["timeout"].rstrip("s")) > 5  # what `info` itself waits
    (port,) = service["ports"]
    assert ":-127.0.0.1:" in port, "published on this machine alone, unless told otherwise"
    assert service["networks"]["policy"]["aliases"] == ["server"]


def test_the_drain_bound_ends_before_the_engines_patience():
    from handover_server.serve.command import ServeConfig

    for name in SERVERS:
        assert int(SERVICES[name]["stop_grace_period"].rstrip("s")) > ServeConfig.drain_s
        assert "--drain-s" not in flags(name)


def test_the_gpu_server_ends_where_it_has_no_gpu():
    for name, device in (("server", "cuda"), ("server-cpu", "cpu")):
        assert SERVICES[name]["entrypoint"] == ["handover", "serve", f"--device={device}"]


def test_only_the_gpu_server_reserves_a_gpu():
    (device,) = SERVICES["server"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    assert all("deploy" not in SERVICES[name] for name in SERVICES if name != "server")


@pytest.mark.parametrize("name", ["rollout", "replay"])
def test_a_client_waits_for_the_server_by_itself(name):
    assert "depends_on" not in SERVICES[name]
    for flag in ("--server=", "--connect-timeout-s=", "--tls-ca=", "--token-file="):
        assert flag in flags(name)


def test_secrets_are_files_and_never_variables():
    assert set(COMPOSE["secrets"]) == {"tls_cert", "tls_key", "tls_ca", "token"}
    assert all(set(secret) == {"file"} for secret in COMPOSE["secrets"].values())
    assert all("environment" not in service for service in SERVICES.values())
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert "/secrets/" in ignored
    assert "/.env" in ignored


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_an_image_comes_from_the_slim_python_of_a_named_debian(dockerfile):
    assert ("ARG", "PYTHON_IMAGE=python:3.11-slim-bookworm") in instructions(dockerfile)
    known = {"${PYTHON_IMAGE}", *stages(dockerfile)}
    for keyword, rest in instructions(dockerfile):
        if keyword == "FROM":
            assert rest.split()[0] in known


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_every_package_is_pinned_by_the_constraints(dockerfile):
    constraints = f"{Path(dockerfile).parent}/constraints.txt"
    assert ("COPY", f"pyproject.toml {constraints} ./") in instructions(dockerfile)
    for _, command in instructions(dockerfile):
        for install in re.findall(r"pip --python \S+ install ([^&]*)", command):
            assert "-c constraints.txt" in install or "--no-deps" in install, install


@pytest.mark.parametrize(
    ("dockerfile", "stage"),
    [("server/Dockerfile", ""), ("client/Dockerfile", "replay"), ("client/Dockerfile", "rollout")],
)
def test_what_runs_has_no_tools_of_the_build_and_is_not_root(dockerfile, stage):
    steps = stages(dockerfile)[stage]
    assert [rest for keyword, rest in steps if keyword == "USER"] == [USER]
    runs = " ".join(rest for keyword, rest in steps if keyword == "RUN")
    assert "pip" not in runs
    if "apt-get install" in runs:
        assert "--no-install-recommends" in runs
        assert "rm -rf /var/lib/apt/lists/*" in runs
    (entry,) = [rest for keyword, rest in steps if keyword == "ENTRYPOINT"]
    assert entry == '["handover"]'  # no shell between the engine's signals and us
    assert not any(word in runs for word in ("sudo", "chmod 777", "curl", "wget"))


def test_no_image_is_given_more_than_the_packages():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    allowed = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    roles = ("common", "proto", "model", "conversion", "training", "server", "client", "envs")
    packages = {f"{role}/handover_{role}" for role in roles}
    assert allowed == {"pyproject.toml", "README.md", "LICENSE", "*/constraints.txt", *packages}


def test_the_secrets_are_made_once_and_not_for_others_to_read(tmp_path):
    script, folder = ROOT / "server/make_secrets.sh", tmp_path / "secrets"
    environment = {"HANDOVER_SECRETS": str(folder), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}
    for attempt in (0, 1):
        done = subprocess.run(
            [script, "gpu-host", "10.0.0.5"], env=environment, capture_output=True, timeout=60
        )
        assert done.returncode == attempt, done.stderr
    for name in ("server.key", "token", "ca.key"):
        assert not (folder / name).stat().st_mode & 0o007
    shown = subprocess.run(
        ["openssl", "x509", "-in", folder / "server.pem", "-noout", "-ext", "subjectAltName"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    for name in ("DNS:localhost", "DNS:server", "DNS:gpu-host", "IP Address:10.0.0.5"):
        assert name in shown.stdout
