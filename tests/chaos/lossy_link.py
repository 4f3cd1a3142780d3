"""A network that loses, delays and reorders packets, between robots and a server of their own.

    PYTHONPATH=tests python -m chaos.lossy_link        (root, /dev/net/tun, iproute2)

Robots and server are in two network namespaces, which nothing else can reach. What joins them is a
TUN device in each, and a process that carries every IP packet from one to the other, late or not at
all: what tc's netem does in kernels that have it. Prints the finding as JSON.
"""

import ctypes
import dataclasses
import fcntl
import heapq
import json
import mmap
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .ledger import Finding

LOSS, DELAY_S, JITTER_S = 0.05, 0.1, 0.05  # of each packet, each way; the jitter is uniform
ROBOT, SERVER, PORT = "10.77.0.1", "10.77.0.2", 50051
CANNOT = 77  # exit status: no right to make namespaces or devices here
DEADLINE_S = 20.0
ANSWERS = 40

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000  # linux/if_tun.h
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None, use_errno=True)


def own_network(device: str, address: str) -> int:
    """Move this process into a new network; returns its only device, one packet per read."""
    if _LIBC.unshare(_CLONE_NEWNET):
        raise PermissionError(ctypes.get_errno(), "cannot make a network namespace")
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH", device.encode(), _IFF_TUN | _IFF_NO_PI))
    for command in (
        "link set lo up",
        f"addr add {address}/30 dev {device}",
        f"link set {device} up",
    ):
        subprocess.run(["ip", *command.split()], check=True, timeout=10)
    return tun


def end_with_parent() -> None:
    """Be killed when the parent ends, however it ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def carry_packets(one: int, other: int, chance: random.Random, counts: mmap.mmap) -> None:
    """Carry packets between two devices for ever; `counts` has how many came and were lost."""
    came = lost = 0
    late: list[tuple[float, int, int, bytes]] = []  # due, number, where to, packet
    number = 0
    while True:
        wait_s = max(0.0, late[0][0] - time.monotonic()) if late else None
        for device in select.select([one, other], [], [], wait_s)[0]:
            packet = os.read(device, 65536)
            came += 1
            if chance.random() < LOSS:
                lost += 1
            else:
                due = time.monotonic() + chance.uniform(DELAY_S - JITTER_S, DELAY_S + JITTER_S)
                number += 1
                heapq.heappush(late, (due, number, other if device == one else one, packet))
        counts[:16] = struct.pack("QQ", came, lost)
        while late and late[0][0] <= time.monotonic():
            _, _, device, packet = heapq.heappop(late)
            os.write(device, packet)


def fork_server() -> tuple[int, int]:
    """Start the server in a network of its own; returns its process and its device."""
    ours, theirs = socket.socketpair()
    process = os.fork()
    if process:
        _, (device,), _, _ = socket.recv_fds(ours, 1, 1)
        return process, device
    end_with_parent()
    socket.send_fds(theirs, [b"."], [own_network("server0", SERVER)])
    os.dup2(2, 1)
    host = str(Path(__file__).with_name("faulty_policy.py"))
    flags = ["--policy", "hold", "--host", SERVER, "--port", str(PORT), "--insecure"]
    os.execv(sys.executable, [sys.executable, host, *flags])


def fork_carrier(one: int, other: int, counts: mmap.mmap) -> int:
    """Start carrying packets in a process of its own."""
    process = os.fork()
    if process:
        return process
    end_with_parent()
    carry_packets(one, other, random.Random(0), counts)
    os._exit(0)


def main() -> None:
    """Run robots over the link and print what became of their requests."""
    try:
        here = own_network("robot0", ROBOT)
    except OSError as error:
        print(error, file=sys.stderr)
        sys.exit(CANNOT)
    server, there = fork_server()
    counts = mmap.mmap(-1, 16)  # shared with the carrier
    carrier = fork_carrier(here, there, counts)
    try:
        print(json.dumps(dataclasses.asdict(_ask(counts))))
    finally:
        for process in (server, carrier):
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)


def _ask(counts: mmap.mmap) -> "Finding":
    from handover_proto.types import ImageCodec  # gRPC's threads begin after the forks

    from .ledger import Ledger
    from .robots import Robots

    ledger = Ledger()
    codec = ImageCodec.JPEG
    robots = Robots(f"{SERVER}:{PORT}", ledger, 1, 1, DEADLINE_S, image_codec=codec)
    with robots:
        ledger.wait_for_answers(ANSWERS, timeout_s=240)
    came, lost = struct.unpack("QQ", counts[:16])
    return ledger.finding(
        "poor network",
        "5 % of IP packets lost, the rest 100 ms ± 50 ms late and out of order, each way "
        "(two network namespaces, a TUN device in each; no tc/netem); JPEG frames",
        remark=f"{lost} of {came} packets lost; {ledger.latencies()}",
    )


if __name__ == "__main__":
    main()
