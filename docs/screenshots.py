"""Take the pictures of docs/images: reports in a real Chromium, at desk and phone width.

    docs/screenshots.sh        # plays the runs, and takes all pictures of them
    python docs/screenshots.py --open-loop RUN --closed-loop RUN --compare PAGE.html

The first two are folders of `handover replay` and `handover rollout`, the third is a page of
`handover compare`. Fails when a page asks for anything from the network, is wider than the
window, or has a video that does not play.
"""

import argparse
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

IMAGES = Path(__file__).resolve().parent / "images"
DESK, PHONE = (1280, 1600), (390, 1800)
MOST_BYTES = 300_000


@dataclass(frozen=True)
class Shot:
    """One picture: which page, how wide, which theme, and the heading at its top."""

    name: str
    page: Path
    size: tuple[int, int]
    theme: str
    heading: str = ""  # the page's top where empty


def main() -> None:
    """Take every picture that the given pages allow."""
    arguments = _arguments()
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=arguments.chromium, args=["--no-sandbox"]
        )
        for shot in _shots(arguments):
            _take(browser, shot)
        browser.close()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--open-loop", type=Path, help="folder of a replay")
    parser.add_argument("--closed-loop", type=Path, help="folder of a rollout")
    parser.add_argument("--compare", type=Path, help="page of handover compare")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    return parser.parse_args()


def _shots(arguments: argparse.Namespace) -> list[Shot]:
    shots = []
    if arguments.open_loop:
        page = arguments.open_loop / "report.html"
        shots += [
            Shot("open_loop_light", page, DESK, "light"),
            Shot("open_loop_joints_dark", page, DESK, "dark", "Joints"),
            Shot("open_loop_phone", page, PHONE, "light"),
        ]
    if arguments.closed_loop:
        page = arguments.closed_loop / "report.html"
        shots += [
            Shot("closed_loop_light", page, DESK, "light"),
            Shot("closed_loop_videos_dark", page, DESK, "dark", "Success by start pose"),
            Shot("closed_loop_phone_dark", page, PHONE, "dark", "Rewards over time"),
        ]
    if arguments.compare:
        shots.append(Shot("compare_light", arguments.compare, DESK, "light"))
    return shots


def _take(browser: Browser, shot: Shot) -> None:
    width, height = shot.size
    page = browser.new_page(
        viewport={"width": width, "height": height},
        device_scale_factor=2 if width < 600 else 1,
        color_scheme=shot.theme,
    )
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(shot.page.resolve().as_uri())
    _play_videos(page)
    foreign = [url for url in asked if not url.startswith(("file:", "data:"))]
    if foreign:
        raise SystemExit(f"{shot.page} asks for {foreign[0]}")
    if page.evaluate("document.documentElement.scrollWidth") > width:
        raise SystemExit(f"{shot.page} is wider than {width} pixels")
    if shot.heading:
        heading = page.locator("h2", has_text=shot.heading).first
        heading.evaluate("it => window.scrollTo(0, it.getBoundingClientRect().top + scrollY - 20)")
    path = IMAGES / f"{shot.name}.png"
    path.write_bytes(_small(page.screenshot()))
    print(f"{path.name}: {path.stat().st_size} bytes")
    page.close()


def _play_videos(page: Page) -> None:
    """Play each video for a moment and stop it in its middle; fails where one does not play."""
    for video in page.locator("video").all():
        played = video.evaluate(
            """async it => {
                await it.play(); await new Promise(done => setTimeout(done, 300)); it.pause();
                const seconds = it.currentTime;
                it.currentTime = 0.6 * it.duration;
                await new Promise(done => it.onseeked = done);
                return seconds;
            }"""
        )
        if not played:
            raise SystemExit(f"{page.url} has a video that does not play")


def _small(png: bytes) -> bytes:
    """Compress a picture: a palette of 256 colours, and fewer where that is still too large."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    for colours in (256, 128, 64, 32):
        file = io.BytesIO()
        picture.quantize(colours, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
        if file.tell() < MOST_BYTES:
            break
    return file.getvalue()


if __name__ == "__main__":
    main()
