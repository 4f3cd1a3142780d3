"""Pages in a real browser, desk and phone: videos play, the cursor follows, nothing is fetched.

Debian's package `chromium` brings the browser; without one these tests are left out.
"""

import http.server
import json
import os
import queue
import shutil
import signal
import subprocess
import threading
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="needs the extra replay")
pytest.importorskip("jinja2")

from handover_client.commands import main as cli

from ..view.datasets import write_v2

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: Debian's chromium")

HARNESS = Path(__file__).with_name("browser.html").read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a page of two episodes with two cameras, 1 s each."""
    root = tmp_path_factory.mktemp("browser")
    cameras = {"observation.images.top": (48, 64), "observation.images.wrist": (48, 48)}
    dataset = write_v2(root / "arm", {0: 31, 1: 31}, cameras)
    assert cli.run(["view", str(dataset), "--output", str(root / "page.html")]) == 0
    return root


class Site(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and keeps what a page posts."""

    found: queue.Queue[bytes]

    def do_POST(self):
        self.found.put(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


@contextmanager
def browser_at(folder, name, profile):
    """Open a page of the folder in a browser: a queue of what it posts."""
    site = type("Site", (Site,), {"found": queue.Queue()})
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(site, directory=str(folder))
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        process = subprocess.Popen(
            [
                *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu"),
                *(f"--user-data-dir={profile}", "--remote-debugging-port=0"),
                f"http://127.0.0.1:{server.server_port}/{name}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield site.found
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=60)
            server.shutdown()


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("width", "columns"), [(1280, 2), (390, 1)])
def test_videos_and_cursor_move_together_and_nothing_else_may_run(folder, tmp_path, width, columns):
    (folder / f"at_{width}.html").write_text(HARNESS.replace("WIDTH", str(width)))
    with browser_at(folder, f"at_{width}.html", tmp_path / "profile") as found:
        seen = json.loads(found.get(timeout=200))
    assert seen["width"] <= width
    assert seen["columns"] == columns
    assert seen["errors"] == [None, None]
    # 31 steps at 30 Hz: the middle of 31/30 s is step 15.5 of 30
    assert float(seen["cursor"].removesuffix("%")) == pytest.approx(100 * 15.5 / 30, abs=0.1)
    assert seen["times"] == pytest.approx([seen["seconds"] / 2] * 2, abs=0.01)
    # the waist at step 15 or 16 is 1.5 or 1.6, and its action 0.5 more
    assert seen["reading"] in (" 1.50 2.00", " 1.60 2.10")
    assert seen["after"] == pytest.approx(0.25, abs=0.02)  # a quarter of the curve's 1 s
    assert (seen["first"], seen["then"]) == (["episode-0"], ["episode-1"])
    assert seen["title"] == "arm"  # a script that is not the page's own was not run
    assert len(seen["refused"]) == 2
