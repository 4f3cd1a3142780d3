"""Words for a run's figures, the same in the terminal, the report and a comparison."""

from collections.abc import Mapping, Sequence
from typing import Any

_MOST_LISTED = 12  # episodes of a list; a line of the terminal has room for them


def percent(share: float) -> str:
    """Write a share as a percentage: 0.625 -> "62.5 %"."""
    return f"{100 * share:.1f} %"


def percent_interval(share: Mapping[str, Any]) -> str:
    """Write a share of episodes: "92.0 % (95 % interval 81.2 % … 96.8 %)"."""
    low, high = share["wilson_95"]
    return f"{percent(share['success_rate'])} (95 % interval {percent(low)} … {percent(high)})"


def policy_name(figures: Mapping[str, Any]) -> str:
    """Name what decided the actions: a checkpoint, else a policy, else the script."""
    server = figures["provenance"]["server"]
    return (server["checkpoint"] or server["policy"]) if server else "the scripted expert"


def policy_and_hash(figures: Mapping[str, Any]) -> str:
    """Name what decided the actions, with the first digits of its checkpoint's hash."""
    server = figures["provenance"]["server"]
    digest = server["checkpoint_hash"][:12] if server else ""
    return f"{policy_name(figures)} ({digest})" if digest else policy_name(figures)


def clock_name(figures: Mapping[str, Any]) -> str:
    """Name the clock that a rollout's episodes ran by."""
    settings = figures["settings"]
    seen = frames_name(figures)
    if not settings["realtime"]:
        return f"in lockstep{seen}"
    latency = f"{settings['latency_ms']:g} ± {settings['jitter_ms']:g} ms"
    chunks = f"chunks switched by {settings['switching']}"
    if settings["clock"] == "simulated":
        return f"in simulated real time, {latency} latency, {chunks}{seen}"
    return f"in real time, {latency} latency added, {chunks}{seen}"


def frames_name(figures: Mapping[str, Any]) -> str:
    """Name the age of the frames that a policy saw, after a comma; empty for frames of now."""
    settings = figures["settings"]
    age_ms = settings.get("frame_age_ms", 0.0)  # runs of before had none
    if not age_ms:
        return ""
    unknown = "" if settings.get("frame_times", True) else " with joints of now"
    return f", frames {age_ms:g} ms old{unknown}"


def world_name(figures: Mapping[str, Any]) -> str:
    """Name what was changed in a rollout's world, after a comma; empty for the plain one."""
    axis, _, strength = figures["settings"].get("change", "").partition(":")
    return f", {axis.replace('_', ' ')} changed at strength {strength}" if axis else ""


def incidents(figures: Mapping[str, Any]) -> list[str]:
    """List what went wrong between robot and policy in a rollout, a line each."""
    lines = []
    outages, endings = figures["outages"], figures["endings"]
    if outages["count"]:
        lines.append(
            f"server outages: {outages['count']} ({outages['recovered']} recovered, longest "
            f"{outages['longest_s']:.1f} s) in episodes {listed(outages['episodes'])}"
        )
    if again := played_again(figures):
        lines.append(f"{again}; of the plays without a server nothing counts")
    for ending, words in (
        ("server_lost", "ended without a server"),  # in runs of before
        ("simulation_failed", "ended because the physics diverged"),
        ("no_plan", "could not be planned"),
    ):
        if endings.get(ending):
            lines.append(f"{endings[ending]} episode(s) {words}; they count as failures")
    if figures["dry_steps"]:
        lines.append(f"the robot held its last target for {figures['dry_steps']} control steps")
    if figures["late_steps"]:
        lines.append(f"{figures['late_steps']} control steps began late: this machine is too slow")
    return lines


def played_again(figures: Mapping[str, Any]) -> str:
    """Name the episodes that lost their server and were played again; empty where none did."""
    lost = sorted({each["episode"] for each in figures.get("played_again", ())})
    if not lost:
        return ""
    return f"played again after their server was lost: episodes {listed(lost)}"


def listed(episodes: Sequence[int]) -> str:
    """List episodes, at most twelve: "0, 1, 2 …"."""
    more = " …" if len(episodes) > _MOST_LISTED else ""
    return ", ".join(map(str, episodes[:_MOST_LISTED])) + more


def points(share: float) -> str:
    """Write a difference of shares in percentage points: -0.125 as −12."""
    return f"{100 * share:+.0f}".replace("-", "−")


def median(spread: Mapping[str, float] | None) -> str:
    """Write the median of a figure over the episodes; a dash where it has none."""
    return f"{spread['p50']:.4g}" if spread else "–"


def answer_to_until(figures: Mapping[str, Any]) -> str:
    """Write what --until asked of a rollout, and the answer; empty where nothing was asked."""
    asked = figures.get("until")
    if not asked:
        return ""
    answer = {True: "yes", False: "no", None: "open"}[asked["answer"]]
    count = f"{figures['episodes']} of at most {asked['episodes_planned']} episodes"
    return f"{asked['question']}? {answer}, after {count}"
