"""`handover serve`: a policy behind gRPC, until it is told to stop."""

import ipaddress
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Optional

import tyro
from handover_proto.errors import HandoverError, MissingExtra, UsageError

logger = logging.getLogger(__name__)

# typing.Optional: tyro checks such a default without importing typeguard, which would take a third
# of the time of --help
# ruff: noqa: UP045


@dataclass(frozen=True)
class ServeConfig:
    """Serve a policy over gRPC."""

    checkpoint: Optional[str] = None
    """Checkpoint folder or hub name (ORGANISATION/MODEL); for --policy groot."""
    policy: Literal["groot", "hold", "replay"] = "groot"
    """groot: a GR00T N1.6 checkpoint; hold: stay in place; replay: a dataset's own actions."""
    dataset_path: Optional[Path] = None
    """GR00T dataset to play back; for --policy replay."""
    embodiment_tag: Optional[str] = None
    """Embodiment to serve, where the checkpoint has several."""
    tokenizer: Optional[Path] = None
    """Folder with the tokenizer's files, where the checkpoint has none."""
    device: str = "auto"
    """cpu, cuda, cuda:N; auto takes a GPU if there is one."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the weights; auto is bfloat16 on a GPU and float32 on a CPU."""
    host: str = "127.0.0.1"
    """Address to listen on; any but the machine's own needs --insecure."""
    port: int = 50051
    """Port to listen on; 0 takes a free one and prints it."""
    insecure: bool = False
    """Listen on the network without encryption or password: whoever reaches the port is served."""
    max_batch: Optional[int] = None
    """Most requests computed together, within what the policy allows."""
    max_waiting: int = 64
    """Requests under way at once; more are told to try again later."""
    threads: Optional[int] = None
    """CPU threads of the policy; by default one for a small network, else what PyTorch chooses."""
    decode_threads: int = 2
    """Threads that decompress images."""
    drain_s: float = 10.0
    """Seconds that requests under way have when the server is told to stop."""


def main(config: ServeConfig) -> None:
    """Serve until SIGTERM or SIGINT; raises HandoverError when it cannot start."""
    _check(config)
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    if not _is_loopback(config.host):
        logger.warning("anyone who reaches %s is served, unencrypted (--insecure)", config.host)
    try:
        from handover_server.serving import serve_until_stopped
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "grpc", "serve") from None
    serve_until_stopped(config)


def _check(config: ServeConfig) -> None:
    if config.policy == "groot" and not config.checkpoint:
        raise UsageError("--policy groot needs --checkpoint DIR_OR_REPO")
    if config.policy == "replay" and config.dataset_path is None:
        raise UsageError("--policy replay needs --dataset-path DIR")
    if not 0 <= config.port < 65536:
        raise UsageError(f"--port is {config.port}, expected 0 to 65535")
    for flag in ("max_batch", "max_waiting", "threads", "decode_threads"):
        value = getattr(config, flag)
        if value is not None and value < 1:
            raise UsageError(f"--{flag.replace('_', '-')} is {value}, expected 1 or more")
    if config.drain_s < 0:
        raise UsageError(f"--drain-s is {config.drain_s}, expected 0 or more")
    if not (config.insecure or _is_loopback(config.host)):
        raise UsageError(
            f"--host {config.host} would serve anyone on the network, unencrypted; "
            "use 127.0.0.1 (and an ssh tunnel), or say --insecure if the network is yours alone"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def cli() -> None:
    """Parse the command line and serve."""
    try:
        main(tyro.cli(ServeConfig, prog="handover serve"))
    except HandoverError as error:
        print(f"handover serve: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)


if __name__ == "__main__":
    cli()
