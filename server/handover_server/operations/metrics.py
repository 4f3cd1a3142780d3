"""Prometheus metrics of the server, in its text format; docs/serving.md lists them."""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from handover_common import printable
from handover_proto import PolicyOutput, ServerInfo
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from handover_server.requests.observer import Observer
from handover_server.requests.outcome import Outcome, outcome_name
from handover_server.requests.request import PendingRequest

_SECONDS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
_BATCHES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)

Levels = Callable[[], dict[str, float]]  # {name after "handover_": value now}


class Metrics(Observer):
    """Counts and times requests, in its own registry."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        registry.register(_GpuMemory())
        self._requests = Counter(
            "handover_requests", "admitted requests by outcome", ["outcome"], registry=registry
        )
        self._rejected = Counter(
            "handover_rejected", "requests turned away by reason", ["reason"], registry=registry
        )
        self._seconds = Histogram(
            "handover_request_seconds",
            "from a request's arrival to its chunk, without encoding and the network",
            registry=registry,
            buckets=_SECONDS,
        )
        stages = Histogram(
            "handover_stage_seconds", "stages of it", ["stage"], registry=registry, buckets=_SECONDS
        )
        self._stages = {
            stage: stages.labels(stage)
            for stage in ("queue", "decode", "preprocess", "backbone", "action_head", "encode")
        }
        self._batches = Histogram(
            "handover_batch_size",
            "requests that the policy was given together",
            registry=registry,
            buckets=_BATCHES,
        )
        self._checkpoint = Gauge(
            "handover_checkpoint_info",
            "1 for what is served now",
            ["policy", "checkpoint", "checkpoint_hash", "processor_hash", "device", "dtype"],
            registry=registry,
        )

    def exposition(self) -> bytes:
        """Return everything in Prometheus's text format."""
        return generate_latest(self.registry)

    def follow(self, levels: Levels, totals: Levels) -> None:
        """Add figures that are read at every scrape: levels are gauges, totals counters."""
        self.registry.register(_Polled(levels, totals))

    def serving(self, info: ServerInfo) -> None:
        """Set the checkpoint's names, and remove the former one's."""
        spec = info.spec
        self._checkpoint.clear()
        names = (
            *(spec.policy, spec.checkpoint_name, spec.checkpoint_hash),
            *(spec.processor_hash, spec.device, spec.dtype),
        )
        self._checkpoint.labels(*map(printable, names)).set(1)

    def refused(self, reason: str) -> None:
        """Count the refusal."""
        self._rejected.labels(reason).inc()

    def computed(self, requests: int) -> None:
        """Count the batch by its size."""
        self._batches.observe(requests)

    def settled(self, pending: PendingRequest, outcome: Outcome) -> None:
        """Count the outcome, and time the stages of a chunk."""
        self._requests.labels(outcome_name(outcome)).inc()
        if not isinstance(outcome, PolicyOutput):
            return
        self._seconds.observe(time.perf_counter() - pending.began_s)
        durations = pending.durations(outcome)
        for stage in ("queue", "decode", "preprocess", "backbone", "action_head"):
            self._stages[stage].observe(getattr(durations, f"{stage}_ms") / 1e3)

    def encoded(self, duration_ms: float) -> None:
        """Time the encoding."""
        self._stages["encode"].observe(duration_ms / 1e3)


class _Polled(Collector):
    """Figures that other objects keep, read at every scrape."""

    def __init__(self, levels: Levels, totals: Levels) -> None:
        self._levels, self._totals = levels, totals

    def collect(self) -> Iterator[Metric]:
        for name, value in self._levels().items():
            yield GaugeMetricFamily(f"handover_{name}", name.replace("_", " "), value)
        for name, value in self._totals().items():
            yield CounterMetricFamily(f"handover_{name}", name.replace("_", " "), value)


class _GpuMemory(Collector):
    """The GPU's memory, where the policy has imported PyTorch and PyTorch uses a GPU."""

    _lock = threading.Lock()

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(
            "handover_gpu_memory_bytes", "of the GPU, by use", labels=["device", "use"]
        )
        torch = sys.modules.get("torch")
        if torch is None or not torch.cuda.is_initialized():
            return [family]
        with self._lock:
            for index in range(torch.cuda.device_count()):
                free, total = torch.cuda.mem_get_info(index)
                for use, value in (
                    ("free", free),
                    ("total", total),
                    ("allocated", torch.cuda.memory_allocated(index)),
                    ("reserved", torch.cuda.memory_reserved(index)),
                ):
                    family.add_metric([f"cuda:{index}", use], value)
        return [family]
