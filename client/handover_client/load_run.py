"""A load of several processes: made, watched, and gathered, also when Ctrl-C ends it early."""

import asyncio
import contextlib
import multiprocessing
import queue
import signal
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from handover_proto.codec import compress
from handover_proto.contract import ImageCodec, Observation, PolicyRequest, ServerInfo
from handover_proto.messages import encode_request

from handover_client.channel_security import ChannelSecurity
from handover_client.load_clients import Answered, Share, run_clients
from handover_client.load_schedule import arrivals
from handover_client.policy_client import PolicyClient

if TYPE_CHECKING:
    from handover_client.bench import BenchConfig

_CLIENTS_PER_PROCESS = 16
_START_S = 1.5  # for the processes to start and connect
_SEND_EVERY_S = 0.25


def run_load(config: "BenchConfig", security: ChannelSecurity) -> tuple[list[Answered], ServerInfo]:
    """Load the server; returns the answers to requests that were due after the warm-up."""
    with PolicyClient.connect(config.server, security=security) as client:
        info = client.info
    message = random_message(info, config)
    count = min(config.clients, config.processes or -(-config.clients // _CLIENTS_PER_PROCESS))
    total_s = config.warm_up + config.seconds
    start_s = time.time() + _START_S
    context = multiprocessing.get_context("spawn")
    answers: multiprocessing.Queue[list[Answered] | None] = context.Queue()
    processes = []
    for index in range(count):
        clients = range(index, config.clients, count)
        share = Share(config.server, security, message, start_s, total_s, config.timeout_s)
        arguments = (
            share,
            list(clients),
            config.rate,
            config.arrivals,
            config.clients,
            config.seed,
            answers,
        )
        processes.append(context.Process(target=_work, args=arguments, daemon=True))
    gathered: list[Answered] = []
    try:
        for process in processes:
            process.start()
        _gather(answers, count, gathered, start_s, total_s, config.timeout_s)
    except KeyboardInterrupt:
        print("stopped: these are the answers until then", file=sys.stderr)
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
            process.join(5.0)
    return [answer for answer in gathered if answer.due_s >= config.warm_up], info


def random_message(info: ServerInfo, config: "BenchConfig") -> bytes:
    """Serialise a request with a random image for each camera and a zero state."""
    rng = np.random.default_rng(config.seed)
    frame = rng.integers(0, 256, (*config.image_size, 3), dtype=np.uint8)
    sent = compress(frame, ImageCodec.JPEG) if config.codec == "jpeg" else frame
    spec = info.spec
    observation = Observation(
        {camera.name: [sent] * camera.steps for camera in spec.cameras},
        {group.name: np.zeros((group.steps, group.dim), np.float32) for group in spec.state},
        "stand still",
    )
    return encode_request(PolicyRequest(observation, seed=0)).SerializeToString()


def _work(
    share: Share,
    clients: list[int],
    rate: float | None,
    kind: str,
    all_clients: int,
    seed: int,
    answers: "multiprocessing.Queue[list[Answered] | None]",
) -> None:
    """Run one process's share and send what was answered, a few times a second."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the parent's
    batch: list[Answered] = []

    async def send_now_and_then() -> None:
        while True:
            await asyncio.sleep(_SEND_EVERY_S)
            answers.put(batch.copy())
            batch.clear()

    async def run() -> None:
        sending = asyncio.create_task(send_now_and_then())
        schedules: list[Iterator[float] | None] = [
            None
            if rate is None
            else arrivals(
                rate / all_clients,
                "fixed" if kind == "fixed" else "poisson",
                seed * 100_003 + client,
                client / all_clients,
            )
            for client in clients
        ]
        try:
            await run_clients(share, schedules, batch.append)
        finally:
            sending.cancel()

    try:
        asyncio.run(run())
    finally:
        answers.put(batch)
        answers.put(None)


def _gather(
    answers: "multiprocessing.Queue[list[Answered] | None]",
    processes: int,
    gathered: list[Answered],
    start_s: float,
    total_s: float,
    timeout_s: float,
) -> None:
    """Collect until every process is done, or should long have been."""
    end_s = start_s + total_s
    while processes and time.time() < end_s + timeout_s + 10.0:
        with contextlib.suppress(queue.Empty):
            batch = answers.get(timeout=0.5)
            if batch is None:
                processes -= 1
            else:
                gathered += batch
        _show_progress(min(1.0, max(0.0, (time.time() - start_s) / total_s)), len(gathered))
    if sys.stderr.isatty():
        print(file=sys.stderr)


def _show_progress(share: float, count: int) -> None:
    if sys.stderr.isatty():
        bar = "█" * round(30 * share)
        print(f"\r{bar:·<30} {share:4.0%} {count} answers", end="", file=sys.stderr, flush=True)
