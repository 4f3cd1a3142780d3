"""Choice of the cameras of a conversion: by flags, by the robot's description, or the only one."""

from collections.abc import Sequence
from dataclasses import dataclass

from handover_common import UsageError
from handover_proto import CAMERA

from handover_conversion.errors import DatasetError
from handover_conversion.pipeline.config import ConvertConfig
from handover_conversion.recordings import SourceInfo
from handover_conversion.robot.columns import DescriptionError
from handover_conversion.robot.description import Camera, Robot
from handover_conversion.robot.parse import parse_camera
from handover_conversion.video.encode import Codec

_USUAL = "observation.images.top"


@dataclass(frozen=True)
class CameraFormat:
    """A camera of the output."""

    name: str
    key: str  # of the recording
    image_size: int
    codec: Codec
    swap_colors: bool = False


def choose_cameras(
    config: ConvertConfig, robot: Robot, source: SourceInfo
) -> tuple[tuple[CameraFormat, ...], list[str]]:
    """Return the cameras to convert, and the keys of those that are left out.

    Raises DatasetError listing the cameras where the choice is not clear, UsageError for a flag.
    """
    chosen = _chosen(config, robot, source)
    names = [camera.name for camera in chosen]
    if len(set(names)) != len(names):
        raise UsageError(f"two cameras have one name among {', '.join(names)} (--camera NAME=KEY)")
    flag = "--video-key" if config.video_key is not None else "--camera"
    for camera in chosen:
        if camera.key not in source.cameras:
            there = ", ".join(source.cameras) or "none"
            raise DatasetError(f"no camera {camera.key!r} in the dataset; it has: {there} ({flag})")
    formats = tuple(
        CameraFormat(
            camera.name,
            camera.key,
            camera.image_size or config.image_size,
            camera.codec or config.codec,
            config.bgr != (camera.color == "bgr"),
        )
        for camera in chosen
    )
    used = {camera.key for camera in chosen}
    return formats, [key for key in source.cameras if key not in used]


def _chosen(config: ConvertConfig, robot: Robot, source: SourceInfo) -> Sequence[Camera]:
    if config.camera == ("all",):
        described = {camera.key: camera for camera in robot.cameras}
        return [described.get(key) or Camera(_short(key), key) for key in source.cameras]
    if config.camera:
        return [_parse_flag(flag) for flag in config.camera]
    if config.video_key is not None:
        return [Camera(CAMERA, config.video_key)]
    if robot.cameras:
        return robot.cameras
    if _USUAL in source.cameras:
        return [Camera(CAMERA, _USUAL)]
    if len(source.cameras) == 1:
        return [Camera(CAMERA, source.cameras[0])]
    there = ", ".join(source.cameras) or "none"
    raise DatasetError(
        f"{source.root} has the cameras {there}: expected --camera all, or --camera NAME=KEY … "
        f"with the policy's names, such as {CAMERA}=KEY"
    )


def _short(key: str) -> str:
    """Name a camera by the last part of its key: observation.images.cam_high -> cam_high."""
    return key.removeprefix("observation.images.").rsplit("/", 1)[-1]


def _parse_flag(flag: str) -> Camera:
    """Parse NAME=KEY[,image_size=N][,codec=C][,color=bgr], or a KEY alone. Raises UsageError."""
    first, *options = flag.split(",")
    name, found, key = first.partition("=")
    if not found:
        name, key = _short(first), first
    described: dict[str, object] = {"key": key}
    for option in options:
        what, found, value = option.partition("=")
        if not found or what in described:
            raise UsageError(f"--camera: expected NAME=KEY,image_size=N,codec=C, got {flag!r}")
        described[what] = int(value) if value.isascii() and value.isdigit() else value
    try:
        return parse_camera(name, described)
    except DescriptionError as error:
        raise UsageError(f"--camera: {error}") from None
