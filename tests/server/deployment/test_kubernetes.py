"""server/kubernetes.yaml: its parts fit each other, the server's flags, and its metrics."""

import re
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml", reason="comes with the extra serve")

ROOT = Path(__file__).resolve().parents[3]
OBJECTS = {
    found["kind"]: found
    for found in yaml.safe_load_all((ROOT / "server/kubernetes.yaml").read_text())
}
POD = OBJECTS["Deployment"]["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]


def test_the_service_the_budget_and_the_monitor_find_the_pods():
    labels = OBJECTS["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert OBJECTS["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert OBJECTS["Service"]["spec"]["selector"] == labels
    for kind in ("PodDisruptionBudget", "PodMonitor"):
        assert OBJECTS[kind]["spec"]["selector"]["matchLabels"] == labels


def test_the_name_resolves_to_every_server():
    assert OBJECTS["Service"]["spec"]["clusterIP"] == "None"  # the word, not null


def test_every_flag_is_one_of_handover_serve():
    from handover_server.serve.command import ServeConfig

    command, *flags = CONTAINER["args"]
    assert command == "serve"
    fields = ServeConfig.__dataclass_fields__
    for flag in flags:
        assert flag.startswith("--")
        assert flag[2:].partition("=")[0].replace("-", "_") in fields
    assert "--insecure" not in flags


def test_files_that_are_named_are_mounted_read_only():
    mounts = {mount["mountPath"]: mount for mount in CONTAINER["volumeMounts"]}
    volumes = {volume["name"] for volume in POD["volumes"]}
    assert {mount["name"] for mount in mounts.values()} == volumes
    for flag in CONTAINER["args"]:
        path = flag.partition("=")[2]
        if path.startswith("/"):
            (mount,) = [mount for place, mount in mounts.items() if path.startswith(place + "/")]
            assert mount["readOnly"] is True


def test_a_server_uses_its_gpu_and_can_write_what_it_compiles():
    assert "--device=cuda" in CONTAINER["args"]
    dockerfile = (ROOT / "server/Dockerfile").read_text()
    folders = re.findall(r"(?:TRITON|TORCHINDUCTOR)_CACHE_DIR=(\S+)", dockerfile)
    assert len(folders) == 2
    scratch = {volume["name"] for volume in POD["volumes"] if "emptyDir" in volume}
    writable = [m["mountPath"] for m in CONTAINER["volumeMounts"] if m["name"] in scratch]
    for folder in folders:
        assert any(folder.startswith(place + "/") for place in writable)


def test_the_secret_is_for_the_servers_group_alone():
    (secret,) = [volume["secret"] for volume in POD["volumes"] if "secret" in volume]
    assert secret["defaultMode"] == 0o440
    assert POD["securityContext"]["fsGroup"] == POD["securityContext"]["runAsUser"] == 10001


def test_a_pod_can_do_no_more_than_it_has_to():
    assert POD["automountServiceAccountToken"] is False
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(POD)


def test_probes_and_monitor_ask_the_port_of_the_metrics():
    from handover_server.serve.command import ServeConfig

    ports = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}
    assert f"--metrics-port={ports['metrics']}" in CONTAINER["args"]
    assert ports["grpc"] == ServeConfig.port
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = CONTAINER[probe]["httpGet"]
        assert asked == {"path": "/healthz", "port": "metrics", "scheme": "HTTPS"}
    (endpoint,) = OBJECTS["PodMonitor"]["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] == "metrics"


def test_a_pod_has_the_time_to_drain():
    from handover_server.serve.command import ServeConfig

    pause_s = int(CONTAINER["lifecycle"]["preStop"]["exec"]["command"][1])
    assert POD["terminationGracePeriodSeconds"] > pause_s + ServeConfig.drain_s


def test_it_is_scaled_by_a_metric_that_the_server_has():
    scaler = OBJECTS["HorizontalPodAutoscaler"]["spec"]
    assert scaler["scaleTargetRef"]["name"] == OBJECTS["Deployment"]["metadata"]["name"]
    (metric,) = scaler["metrics"]
    name = metric["pods"]["metric"]["name"]
    levels = (ROOT / "server/handover_server/inference/admission.py").read_text()
    assert re.search(rf'"{name.removeprefix("handover_")}":', levels)
