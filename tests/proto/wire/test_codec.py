"""Arrays and images survive the wire bit for bit; what is broken is refused by name."""

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from handover_proto import policy_pb2 as pb
from handover_proto.errors import InvalidRequest
from handover_proto.types import MAX_IMAGE_PIXELS, EncodedImage, ImageCodec
from handover_proto.wire.codec import (
    compress,
    decode_image,
    decode_tensor,
    encode_frame,
    encode_tensor,
)
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image as PillowImage
from PIL import PngImagePlugin

DTYPES = ["f4", "f8", "f2", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "?"]
PATH = 'observation.cameras["top"].frames[0]'

any_array = st.sampled_from(DTYPES).flatmap(
    lambda code: hnp.arrays(
        np.dtype(code), hnp.array_shapes(min_dims=0, max_dims=8, max_side=3, min_side=0)
    )
)


def over_the_wire(tensor: pb.Tensor) -> pb.Tensor:
    return pb.Tensor.FromString(tensor.SerializeToString())


def assert_same_bits(one: np.ndarray, other: np.ndarray) -> None:
    assert one.dtype == other.dtype
    assert one.shape == other.shape
    assert one.tobytes() == other.tobytes()


@given(any_array)
def test_every_array_comes_back_bit_for_bit(array):
    assert_same_bits(decode_tensor(over_the_wire(encode_tensor(array)), "x"), array)


@pytest.mark.parametrize("code", DTYPES)
@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0, 2), (2, 3), (1,) * 8])
def test_every_dtype_has_every_edge_of_shape(code, shape):
    array = np.ones(shape, code)
    assert_same_bits(decode_tensor(over_the_wire(encode_tensor(array)), "x"), array)


@pytest.mark.parametrize("code", ["f4", "f8", "f2", "i2", "u4", "i8"])
def test_the_extremes_of_a_dtype_come_back(code):
    dtype = np.dtype(code)
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    special = [np.nan, np.inf, -np.inf, -0.0] if dtype.kind == "f" else []
    array = np.array([limits.min, limits.max, *special], dtype)
    assert_same_bits(decode_tensor(encode_tensor(array), "x"), array)


@pytest.mark.parametrize("code", [">f4", ">i8", ">u2"])
def test_big_endian_arrays_travel_as_little_endian(code):
    array = np.array([1, 2, 300], code)
    tensor = encode_tensor(array)
    assert tensor.data == array.astype(array.dtype.newbyteorder("<")).tobytes()
    np.testing.assert_array_equal(decode_tensor(tensor, "x"), array)


def test_views_travel_as_what_they_show():
    array = np.arange(24, dtype=np.float32).reshape(4, 6)[::-2, ::3]
    np.testing.assert_array_equal(decode_tensor(encode_tensor(array), "x"), array)


def test_decoded_arrays_cannot_be_written_to():
    assert not decode_tensor(encode_tensor(np.zeros(3, np.float32)), "x").flags.writeable


@pytest.mark.parametrize(
    "array",
    [np.zeros(2, np.complex64), np.array(["a"]), np.array([None]), np.zeros((1,) * 9, np.float32)],
)
def test_what_the_contract_has_no_dtype_for_is_refused(array):
    with pytest.raises(InvalidRequest, match="tensor: expected one of"):
        encode_tensor(array)


@pytest.mark.parametrize(
    ("tensor", "field"),
    [
        (pb.Tensor(shape=[1], data=b"1234"), "x.dtype"),
        (pb.Tensor(dtype=99, shape=[1], data=b"1234"), "x.dtype"),
        (pb.Tensor(dtype=-1, shape=[1], data=b"1234"), "x.dtype"),
        (pb.Tensor(dtype=pb.FLOAT32, shape=[2], data=b"1234"), "x.data"),
        (pb.Tensor(dtype=pb.FLOAT32, shape=[1], data=b"12345"), "x.data"),
        (pb.Tensor(dtype=pb.FLOAT32, shape=[], data=b""), "x.data"),
        (pb.Tensor(dtype=pb.FLOAT32, shape=[1 << 28], data=b"1234"), "x.data"),  # claims 1 GiB
        (pb.Tensor(dtype=pb.FLOAT64, shape=[2**32 - 1] * 8, data=b"1234"), "x.data"),
        (pb.Tensor(dtype=pb.FLOAT32, shape=[0] + [2**32 - 1] * 7, data=b""), "x.shape"),
        (pb.Tensor(dtype=pb.FLOAT32, shape=[1] * 9, data=b"1234"), "x.shape"),
        (pb.Tensor(dtype=pb.BOOL, shape=[2], data=b"\x00\x02"), "x.data"),
    ],
)
def test_a_tensor_whose_parts_disagree_is_refused_by_field(tensor, field):
    with pytest.raises(InvalidRequest) as caught:
        decode_tensor(tensor, "x")
    assert caught.value.field == field


frames = hnp.arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24), st.just(3)))


@given(frames)
def test_raw_and_png_frames_come_back_pixel_for_pixel(frame):
    for image in (encode_frame(frame), encode_frame(compress(frame, ImageCodec.PNG))):
        wire = pb.Image.FromString(image.SerializeToString())
        np.testing.assert_array_equal(decode_image(wire, PATH, MAX_IMAGE_PIXELS), frame)


