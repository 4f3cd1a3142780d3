"""Serving one's own policy from Python: until the process is stopped, or in a thread."""

import asyncio
import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from handover_common import UsageError, show
from handover_proto import Policy

from handover_server.errors import ReloadRefused, ServingError
from handover_server.inference.policy_check import check_policy
from handover_server.rpc.server import PolicyServer
from handover_server.serve.config import ServeConfig, check
from handover_server.serve.run import build_server, serve_until_stopped

PolicyOrFactory = Policy | Callable[[], Policy]

# flags of `handover serve` about the choice of its policy and about its log
_OTHER_FLAGS = {
    *("checkpoint", "policy", "dataset_path", "embodiment_tag", "tokenizer", "device", "dtype"),
    *("engine", "precision", "fp8_scales", "compile", "threads", "log_format", "log_level"),
}
_PATHS = {"tls_cert", "tls_key", "client_ca", "token_file", "record"}


def serve_policy(
    policy: PolicyOrFactory, host: str = "127.0.0.1", port: int = 50051, **flags: Any
) -> None:
    """Serve one's own policy until SIGTERM or Ctrl-C, as `handover serve` serves a checkpoint.

    policy: a handover_proto.Policy, or a function (a class) that makes one: it is called in the
        policy's own thread, and again on SIGHUP
    flags: those of `handover serve` about the server: tls_cert, token_file, metrics_port, …

    Prints `serving NAME on HOST:PORT` once it answers. Raises HandoverError for an unsafe address,
    a port in use, or a policy whose outputs do not fit its spec.
    """
    config, load = _configure(policy, host, port, flags)
    if threading.current_thread() is not threading.main_thread():
        raise UsageError(
            "serve_policy stops on signals, which only the main thread gets; use serve_in_thread"
        )
    if asyncio.run(serve_until_stopped(config, load, show)):
        raise ServingError("the policy was given up: it is stuck, or its GPU failed")


@contextlib.contextmanager
def serve_in_thread(
    policy: PolicyOrFactory, host: str = "127.0.0.1", port: int = 0, **flags: Any
) -> Iterator[PolicyServer]:
    """Serve one's own policy in a thread during a with statement, for tests and notebooks.

    Yields the server once it answers at its `address`; drains it in the end. As serve_policy.
    """
    config, load = _configure(policy, host, port, flags)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="server", daemon=True)
    thread.start()
    try:
        server = asyncio.run_coroutine_threadsafe(_start(config, load), loop).result()
        try:
            yield server
        finally:
            asyncio.run_coroutine_threadsafe(server.drain(config.drain_s), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _start(config: ServeConfig, load: Callable[[], Policy]) -> PolicyServer:
    server = build_server(config, load)
    try:
        await server.listen()
        await server.become_ready()
    except BaseException:
        await server.drain(0.0)
        raise
    return server


def _configure(
    policy: PolicyOrFactory, host: str, port: int, flags: dict[str, Any]
) -> tuple[ServeConfig, Callable[[], Policy]]:
    known = {field.name for field in dataclasses.fields(ServeConfig)} - _OTHER_FLAGS
    for name in flags.keys() - known:
        raise UsageError(f"serve_policy takes no {name}; it takes {', '.join(sorted(known))}")
    paths = {name: Path(flags[name]) for name in flags.keys() & _PATHS if flags[name] is not None}
    config = ServeConfig(policy="hold", host=host, port=port, **{**flags, **paths})
    check(config)

    if isinstance(policy, type) or (not hasattr(policy, "infer") and callable(policy)):
        make: Callable[[], object] = policy
        return config, lambda: check_policy(make())
    given = [policy]  # until it is taken: two threads may not run one policy

    def take() -> Policy:
        if not given:
            raise ReloadRefused("it is an object; what can be reloaded is a function that makes it")
        return check_policy(given.pop())

    return config, take
