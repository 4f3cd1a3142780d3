"""The command `handover serve`, as a process: what it prints, when it refuses, how it stops."""

import contextlib
import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading

import grpc
import pytest
from handover_common.errors import UsageError
from handover_proto import policy_pb2 as pb
from handover_proto.policy_pb2_grpc import PolicyServiceStub
from handover_server.serve.command import main
from handover_server.serve.config import ServeConfig

COMMAND = (sys.executable, "-m", "handover_server.serve.command")
TIMEOUT_S = 120  # a process that imports torch takes 30 s on a busy machine
OPENPI = re.compile(r"openpi clients on \S+:(\d+)")
HANDSHAKE = (
    *("GET / HTTP/1.1", "Host: 127.0.0.1:{port}", "Connection: Upgrade", "Upgrade: websocket"),
    *("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg=="),
)
NEVER_STOPS = """
import asyncio, time
from handover_server.serve import run
async def blocked():
    with run._stop_on_signals(0.2):
        print("ready", flush=True)
        while True:
            time.sleep(0.1)
asyncio.run(blocked())
"""


def run(*arguments, **environment):
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={**os.environ, **environment},
    )


@pytest.fixture
def start():
    """Start a server as a process: its port and the process."""
    started = []

    def begin(*arguments):
        process = subprocess.Popen(
            [*COMMAND, *arguments, "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        process.lines = []
        while (line := process.stdout.readline()) and not line.startswith("serving"):
            process.lines.append(line)
        found = re.fullmatch(r"serving (\S+) on 127\.0\.0\.1:([1-9][0-9]*)\n", line)
        assert found, line + process.stderr.read()
        return int(found[2]), process

    yield begin
    for process in started:
        process.kill()
        process.communicate(timeout=TIMEOUT_S)


def test_it_serves_where_it_says_and_stops_with_0_on_sigterm(start):
    port, process = start("--policy", "hold", "--drain-s", "600")  # nobody asked: it need not wait
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        info = PolicyServiceStub(channel).GetInfo(pb.GetInfoRequest(), timeout=TIMEOUT_S)
    assert info.policy == "hold"
    process.send_signal(signal.SIGTERM)
    out, log = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    assert out == ""
    assert "SIGTERM" in log
    assert "Traceback" not in log


def test_ctrl_c_stops_it_as_well(start):
    _, process = start("--policy", "hold")
    process.send_signal(signal.SIGINT)
    _, log = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    assert "Traceback" not in log


def test_an_open_stream_does_not_hold_a_stop_up(start):
    port, process = start("--policy", "hold", "--drain-s", "600")
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        outbox = queue.Queue()
        stream = PolicyServiceStub(channel).InferStream(iter(outbox.get, None))
        outbox.put(pb.InferRequest(sequence=7))
        assert next(stream).sequence == 7
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=TIMEOUT_S) == 0
        with pytest.raises(grpc.RpcError) as caught:
            next(stream)
        outbox.put(None)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_it_answers_and_stops_though_nobody_reads_its_log(start):
    port, process = start("--policy", "hold", "--log-level", "debug")
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        infer = channel.unary_unary("/handover.policy.v1.PolicyService/Infer")
        for _ in range(1500):  # at 60 bytes a line: more than a pipe holds
            with pytest.raises(grpc.RpcError) as caught:
                infer(b"\xff", timeout=TIMEOUT_S)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=TIMEOUT_S) == 0


def test_a_stop_is_not_held_up_by_a_websocket_that_reads_no_pongs(start):
    pytest.importorskip("websockets")
    _, process = start(
        "--policy", "hold", "--openpi-port", "0", "--openpi-rate-hz", "50", "--drain-s", "0"
    )
    port = int(next(filter(None, map(OPENPI.search, process.lines)))[1])
    opening = "\r\n".join(HANDSHAKE).format(port=port)
    ping = bytes([0x89, 0x80 | 125]) + bytes(4 + 125)
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stranger.settimeout(TIMEOUT_S)
        stranger.connect(("127.0.0.1", port))
        stranger.sendall(f"{opening}\r\n\r\n".encode())
        assert stranger.recv(12) == b"HTTP/1.1 101"
        stranger.settimeout(0.5)
        with pytest.raises(TimeoutError):  # the server waits for the stranger to read
            stranger.sendall(200_000 * ping)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=TIMEOUT_S) == 0


