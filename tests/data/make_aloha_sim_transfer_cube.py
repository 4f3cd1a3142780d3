"""Make tests/data/aloha_sim_transfer_cube: two episodes of a LeRobot v2.1 dataset, as H.264.

    python tests/data/make_aloha_sim_transfer_cube.py SOURCE

SOURCE is a LeRobot v2.1 dataset whose first two episodes are taken; rows are copied, videos are
encoded anew at their own size and rate: AV1 at the recorder's settings would be too large to ship.
"""

import json
import shutil
import sys
from pathlib import Path

import av

CAMERA = "observation.images.top"
EPISODES = 2
ENCODER = {"preset": "veryslow", "crf": "24", "x264-params": "keyint=25:bframes=0"}


def main(source: Path, output: Path) -> None:
    """Write the small dataset to `output`, replacing what is there but its README."""
    for folder in ("data", "meta", "videos"):
        shutil.rmtree(output / folder, ignore_errors=True)
    for folder in ("data/chunk-000", "meta", f"videos/chunk-000/{CAMERA}"):
        (output / folder).mkdir(parents=True)
    for index in range(EPISODES):
        rows = f"data/chunk-000/episode_{index:06d}.parquet"
        shutil.copyfile(source / rows, output / rows)
        video = f"videos/chunk-000/{CAMERA}/episode_{index:06d}.mp4"
        encode_anew(source / video, output / video)
    write_metadata(source / "meta", output / "meta")


def encode_anew(source: Path, output: Path) -> None:
    """Encode a video as H.264, frame by frame, at its own size and rate."""
    with av.open(str(source)) as reader, av.open(str(output), "w") as writer:
        recorded = reader.streams.video[0]
        stream = writer.add_stream("libx264", rate=recorded.average_rate, options=ENCODER)
        stream.width, stream.height, stream.pix_fmt = recorded.width, recorded.height, "yuv420p"
        for count, frame in enumerate(reader.decode(recorded)):
            frame.pts, frame.time_base = count, 1 / recorded.average_rate
            frame.pict_type = 0
            writer.mux(stream.encode(frame))
        writer.mux(stream.encode(None))


def write_metadata(source: Path, output: Path) -> None:
    """Cut the metadata down to the episodes that are kept."""
    info = json.loads((source / "info.json").read_text())
    lines = {
        name: (source / name).read_text().splitlines()[:EPISODES]
        for name in ("episodes.jsonl", "episodes_stats.jsonl")
    }
    frames = sum(json.loads(line)["length"] for line in lines["episodes.jsonl"])
    info |= {
        "total_episodes": EPISODES,
        "total_videos": EPISODES,
        "total_frames": frames,
        "splits": {"train": f"0:{EPISODES}"},
    }
    info["features"][CAMERA]["info"]["video.codec"] = "h264"
    (output / "info.json").write_text(json.dumps(info, indent=4) + "\n")
    shutil.copyfile(source / "tasks.jsonl", output / "tasks.jsonl")
    for name, kept in lines.items():
        (output / name).write_text("".join(line + "\n" for line in kept))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).parent / "aloha_sim_transfer_cube")
