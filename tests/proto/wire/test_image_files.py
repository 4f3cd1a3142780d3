"""Strangers' files are refused by their size and their parts, before a decoder walks over them."""

import io
import struct
import zlib

import numpy as np
import pytest
from handover_proto import policy_pb2 as pb
from handover_proto.errors import InvalidRequest
from handover_proto.wire import image_files
from handover_proto.wire.image_files import decode_file
from PIL import Image, ImageCms, PngImagePlugin

ROWS, COLUMNS = np.mgrid[0:48, 0:64]
FRAME = np.stack([ROWS * 4, COLUMNS * 3, ROWS ^ COLUMNS], axis=-1).astype(np.uint8)
PIXELS = 2048 * 2048


def file(kind: str, frame: np.ndarray = FRAME, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, kind, **options)
    return buffer.getvalue()


def decode(codec: int, data: bytes) -> np.ndarray:
    return decode_file(pb.Image(codec=codec, data=data), "frame", PIXELS)


def refusal(codec: int, data: bytes) -> str:
    with pytest.raises(InvalidRequest) as caught:
        decode(codec, data)
    return str(caught.value)


@pytest.fixture
def no_decoder(monkeypatch):
    """Fail the test where a decoder is asked at all."""

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("the decoder was asked")

    monkeypatch.setattr(image_files.PillowImage, "open", fail)


def with_segments(data: bytes, segment: bytes, count: int) -> bytes:
    """A JPEG file with segments right after its start."""
    return data[:2] + segment * count + data[2:]


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"quality": 100, "subsampling": 0},
        {"progressive": True, "optimize": True},
        {"exif": b"Exif\x00\x00" + bytes(60_000), "comment": b"a camera's words"},
        {"icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()},
        {"restart_marker_blocks": 1},
    ],
)
def test_jpeg_files_as_cameras_and_encoders_write_them_are_decoded(options):
    np.testing.assert_allclose(
        decode(pb.JPEG, file("JPEG", **options)).mean(), FRAME.mean(), atol=2
    )


@pytest.mark.parametrize("level", [0, 1, 9])
def test_png_files_are_decoded_exactly(level):
    text = PngImagePlugin.PngInfo()
    text.add_text("camera", "left wrist")
    data = file("PNG", compress_level=level, pnginfo=text)
    np.testing.assert_array_equal(decode(pb.PNG, data), FRAME)


def test_noise_that_no_encoder_makes_smaller_is_decoded():
    noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
    np.testing.assert_array_equal(decode(pb.PNG, file("PNG", noise)), noise)
    assert decode(pb.JPEG, file("JPEG", noise, quality=100, subsampling=0)).shape == noise.shape


@pytest.mark.parametrize(
    "segment", [b"\xff\xfe\x00\x02", b"\xff", b"\xff\xd0", b"\xff\xe0\x00\x04ab", b"\xff\x01"]
)
def test_a_jpeg_of_markers_is_refused_before_a_decoder_sees_it(no_decoder, segment):
    assert "at most 256 segments" in refusal(pb.JPEG, with_segments(file("JPEG"), segment, 300))
    whole = b"\xff\xd8" + segment * ((31 << 20) // len(segment))
    assert "at most 256 segments" in refusal(pb.JPEG, whole)


def test_a_file_larger_than_its_pixels_can_need_is_refused_before_a_decoder_sees_it(no_decoder):
    most = 4 * 48 * 64 + 256 * 1024
    for kind, codec in (("JPEG", pb.JPEG), ("PNG", pb.PNG)):
        data = file(kind)
        padded = data + bytes(most + 1 - len(data))
        assert f"at most {most} bytes of {kind} for 48x64" in refusal(codec, padded)


def test_a_png_of_empty_chunks_is_refused_before_a_decoder_sees_it(no_decoder):
    data = file("PNG")
    head, rest = data[:33], data[33:]
    assert "chunks" in refusal(pb.PNG, head + chunk(b"IDAT") * 1000 + rest)
    assert "chunks" in refusal(pb.PNG, head + chunk(b"teXt") * 1000 + rest)


@pytest.mark.parametrize("size", [(60_000, 60_000), (2049, 2048), (0, 5)])
def test_claimed_pixels_are_counted_before_a_decoder_sees_the_file(no_decoder, size):
    data = file("PNG")
    claims = data[:16] + struct.pack(">II", *size) + data[24:]
    assert "1 to 4194304 pixels" in refusal(pb.PNG, claims)


@pytest.mark.parametrize("end", [0, 1, 2, 3, 10, 20, 30, 100])
def test_a_file_that_is_cut_short_is_refused(end):
    for kind, codec in (("JPEG", pb.JPEG), ("PNG", pb.PNG)):
        assert f"a whole {kind} file" in refusal(codec, file(kind)[:end])


def test_a_jpeg_with_a_second_size_is_refused():
    data = file("JPEG")
    at = data.index(b"\xff\xc0")
    second = data[at : at + 2 + struct.unpack_from(">H", data, at + 2)[0]]
    larger = second[:5] + struct.pack(">HH", 2000, 2000) + second[9:]
    assert "JPEG" in refusal(pb.JPEG, data[:at] + larger + data[at:])
