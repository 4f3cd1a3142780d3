"""Requests that break the contract on purpose: known faults, and random damage to the bytes."""

import random
import struct
import zlib
from collections.abc import Callable

import numpy as np
from handover_proto import policy_pb2 as pb
from handover_proto.types import ImageCodec
from handover_proto.wire.codec import compress, encode_frame, encode_tensor

CAMERA = "ego_view"
Fault = Callable[[pb.InferRequest, random.Random], str]  # returns the path of the broken field


def good_request(rng: random.Random) -> pb.InferRequest:
    """A request that fits the hold policy, of a small frame in one of the codecs."""
    pixels = np.frombuffer(rng.randbytes(16 * 12 * 3), np.uint8).reshape(16, 12, 3)
    codec = rng.choice(list(ImageCodec))
    frame = pixels if codec is ImageCodec.RAW_RGB8 else compress(pixels, codec)
    request = pb.InferRequest(seed=rng.getrandbits(64), sequence=rng.getrandbits(64))
    request.client_tag = "robot"
    request.observation.task = "transfer the cube"
    request.observation.cameras[CAMERA].frames.append(encode_frame(frame))
    for name, dim in (
        ("left_arm", 7),
        ("left_hand", 6),
        ("right_arm", 7),
        ("right_hand", 6),
        ("waist", 3),
    ):
        values = np.array([[rng.uniform(-3, 3) for _ in range(dim)]], np.float32)
        request.observation.state[name].CopyFrom(encode_tensor(values))
    return request


def _group(request: pb.InferRequest, rng: random.Random) -> tuple[pb.Tensor, str]:
    name = rng.choice(sorted(request.observation.state))
    return request.observation.state[name], f'observation.state["{name}"]'


def _image(request: pb.InferRequest) -> tuple[pb.Image, str]:
    frame = request.observation.cameras[CAMERA].frames[0]
    return frame, f'observation.cameras["{CAMERA}"].frames[0]'


def wrong_dtype(request: pb.InferRequest, rng: random.Random) -> str:
    tensor, path = _group(request, rng)
    tensor.dtype = rng.choice([number for number in range(14) if number != pb.FLOAT32])
    return path


def unknown_dtype(request: pb.InferRequest, rng: random.Random) -> str:
    tensor, path = _group(request, rng)
    tensor.dtype = rng.choice([0, -1, 13, 99, 2**31 - 1, -(2**31)])
    return path


def wrong_shape(request: pb.InferRequest, rng: random.Random) -> str:
    tensor, path = _group(request, rng)
    old = list(tensor.shape)
    while list(tensor.shape) == old:
        tensor.shape[:] = [rng.choice([0, 1, 2, 7, 2**32 - 1]) for _ in range(rng.randrange(12))]
    return path


def gibibyte_claim(request: pb.InferRequest, rng: random.Random) -> str:
    tensor, path = _group(request, rng)
    tensor.shape[:] = rng.choice([[1 << 28], [1 << 14, 1 << 14], [1 << 30, 1], [2**32 - 1] * 8])
    return path


def wrong_rows(request: pb.InferRequest, rng: random.Random) -> str:
    tensor, path = _group(request, rng)
    rows = rng.choice([0, 2, 3, 500])
    tensor.CopyFrom(encode_tensor(np.zeros((rows, tensor.shape[1]), np.float32)))
    return path


def not_finite(request: pb.InferRequest, rng: random.Random) -> str:
    tensor, path = _group(request, rng)
    values = np.frombuffer(tensor.data, "<f4").copy()
    values[rng.randrange(len(values))] = rng.choice([np.nan, np.inf, -np.inf])
    tensor.data = values.tobytes()
    return path


def short_data(request: pb.InferRequest, rng: random.Random) -> str:
    tensor, path = _group(request, rng)
    tensor.data = rng.choice([tensor.data[:-1], tensor.data + b"\0", b""])
    return path


def wrong_group(request: pb.InferRequest, rng: random.Random) -> str:
    names = sorted(request.observation.state)
    if rng.random() < 0.5:
        del request.observation.state[rng.choice(names)]
    if rng.random() < 0.5 or len(request.observation.state) == len(names):
        name = rng.choice(["", "leg", "left_arm ", "LEFT_ARM", "\n", "é" * 50, "x" * 5000])
        request.observation.state[name].data = rng.randbytes(8)
    return "observation.state"


def wrong_camera(request: pb.InferRequest, rng: random.Random) -> str:
    if rng.random() < 0.5:
        del request.observation.cameras[CAMERA]
    else:
        name = rng.choice(["", "top", "ego_view\0", "x" * 5000])
        request.observation.cameras[name].frames.add(codec=rng.randrange(5))
    return "observation.cameras"


