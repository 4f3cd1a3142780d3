"""Load from several processes: started, watched, and gathered, also when Ctrl-C ends it early."""

import asyncio
import contextlib
import multiprocessing
import queue
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

import numpy as np
from handover_common import HandoverError
from handover_common.parallel import ctrl_c_held_back, end_with_parent
from handover_proto import ImageCodec, PolicyRequest, ServerInfo, example_request
from handover_proto.wire import compress, serialize_request

from handover_client.connection.foreign.base import ForeignClient
from handover_client.connection.foreign.open import connect_server
from handover_client.connection.foreign.spec_file import read_spec_file
from handover_client.connection.security import ChannelSecurity
from handover_client.diagnostics.load_clients import Answered, Share, run_clients
from handover_client.diagnostics.load_config import BenchConfig
from handover_client.diagnostics.load_schedule import LoadSchedule

if TYPE_CHECKING:
    Answers = multiprocessing.Queue[list[Answered] | None]  # None: a process is done

_CLIENTS_PER_PROCESS = 16
_START_S = 1.0  # for the first process to start and connect, and for each that follows half of it
_SEND_EVERY_S = 0.25
LATE_S = 10.0  # how late a process may be, on a machine with other things to do


@dataclass(frozen=True)
class Load:
    """Outcome of a load: answers to requests that were due after the warm-up."""

    answers: list[Answered]
    info: ServerInfo
    interrupted: bool


def run_load(config: BenchConfig, security: ChannelSecurity) -> Load:
    """Load the server until the time is up or Ctrl-C ends it; no process outlives the call."""
    told = None if config.spec is None else read_spec_file(config.spec)
    with connect_server(config.server, security=security, spec=config.spec) as client:
        info = client.info
        request = random_request(info, config)
        foreign = isinstance(client, ForeignClient)
        message = client.seal(request) if foreign else serialize_request(request)
    count = min(config.clients, config.processes or -(-config.clients // _CLIENTS_PER_PROCESS))
    total_s = config.warm_up + config.seconds
    start_s = time.time() + _START_S * (1 + count) / 2
    share = Share(config.server, security, message, start_s, total_s, config.timeout_s, told)
    plans = [
        LoadSchedule(
            tuple(range(index, config.clients, count)),
            config.clients,
            config.rate,
            config.arrivals,
            config.seed,
        )
        for index in range(count)
    ]
    gathered: list[Answered] = []
    interrupted = False
    with _processes(share, plans) as (processes, answers):
        try:
            _gather(answers, processes, gathered, share)
        except KeyboardInterrupt:
            interrupted = True
            print("\nstopped: these are the answers until then", file=sys.stderr)
    counted = [answer for answer in gathered if answer.due_s >= config.warm_up]
    return Load(counted, info, interrupted)


def random_request(info: ServerInfo, config: BenchConfig) -> PolicyRequest:
    """Make a request with a random image for each camera and a zero state."""
    rng = np.random.default_rng(config.seed)
    frame = rng.integers(0, 256, (config.image_height, config.image_width, 3), dtype=np.uint8)
    sent = compress(frame, ImageCodec.JPEG) if config.codec == "jpeg" else frame
    return example_request(info.spec, sent)


@contextlib.contextmanager
def _processes(
    share: Share, plans: Sequence[LoadSchedule]
) -> Iterator[tuple[list[BaseProcess], "Answers"]]:
    """Start a process for each plan; all have ended on leaving."""
    context = multiprocessing.get_context("spawn")
    answers: Answers = context.Queue()
    processes: list[BaseProcess] = [
        context.Process(target=_work, args=(share, plan, answers), daemon=True) for plan in plans
    ]
    try:
        with ctrl_c_held_back():  # the terminal's is this process's, also while they still import
            for process in processes:
                process.start()
        yield processes, answers
    finally:
        for process in processes:
            if process.pid is not None:
                process.terminate()
                process.join(5.0)
                process.kill()


def _work(share: Share, plan: LoadSchedule, answers: "Answers") -> None:
    """Run one process's share and send what was answered, a few times a second."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    batch: list[Answered] = []

    async def send_now_and_then() -> None:
        while True:
            await asyncio.sleep(_SEND_EVERY_S)
            answers.put(batch.copy())
            batch.clear()

    async def run() -> None:
        sending = asyncio.create_task(send_now_and_then())
        try:
            await run_clients(share, plan.schedules(), batch.append)
        finally:
            sending.cancel()

    asyncio.run(run())
    answers.put(batch)
    answers.put(None)


def _gather(
    answers: "Answers", processes: Sequence[BaseProcess], gathered: list[Answered], share: Share
) -> None:
    """Collect until every process is done.

    Raises HandoverError when one has died, or should long have been done: what is missing would
    make the figures better than they are.
    """
    busy = len(processes)
    end_s = share.start_s + share.seconds
    while busy and time.time() < end_s + share.timeout_s + LATE_S:
        are_over = not any(process.is_alive() for process in processes)
        try:
            batch = answers.get(timeout=0.5)  # asked last: what they sent came before their end
        except queue.Empty:
            if are_over:
                break
        else:
            if batch is None:
                busy -= 1
            else:
                gathered += batch
        passed = (time.time() - share.start_s) / share.seconds
        _show_progress(min(1.0, max(0.0, passed)), len(gathered))
    if sys.stderr.isatty():
        print(file=sys.stderr)
    if busy:
        raise HandoverError(
            f"{busy} of {len(processes)} processes of the load generator could not connect, died, "
            "or could not ask as often as they should; try a lower --rate or more --processes"
        )


def _show_progress(share: float, count: int) -> None:
    if sys.stderr.isatty():
        bar = "█" * round(30 * share)
        print(f"\r{bar:·<30} {share:4.0%} {count} answers", end="", file=sys.stderr, flush=True)
