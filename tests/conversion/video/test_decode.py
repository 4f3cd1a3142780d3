"""Chosen frames of a video: the right ones, and none decoded in vain."""

import numpy as np
import pytest
from handover_conversion.errors import DatasetError
from handover_conversion.video.decode import VideoSpan, read_video

GOPS = {
    "no frame refers forward": (("g", "6"), ("bf", "0"), ("sc_threshold", "0")),
    "frames refer forward": (("g", "12"), ("bf", "3"), ("b-pyramid", "strict")),
    "groups are open": (("g", "8"), ("bf", "3"), ("x264-params", "open-gop=1:scenecut=0")),
    "every frame is a key frame": (("g", "1"),),
    "one key frame": (("g", "1000"), ("bf", "2")),
}


@pytest.mark.parametrize("gop", GOPS)
@pytest.mark.parametrize(
    "rows", [[0], [59], [0, 2, 5, 7, 10, 12], [13, 31, 32, 58], list(range(60))]
)
def test_the_wanted_frames_come_in_order(tmp_path, draw_video, frame_number, gop, rows):
    path = tmp_path / "video.mp4"
    draw_video(path, range(60), options=GOPS[gop])
    frames = list(read_video(VideoSpan(path, 60, 50), np.array(rows)))
    assert [row for row, _ in frames] == rows
    assert [frame_number(frame.to_ndarray(format="rgb24")) for _, frame in frames] == rows


@pytest.mark.parametrize("gop", GOPS)
def test_an_episode_is_found_within_a_shared_file(tmp_path, draw_video, frame_number, gop):
    path = tmp_path / "video.mp4"
    draw_video(path, range(120), options=GOPS[gop])
    span = VideoSpan(path, 36, 50, from_s=48 / 50, shared=True)
    frames = list(read_video(span, np.array([0, 1, 17, 35])))
    assert [frame_number(f.to_ndarray(format="rgb24")) for _, f in frames] == [48, 49, 65, 83]


def test_frames_that_nobody_wants_are_not_decoded(tmp_path, draw_video, monkeypatch):
    path = tmp_path / "video.mp4"
    draw_video(path, range(60), options=GOPS["no frame refers forward"])
    decoded = []
    from handover_conversion.video import decode as video

    choose = video.needed_packets

    def counted(*arguments):
        for packet in choose(*arguments):
            decoded.append(packet)
            yield packet

    monkeypatch.setattr(video, "needed_packets", counted)
    list(read_video(VideoSpan(path, 60, 50), np.array([0, 13, 14, 50])))
    # groups start at 0, 6, 12 …: frame 0; 12, 13, 14; 48, 49, 50
    assert len(decoded) == 1 + 3 + 3


@pytest.mark.parametrize("frames", [59, 61, 30])
def test_frames_are_as_many_as_rows(tmp_path, draw_video, frames):
    path = tmp_path / "video.mp4"
    draw_video(path, range(frames))
    with pytest.raises(DatasetError, match=f"{frames} frames, expected 60"):
        list(read_video(VideoSpan(path, 60, 50), np.array([0])))


def test_too_few_frames_at_the_end_of_a_shared_file_are_found(tmp_path, draw_video):
    path = tmp_path / "video.mp4"
    draw_video(path, range(100))
    with pytest.raises(DatasetError, match="52 frames, expected 60"):
        list(read_video(VideoSpan(path, 60, 50, from_s=48 / 50, shared=True), np.array([0])))


def test_another_rate_is_found(tmp_path, draw_video):
    path = tmp_path / "video.mp4"
    draw_video(path, range(60), fps=30)
    with pytest.raises(DatasetError, match="30 frames/s, expected the dataset's 50"):
        list(read_video(VideoSpan(path, 60, 50), np.array([0])))


def test_a_truncated_file_is_an_error_not_a_crash(tmp_path, draw_video, frame_number):
    path = tmp_path / "video.mp4"
    draw_video(path, range(60))
    whole = path.read_bytes()
    index = whole.index(b"moov")  # behind the frames: what is cut within it differs by machine
    refused = 0
    for kept in [0, 100, index // 2, *range(index, len(whole), 7)]:
        path.write_bytes(whole[:kept])
        try:
            frames = list(read_video(VideoSpan(path, 60, 50), np.array([0, 59])))
        except DatasetError:
            refused += 1
        else:  # only a remark at the file's end was lost
            assert [frame_number(frame.to_ndarray(format="rgb24")) for _, frame in frames] == [
                0,
                59,
            ]
    assert refused > (len(whole) - index) // 7 // 2


def test_remarks_in_another_encoding_do_not_matter(tmp_path, draw_video):
    path = tmp_path / "video.mp4"
    draw_video(path, range(60))
    whole = path.read_bytes()
    assert b"VideoHandler" in whole
    path.write_bytes(whole.replace(b"VideoHandler", b"VideoH\xffndler"))
    assert len(list(read_video(VideoSpan(path, 60, 50), np.array([0, 59])))) == 2


def test_a_file_cut_short_behind_its_index_is_an_error(tmp_path, draw_video):
    path = tmp_path / "video.mp4"
    draw_video(path, range(60), options=(*GOPS["every frame is a key frame"],))
    import av

    streamed = tmp_path / "index_first.mp4"
    with (
        av.open(str(path)) as source,
        av.open(str(streamed), "w", options={"movflags": "+faststart"}) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    whole = streamed.read_bytes()
    assert whole.index(b"moov") < whole.index(b"mdat")
    streamed.write_bytes(whole[: int(0.6 * len(whole))])
    with pytest.raises(DatasetError):
        list(read_video(VideoSpan(streamed, 60, 50), np.array([0, 59])))


def test_a_missing_file_is_named_as_that(tmp_path):
    with pytest.raises(DatasetError, match="missing"):
        list(read_video(VideoSpan(tmp_path / "none.mp4", 1, 50), np.array([0])))