def test_a_stop_is_not_held_up_by_tls_handshakes_that_fail(start, authority):
    certificate, key = authority.sign("open")
    secure = ("--tls-cert", str(certificate), "--tls-key", str(key))
    port, process = start("--policy", "hold", "--drain-s", "0", *secure)
    stop, failed = threading.Event(), threading.Semaphore(0)

    def fail():
        while not stop.is_set():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as one:
                one.sendall(b"\x16\x03\x01\x00\x05hello")  # a TLS record that is no handshake
                one.settimeout(TIMEOUT_S)
                while one.recv(100):  # an alert, and the end
                    pass
                failed.release()

    strangers = [threading.Thread(target=fail) for _ in range(4)]
    for stranger in strangers:
        stranger.start()
    for _ in range(20):
        assert failed.acquire(timeout=TIMEOUT_S)
    half = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    try:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=TIMEOUT_S) == 0  # and not by SIGALRM, which ends what hangs
    finally:
        stop.set()
        for each in [*strangers, *half]:
            each.join() if isinstance(each, threading.Thread) else each.close()


def test_a_process_that_cannot_stop_is_ended(tmp_path):
    host = tmp_path / "host.py"
    host.write_text(NEVER_STOPS)
    process = subprocess.Popen([sys.executable, host], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=TIMEOUT_S) == -signal.SIGALRM
    process.stdout.close()