def wrong_number_of_frames(request: pb.InferRequest, rng: random.Random) -> str:
    frames = request.observation.cameras[CAMERA].frames
    if rng.random() < 0.5:
        del frames[:]
    else:
        frames.extend([frames[0]] * rng.randrange(1, 200))
    return f'observation.cameras["{CAMERA}"]'


def empty_task(request: pb.InferRequest, rng: random.Random) -> str:
    request.observation.task = rng.choice(["", " ", "\n\t ", "\u2003", " " * 10_000])
    return "observation.task"


def endless_task(request: pb.InferRequest, rng: random.Random) -> str:
    request.observation.task = rng.choice("aé界🤖") * rng.randrange(2001, 20_000)
    return "observation.task"


def long_tag(request: pb.InferRequest, rng: random.Random) -> str:
    request.client_tag = rng.choice("aé界🤖") * rng.randrange(257, 5000)
    return "client_tag"


def unknown_codec(request: pb.InferRequest, rng: random.Random) -> str:
    image, path = _image(request)
    image.codec = rng.choice([0, 4, -1, 77, 2**31 - 1])
    return path


def another_codec(request: pb.InferRequest, rng: random.Random) -> str:
    image, path = _image(request)
    image.codec = rng.choice([codec for codec in (1, 2, 3) if codec != image.codec])
    image.height, image.width = rng.choice([(0, 0), (16, 13)])
    return path


def wrong_size(request: pb.InferRequest, rng: random.Random) -> str:
    image, path = _image(request)
    image.height = rng.choice([17, 2**32 - 1, 1 << 15])
    image.width = rng.choice([13, 2**32 - 1, 1 << 15])
    return path


def truncated_image(request: pb.InferRequest, rng: random.Random) -> str:
    image, path = _image(request)
    image.data = image.data[: rng.randrange(len(image.data) - 40)]
    return path


def _png_chunk(name: bytes, body: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(name + body))
    return struct.pack(">I", len(body)) + name + body + check


def _png(height: int, width: int, *extra: bytes) -> bytes:
    head = _png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = _png_chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(extra) + pixels + _png_chunk(b"IEND", b"")


_TEXT_BOMB = zlib.compress(bytes(8 * 1024 * 1024), 9)


def giant_png(request: pb.InferRequest, rng: random.Random) -> str:
    image, path = _image(request)
    side = rng.choice([2049, 20_000, 2**31 - 1])
    image.CopyFrom(pb.Image(codec=pb.PNG, data=_png(side, side)))
    return path


def text_bomb(request: pb.InferRequest, rng: random.Random) -> str:
    image, path = _image(request)
    name = rng.choice([b"zTXt", b"iTXt"])
    start = b"a\0\0" if name == b"zTXt" else b"a\0\1\0\0\0"
    data = _png(8, 8, *[_png_chunk(name, start + _TEXT_BOMB)] * 3)
    image.CopyFrom(pb.Image(codec=pb.PNG, data=data))
    return path


def scan_bomb(request: pb.InferRequest, rng: random.Random) -> str:
    image, path = _image(request)
    scans = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" * rng.randrange(101, 5000)
    file = compress(np.zeros((16, 16, 3), np.uint8), ImageCodec.JPEG).data
    image.CopyFrom(pb.Image(codec=pb.JPEG, data=file[:-2] + scans + b"\xff\xd9"))
    return path


def countless_parts(request: pb.InferRequest, rng: random.Random) -> str:
    tensor, _ = _group(request, rng)
    tensor.shape.extend([1] * 5000)
    return "message"


FAULTS: tuple[Fault, ...] = (
    *(wrong_dtype, unknown_dtype, wrong_shape, gibibyte_claim, wrong_rows, not_finite, short_data),
    *(wrong_group, wrong_camera, wrong_number_of_frames, empty_task, endless_task, long_tag),
    *(unknown_codec, another_codec, wrong_size, truncated_image),
    *(giant_png, text_bomb, scan_bomb, countless_parts),
)


def damaged(data: bytes, rng: random.Random) -> bytes:
    """The bytes with some flipped, cut out, put in, doubled or swapped."""
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        at = rng.randrange(len(out) + 1)
        match rng.randrange(5):
            case 0 if at < len(out):
                out[at] ^= 1 << rng.randrange(8)
            case 1:
                del out[at : at + rng.randrange(1, 50)]
            case 2:
                out[at:at] = rng.randbytes(rng.randrange(1, 50))
            case 3:
                out[at:at] = out[at : at + rng.randrange(1, 200)]
            case _:
                out[at : at + 5] = rng.choice([b"\xff\xff\xff\xff\x03", b"\x80" * 11, b"\0" * 5])
    return bytes(out)
