"""The disk fills up under --record: the recording ends, and the serving does not."""

import subprocess

from .ledger import ANSWERED
from .robots import Robots
from .server_process import ServerProcess

MIB = 2
# The mount is seen by the server alone and goes with it.
SMALL_DISK = ("unshare", "--mount", "sh", "-c", f'mount -t tmpfs -o size={MIB}m none "$0" && '
              'exec "$@"')  # fmt: skip
SMALL_FILES = ("sh", "-c", f'ulimit -f {MIB * 2048}; exec "$@"')  # in blocks of 512 bytes


def test_a_full_disk_ends_the_recording_and_not_the_serving(tmp_path, ledger, report):
    may_mount = subprocess.run([*SMALL_DISK, tmp_path, "true"], capture_output=True).returncode == 0
    wrap = (*(SMALL_DISK if may_mount else SMALL_FILES), str(tmp_path))
    with (
        ServerProcess("--record", str(tmp_path), wrap=wrap) as server,
        Robots(server.address, ledger),
    ):
        ledger.wait_for_answers(30)  # 6 MB of frames
        server.wait_for_lines("recording has stopped, serving goes on")
        ledger.wait_for_answers(5)
    finding = ledger.finding(
        "disk full under --record",
        f"a tmpfs of {MIB} MiB" if may_mount else f"files of at most {MIB} MiB (ulimit -f)",
        remark=f"longest time between two answers {ledger.longest_gap_s():g} s; "
        "one line in the log",
    )
    report(finding)
    assert set(finding.outcomes) <= {ANSWERED, "ABORTED"}
    assert sum("recording has stopped, serving goes on" in line for line in server.log) == 1
