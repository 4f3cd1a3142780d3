"""Chunks compiled in a thread of its own, while uncompiled ones answer.

Nothing waits for that thread, not even the process's end. What it has made is taken by the policy's
own thread, which alone captures and replays.
"""

import os
import queue
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from handover_proto import COMPILER_THREAD
from torch import Tensor

from handover_model.engine.cuda.buckets import Bucket

CACHE = Path(".cache", "handover", "compiled")  # in the user's home
MODE = "max-autotune-no-cudagraphs"  # each chunk is captured in a graph of ours afterwards

TURN = threading.Lock()
"""Held by who compiles or captures: after a reload two policies may, and neither survives another.

PyTorch allows one capture at a time in a process, a compiler that measures waits for the whole
device, which breaks a capture, and its compilations are told apart by a number all threads share.
"""

Function = Callable[..., Tensor]
Compile = Callable[[Function, Sequence[Tensor]], Function]


@dataclass(frozen=True)
class Job:
    """A bucket's function, and inputs of its shapes."""

    bucket: Bucket
    function: Function
    inputs: Sequence[Tensor]


class BackgroundCompiler:
    """Compiles jobs in their order until one fails or nobody has this object any more.

    It waits after each until it may go on: PyTorch keeps apart what is compiled by a number that
    all threads share, so no other may call a compiled function for the first time meanwhile.
    """

    def __init__(self, jobs: Sequence[Job], compile_one: Compile) -> None:
        """Start at once; the jobs' inputs are copied, since those of a graph change."""
        self._done: queue.SimpleQueue[tuple[Bucket, Function | Exception]] = queue.SimpleQueue()
        self._permits: queue.SimpleQueue[bool] = queue.SimpleQueue()
        copies = [Job(job.bucket, job.function, [x.clone() for x in job.inputs]) for job in jobs]
        # the thread does not know this object: once nobody has it, the thread ends with its job
        weakref.finalize(self, self._permits.put, False)
        work = (copies, compile_one, self._done, self._permits)
        threading.Thread(target=_compile_all, args=work, name=COMPILER_THREAD, daemon=True).start()
        self.go_on()

    def take(self) -> tuple[Bucket, Function | Exception] | None:
        """Give the next bucket with its compiled function, or why there is none; never waits."""
        try:
            return self._done.get_nowait()
        except queue.Empty:
            return None

    def go_on(self) -> None:
        """Let it compile the next, now that what it gave has been called."""
        self._permits.put(True)


def compile_whole(function: Function, inputs: Sequence[Tensor]) -> Function:
    """Compile a function in one piece for inputs of these shapes, and run it once.

    What the compiler makes is kept for the next start: see keep_compiled.
    """
    device = inputs[0].device
    keep_compiled(device)
    # fullgraph: a chunk in pieces is an error; isolated: buckets share code, not its compilations
    compiled = torch.compile(  # pyright: ignore[reportCallIssue]
        function, mode=MODE, fullgraph=True, dynamic=False, isolate_recompiles=True
    )
    with torch.no_grad():
        compiled(*inputs)
    return compiled


def keep_compiled(device: torch.device) -> Path:
    """Let PyTorch keep what it compiles in the user's own cache instead of the shared /tmp.

    PyTorch finds it again by shapes, options and versions; the folder is for a version and a device
    so that a stale one can be deleted. It holds code that PyTorch will run: nobody else may write
    there. A folder that TORCHINDUCTOR_CACHE_DIR names is left as it is.
    """
    given = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    if given is not None:
        return Path(given)
    folder = Path.home() / CACHE / name_platform(device)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)  # the only way that PyTorch offers
    return folder


def name_platform(device: torch.device) -> str:
    """Name what compiled code and measurements are for, as a file's name."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return f"torch-{torch.__version__}-{name.replace(' ', '-')}"


@cache
def _own_stream(device: torch.device) -> torch.cuda.Stream:
    """Give one stream for all that is compiled: cuBLAS keeps a workspace for each it has seen."""
    return torch.cuda.Stream(device)


@contextmanager
def _apart(device: torch.device) -> Iterator[None]:
    """Work on a device in a stream of one's own: no answer queues up behind a measurement."""
    if device.type != "cuda":
        yield
        return
    stream = _own_stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))  # the copied inputs are there
    with torch.cuda.device(device), torch.cuda.stream(stream):
        yield
        stream.synchronize()  # not the device: that breaks what another thread captures


def _compile_all(
    jobs: list[Job],
    compile_one: Compile,
    done: "queue.SimpleQueue[tuple[Bucket, Function | Exception]]",
    permits: "queue.SimpleQueue[bool]",
) -> None:
    for job in jobs:
        if not permits.get():
            return
        try:
            with TURN, _apart(job.inputs[0].device):
                compiled = compile_one(job.function, job.inputs)
        except Exception as error:  # whatever a compiler raises, the uncompiled graphs answer
            done.put((job.bucket, error))
            return
        done.put((job.bucket, compiled))
