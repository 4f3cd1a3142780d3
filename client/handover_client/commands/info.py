"""The command `handover info`: is a server there, what does it serve, how far away is it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handover_client.connection.flags import NO_SECURITY, SecurityOptions, read_security
from handover_client.connection.timeout_flags import check_timeouts

if TYPE_CHECKING:
    from handover_proto import ServerInfo

    from handover_client.connection.policy_client import PolicyClient

_PINGS = 11  # odd, so that the median is one of them


@dataclass(frozen=True)
class InfoConfig:
    """Tell what a policy server serves, and the round trip to it in milliseconds."""

    server: str
    """Address of the server, HOST:PORT."""
    timeout_s: float = 10.0
    """How long to wait for the server to be ready."""
    security: SecurityOptions = NO_SECURITY
    """How the connection is protected."""


def main(config: InfoConfig) -> None:
    """Print what the server serves and the median round trip of a few GetInfo calls."""
    check_timeouts(config, "timeout_s")

    import os

    from handover_client.connection.policy_client import PolicyClient

    security = read_security(config.security, os.environ)
    with PolicyClient.connect(
        config.server, timeout_s=config.timeout_s, security=security
    ) as client:
        round_trips_ms = ping_ms(client, _PINGS)
        print(describe(client.info, config.server, round_trips_ms))


def ping_ms(client: "PolicyClient", count: int) -> list[float]:
    """Measure `count` round trips of GetInfo, in milliseconds."""
    import time

    round_trips_ms = []
    for _ in range(count):
        start_s = time.perf_counter()
        client.get_info()
        round_trips_ms.append((time.perf_counter() - start_s) * 1e3)
    return round_trips_ms


def describe(info: "ServerInfo", address: str, round_trips_ms: Sequence[float]) -> str:
    """Lay out what a server says about itself, one fact per line."""
    import statistics

    spec, unknown = info.spec, "not told"
    rate = f"{spec.rate_hz:g} Hz" if spec.rate_hz else "rate not told"
    facts = {
        "server": f"{address}, handover {info.server_version or unknown}, "
        f"protocol {info.protocol_version}",
        "round trip": f"{statistics.median(round_trips_ms):.2f} ms "
        f"(median of {len(round_trips_ms)} GetInfo calls)",
        "policy": f"{spec.policy} on {spec.device}, {spec.dtype}",
        "checkpoint": f"{spec.checkpoint_name or unknown} "
        f"({short_hash(spec.checkpoint_hash) or 'no hash'})",
        "processor": short_hash(spec.processor_hash) or unknown,
        "embodiment": spec.embodiment_tag or unknown,
        "chunk": f"{spec.horizon} steps, {rate}, {spec.denoising_steps} denoising steps",
        "supports": ", ".join(
            f"{name} {'yes' if supported else 'no'}"
            for name, supported in (("seeds", spec.supports_seed), ("prefix", spec.supports_prefix))
        ),
        "images": f"{', '.join(codec.name for codec in info.image_codecs)}; at most "
        f"{info.limits.max_image_pixels:,} pixels each",
        "message": f"at most {info.limits.max_message_bytes / 2**20:g} MiB, "
        f"batches of up to {info.limits.max_batch}",
    }
    lines = [f"{name:<12}{fact}" for name, fact in facts.items()]
    return "\n".join([*lines, *_groups(info), *_training(info)])


def short_hash(digest: str) -> str:
    """Shorten a hash for people: its first 12 characters."""
    return digest[:12]


def _groups(info: "ServerInfo") -> list[str]:
    lines = []
    for camera in info.spec.cameras:
        size = f"{camera.width}x{camera.height} px" if camera.width else "any size"
        lines.append(f"{'camera':<12}{camera.name}: {size}, {camera.steps} frame(s)")
    for group in info.spec.state:
        unit = f", {group.unit}" if group.unit else ""
        lines.append(f"{'state':<12}{group.name}: {group.dim} values, {group.steps} step(s){unit}")
    for group in info.spec.action:
        kind = "relative" if group.relative else "absolute"
        unit = f", {group.unit}" if group.unit else ""
        lines.append(f"{'action':<12}{group.name}: {group.dim} values, {kind}{unit}")
    return lines


def _training(info: "ServerInfo") -> list[str]:
    return [
        f"{'trained on':<12}{record.dataset_name} ({short_hash(record.dataset_hash)}): "
        f"{len(record.train_episodes)} episodes, {len(record.held_out_episodes)} held out"
        for record in info.spec.training
    ]


def cli() -> None:
    """Parse the command line and run."""
    import tyro

    main(tyro.cli(InfoConfig))


if __name__ == "__main__":
    cli()