def test_a_taken_port_is_one_clear_line(start):
    port, _ = start("--policy", "hold")
    done = run("--policy", "hold", "--port", str(port))
    assert done.returncode == 1
    assert re.fullmatch(rf"handover: cannot listen on 127.0.0.1:{port}: .*\n", done.stderr)
    done = run("--policy", "hold", "--port", "0", "--metrics-port", str(port))
    assert done.returncode == 1
    said = rf"handover: cannot listen on 127.0.0.1:{port} for metrics: .*\n"
    assert re.fullmatch(said, done.stderr)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--checkpoint", "nowhere", "--port", "0"], "nowhere is no folder here; expected a check"),
        (["--policy", "hold", "--host", "192.0.2.1", "--insecure"], "cannot listen on 192.0.2.1"),
    ],
)
def test_what_cannot_be_had_is_one_last_line_and_a_1(arguments, line):
    done = run(*arguments)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"handover: {line}")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["--policy", "hold", "--host", "0.0.0.0"],
            r"--host 0\.0\.0\.0 would serve anyone .*add --tls-cert --tls-key and --token-file"
            ".*--insecure",
        ),
        (["--policy", "hold", "--host", "::"], "--host :: would serve anyone"),
        (["--policy", "hold", "--host", "robot.local"], "--host robot.local would serve anyone"),
        (
            ["--policy", "hold", "--host", "::", "--token-file", "t"],
            "--host :: would serve anyone .*add --tls-cert --tls-key, use",
        ),
        (
            ["--policy", "hold", "--host", "::", "--tls-cert", "c", "--tls-key", "k"],
            "--host :: would serve anyone .*add --token-file, use",
        ),
        (
            ["--policy", "hold", "--metrics-host", "0.0.0.0"],
            "--metrics-host 0.0.0.0 would serve anyone",
        ),
        (["--policy", "hold", "--tls-cert", "c"], "--tls-cert and --tls-key belong together"),
        (["--policy", "hold", "--client-ca", "c"], "--client-ca needs --tls-cert"),
        (["--policy", "hold", "--batch-window-ms", "3"], "--batch-window-ms is 3, expected 0 to 2"),
        (["--policy", "hold", "--client-streams", "0"], "--client-streams is 0, expected 1"),
        ([], "--policy groot needs --checkpoint"),
        (["--policy", "replay"], "--policy replay needs --dataset-path"),
        (["--policy", "hold", "--checkpoint", "c"], "--policy hold takes no --checkpoint"),
        (["--checkpoint", "c", "--dataset-path", "d"], "--policy groot takes no --dataset-path"),
        (["--checkpoint", "c", "--fp8-scales", "s"], "--fp8-scales needs --precision fp8"),
        (
            ["--checkpoint", "c", "--precision", "fp8", "--engine", "reference"],
            "--precision fp8 is computed by the fast engine",
        ),
        (["--policy", "hold", "--port", "70000"], "--port is 70000, expected 0 to 65535"),
        (["--policy", "hold", "--max-batch", "0"], "--max-batch is 0, expected 1 or more"),
        (["--policy", "hold", "--drain-s", "-1"], "--drain-s is -1, expected 0 or more"),
        (["--policy", "hold", "--drain-s", "nan"], "--drain-s is nan, expected 0 or more"),
        (["--policy", "hold", "--watchdog-s", "-1"], "--watchdog-s is -1, expected 0 or more"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_one_line_and_a_2(arguments, line):
    done = run(*arguments)
    assert done.returncode == 2
    assert re.match(rf"handover: {line}", done.stderr)
    assert done.stderr.count("\n") == 1


def test_main_raises_what_the_handover_command_prints():
    with pytest.raises(UsageError, match="needs --checkpoint"):
        main(ServeConfig())


@pytest.mark.parametrize(
    ("host", "others", "exposed"),
    [
        ("0.0.0.0", (), "--host 0.0.0.0"),
        ("127.0.0.1", ("--metrics-host", "::"), "--metrics-host ::"),
    ],
)
def test_insecure_opens_the_server_to_the_network_and_says_which_address(host, others, exposed):
    process = subprocess.Popen(
        [*COMMAND, "--policy", "hold", "--host", host, "--insecure", "--port", "0", *others],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert re.match(rf"serving hold on {re.escape(host)}:\d+", process.stdout.readline())
    finally:
        process.kill()
        _, log = process.communicate(timeout=TIMEOUT_S)
    assert f"anyone who reaches {exposed} is served" in log
    assert f"all traffic of {exposed} is unencrypted" in log


def test_encrypted_and_with_tokens_it_may_be_open_to_the_network(authority, tmp_path):
    certificate, key = authority.sign("open")
    tokens = tmp_path / "tokens"
    tokens.write_text("a-token-0123456789abcdef\n")
    tokens.chmod(0o600)
    process = subprocess.Popen(
        [
            *(*COMMAND, "--policy", "hold", "--host", "0.0.0.0", "--port", "0"),
            *("--tls-cert", certificate, "--tls-key", key, "--token-file", tokens),
            *("--log-format", "json"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        found = re.match(r"serving hold on 0\.0\.0\.0:(\d+)", process.stdout.readline())
        credentials = grpc.ssl_channel_credentials(authority.certificate.read_bytes())
        with grpc.secure_channel(f"localhost:{found[1]}", credentials) as channel:
            info = PolicyServiceStub(channel).GetInfo(
                pb.GetInfoRequest(),
                timeout=TIMEOUT_S,
                metadata=[("authorization", "Bearer a-token-0123456789abcdef")],
            )
        assert info.policy == "hold"
        plain = grpc.insecure_channel(f"localhost:{found[1]}")
        with plain, pytest.raises(grpc.RpcError):  # the handshake fails, which gRPC would log
            PolicyServiceStub(plain).GetInfo(pb.GetInfoRequest(), timeout=TIMEOUT_S)
    finally:
        process.kill()
        _, log = process.communicate(timeout=TIMEOUT_S)
    assert "a-token" not in log
    assert {json.loads(line)["level"] for line in log.splitlines()} == {"info"}


def test_a_token_file_that_others_may_read_is_one_clear_line(tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("a-token-0123456789abcdef\n")
    tokens.chmod(0o644)
    done = run("--policy", "hold", "--port", "0", "--token-file", str(tokens))
    assert done.returncode == 1
    assert re.fullmatch(r"handover: the token file .* has mode 0644: .*\n", done.stderr)


@pytest.mark.parametrize("missing", ["grpc_health", "grpc_reflection"])
def test_a_missing_extra_is_told_by_name(tmp_path, missing):
    (tmp_path / missing).mkdir()
    (tmp_path / missing / "__init__.py").write_text(
        f"raise ModuleNotFoundError('gone', name={missing!r})"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = run("--policy", "hold", PYTHONPATH=path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert missing in done.stderr
    assert 'pip install -e ".[serve]"' in done.stderr


def test_help_needs_no_heavy_import():
    program = (
        "import sys, handover_server.serve.command as s; "
        "print([m for m in ('grpc', 'torch', 'numpy', 'pyarrow', 'asyncio') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert done.stdout.strip() == "[]"
    assert run("--help").returncode == 0


IMPROVING_SERVER = """
import atexit, sys, threading
from handover_common import run_command
from handover_proto.policy import COMPILER_THREAD
from handover_server.serve import command as serve
from handover_server.serve import run as serving

atexit.register(print, "Python's own end")
make_policy = serving.load_policy

def load(config):
    threading.Thread(target=threading.Event().wait, name=COMPILER_THREAD, daemon=True).start()
    return make_policy(config)

serving.load_policy = load
sys.exit(run_command(serve.ServeConfig, serve.main, "handover serve"))
"""


def test_a_policy_that_still_improves_itself_does_not_hold_up_the_servers_end():
    """Its thread may be inside a compiler, which crashes when Python ends around it."""
    process = subprocess.Popen(
        [sys.executable, "-c", IMPROVING_SERVER, "--policy", "hold", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline().startswith("serving hold on ")
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=2 * TIMEOUT_S)
    finally:
        process.kill()
    assert process.returncode == 0
    assert rest == ""