def test_a_jpeg_frame_decodes_to_what_the_file_says():
    ramp = np.linspace(0, 255, 64 * 48 * 3).reshape(64, 48, 3).astype(np.uint8)
    encoded = compress(ramp, ImageCodec.JPEG)
    decoded = decode_image(encode_frame(encoded), PATH, MAX_IMAGE_PIXELS)
    np.testing.assert_array_equal(decoded, np.asarray(PillowImage.open(io.BytesIO(encoded.data))))
    assert np.abs(decoded.astype(int) - ramp).mean() < 4


def test_views_of_frames_travel_as_what_they_show():
    frame = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)[::2, ::-1]
    decoded = decode_image(encode_frame(frame), PATH, MAX_IMAGE_PIXELS)
    np.testing.assert_array_equal(decoded, frame)


def test_only_files_can_be_compressed_to():
    with pytest.raises(ValueError, match="cannot compress"):
        compress(np.zeros((2, 2, 3), np.uint8), ImageCodec.RAW_RGB8)


def file_of(mode: str, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    PillowImage.new(mode, (8, 6)).save(buffer, kind, **options)
    return buffer.getvalue()


def png_of_16_bits() -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    head = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    rows = zlib.compress((b"\x00" + bytes(2 * 6)) * 2)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def giant_png(height: int, width: int) -> bytes:
    data = bytearray(file_of("RGB", "PNG"))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    return bytes(data)


def png_with_text_bomb() -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_text("bomb", "0" * (64 * 1024 * 1024), zip=True)
    return file_of("RGB", "PNG", pnginfo=text)


def jpeg_with_many_scans(scans: int) -> bytes:
    data = file_of("RGB", "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    end = data.rindex(b"\xff\xd9")
    return data[:end] + data[start:end] * scans + data[end:]


JPEG_FILE, PNG_FILE = file_of("RGB", "JPEG"), file_of("RGB", "PNG")


@pytest.mark.parametrize(
    ("image", "field"),
    [
        (pb.Image(data=b"123", height=1, width=1), f"{PATH}.codec"),
        (pb.Image(codec=77, data=b"123", height=1, width=1), f"{PATH}.codec"),
        (pb.Image(codec=pb.RAW_RGB8, data=b"12", height=1, width=1), f"{PATH}.data"),
        (pb.Image(codec=pb.RAW_RGB8, data=b"", height=0, width=0), PATH),
        (pb.Image(codec=pb.RAW_RGB8, data=b"", height=2**32 - 1, width=2**32 - 1), PATH),
        (pb.Image(codec=pb.RAW_RGB8, data=b"1", height=18919, width=18919), PATH),  # claims 1 GiB
        (pb.Image(codec=pb.JPEG, data=b""), f"{PATH}.data"),
        (pb.Image(codec=pb.JPEG, data=PNG_FILE), f"{PATH}.data"),
        (pb.Image(codec=pb.PNG, data=JPEG_FILE), f"{PATH}.data"),
        (pb.Image(codec=pb.JPEG, data=JPEG_FILE, height=9, width=8), PATH),
        (pb.Image(codec=pb.PNG, data=file_of("RGBA", "PNG")), f"{PATH}.data"),
        (pb.Image(codec=pb.PNG, data=file_of("P", "PNG")), f"{PATH}.data"),
        (pb.Image(codec=pb.JPEG, data=file_of("L", "JPEG")), f"{PATH}.data"),
        (pb.Image(codec=pb.JPEG, data=file_of("CMYK", "JPEG")), f"{PATH}.data"),
        (pb.Image(codec=pb.PNG, data=png_of_16_bits()), f"{PATH}.data"),
        (pb.Image(codec=pb.PNG, data=giant_png(60000, 60000)), PATH),
        (pb.Image(codec=pb.PNG, data=giant_png(2049, 2048)), PATH),
        (pb.Image(codec=pb.PNG, data=png_with_text_bomb()), f"{PATH}.data"),
        (pb.Image(codec=pb.JPEG, data=jpeg_with_many_scans(200)), f"{PATH}.data"),
    ],
)
def test_an_image_that_breaks_the_contract_is_refused_by_field(image, field):
    with pytest.raises(InvalidRequest) as caught:
        decode_image(image, PATH, MAX_IMAGE_PIXELS)
    assert caught.value.field == field
    assert len(caught.value.got) < 200
    assert " object at 0x" not in caught.value.got  # where in memory is nobody's business


@pytest.mark.parametrize("data", [JPEG_FILE, PNG_FILE], ids=["JPEG", "PNG"])
def test_a_file_cut_short_anywhere_in_its_pixels_is_refused(data):
    codec = pb.JPEG if data is JPEG_FILE else pb.PNG
    for size in range(len(data) - 30):
        with pytest.raises(InvalidRequest):
            decode_image(pb.Image(codec=codec, data=data[:size]), PATH, MAX_IMAGE_PIXELS)


def test_an_encoded_frame_keeps_its_bytes():
    image = encode_frame(EncodedImage(ImageCodec.JPEG, JPEG_FILE))
    assert (image.codec, image.data, image.height, image.width) == (pb.JPEG, JPEG_FILE, 0, 0)


@given(st.data())
def test_damaged_files_are_refused_or_decoded_but_nothing_else(data):
    codec, original = data.draw(st.sampled_from([(pb.JPEG, JPEG_FILE), (pb.PNG, PNG_FILE)]))
    damaged = bytearray(original)
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    image = pb.Image(codec=codec, data=bytes(damaged))
    with contextlib.suppress(InvalidRequest):
        frame = decode_image(image, PATH, 64 * 64)
        assert frame.dtype == np.uint8
        assert frame.ndim == 3
