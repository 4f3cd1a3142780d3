"""Description of a policy server: what it serves, and the round trip to it."""

import statistics
import time
from collections.abc import Sequence

from handover_proto import PolicySpec, ServerInfo

from handover_client.connection.foreign.open import AnyClient
from handover_client.connection.policy_client import PolicyClient

_UNKNOWN = "not reported"


def ping_ms(client: AnyClient, count: int) -> list[float]:
    """Measure `count` round trips of GetInfo, in milliseconds."""
    round_trips_ms = []
    for _ in range(count):
        start_s = time.perf_counter()
        client.get_info()
        round_trips_ms.append((time.perf_counter() - start_s) * 1e3)
    return round_trips_ms


def describe(client: AnyClient, round_trips_ms: Sequence[float]) -> str:
    """Describe a server, one fact per line."""
    info = client.info
    spec, limits = info.spec, info.limits
    is_ours = isinstance(client, PolicyClient)
    protocol = f"protocol {info.protocol_version}" if is_ours else f"{client.protocol}'s protocol"
    version = f"handover {info.server_version or _UNKNOWN}, " if is_ours else ""
    asked = "GetInfo calls" if is_ours else "pings"
    rate = f"{spec.rate_hz:g} Hz" if spec.rate_hz else f"rate {_UNKNOWN}"
    facts = {
        "server": f"{client.address}, {version}{protocol}",
        "round trip": f"{statistics.median(round_trips_ms):.2f} ms "
        f"(median of {len(round_trips_ms)} {asked})",
        "policy": f"{spec.policy} on {spec.device or _UNKNOWN}, {spec.dtype or _UNKNOWN}",
        "checkpoint": f"{spec.checkpoint_name or _UNKNOWN} "
        f"({_short(spec.checkpoint_hash) or 'no hash'})",
        "processor": _short(spec.processor_hash) or _UNKNOWN,
        "embodiment": spec.embodiment_tag or _UNKNOWN,
        "chunk": f"{spec.horizon} steps, {rate}, {spec.denoising_steps} denoising steps",
        "supports": f"seeds {'yes' if spec.supports_seed else 'no'}, prefix {_prefix(spec)}",
        "images": f"{', '.join(codec.name for codec in info.image_codecs)}; at most "
        f"{limits.max_image_pixels:,} pixels each",
        "message": f"at most {limits.max_message_bytes / 2**20:g} MiB, "
        f"batches of up to {limits.max_batch}",
    }
    return "\n".join(f"{name:<12}{fact}" for name, fact in [*facts.items(), *_groups(info)])


def _prefix(spec: PolicySpec) -> str:
    if not spec.supports_prefix:
        return "no"
    learned = spec.learned_delay_steps
    return f"learnt up to {learned} steps of delay, guided beyond" if learned else "guided"


def _groups(info: ServerInfo) -> list[tuple[str, str]]:
    spec = info.spec
    facts = []
    for camera in spec.cameras:
        size = f"{camera.width}x{camera.height} px" if camera.width else "any size"
        facts.append(("camera", f"{camera.name}: {size}, {camera.steps} frame(s)"))
    for group in spec.state:
        unit = f", {group.unit}" if group.unit else ""
        facts.append(("state", f"{group.name}: {group.dim} values, {group.steps} step(s){unit}"))
    for group in spec.action:
        kind = "relative" if group.relative else "absolute"
        unit = f", {group.unit}" if group.unit else ""
        facts.append(("action", f"{group.name}: {group.dim} values, {kind}{unit}"))
    for record in spec.training:
        episodes = (
            f"{len(record.train_episodes)} episodes, {len(record.held_out_episodes)} held out"
        )
        fact = f"{record.dataset_name} ({_short(record.dataset_hash)}): {episodes}"
        facts.append(("trained on", fact))
    for each in spec.latency_envelopes:
        fact = (
            f"up to {each.latency_ms:g} ± {each.jitter_ms:g} ms as without "
            f'({each.switching}, {each.episodes} episodes each, "{each.task}")'
        )
        facts.append(("latency", fact))
    return facts


def _short(digest: str) -> str:
    return digest[:12]
