"""Names of checkpoints: a folder of this machine as it is, or a repository of the model hub."""

import re
from collections.abc import Sequence
from pathlib import Path

from handover_model import CheckpointError

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
CONNECT_TIMEOUT_S = 10.0
CHECKPOINT_PATTERNS = ("*.json", "*.safetensors", "merges.txt", "README.md")


def resolve(name_or_dir: str | Path, revision: str | None = None) -> Path:
    """Give the folder of a checkpoint: a local one as it is, a hub name downloaded.

    Raises CheckpointError when it is neither, or the hub cannot be reached.
    """
    folder = Path(name_or_dir).expanduser()
    if folder.is_dir():
        return folder
    name = str(name_or_dir)
    if not HUB_NAME.fullmatch(name) or name.startswith((".", "/", "~")):
        raise CheckpointError(
            f"{name} is no folder here; expected a checkpoint folder, or a name on the hub such "
            "as nvidia/GR00T-N1.6-3B"
        )
    return fetch(name, files=CHECKPOINT_PATTERNS, revision=revision)


def fetch(name: str, *, files: Sequence[str], revision: str | None = None) -> Path:
    """Download files of a hub repository, or take them from the local cache.

    The hub is tried within CONNECT_TIMEOUT_S; an interrupted download goes on where it stopped.
    """
    # huggingface_hub takes its time to import, and only checkpoints from the hub need it
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        path = snapshot_download(
            name,
            revision=revision,
            allow_patterns=list(files),
            etag_timeout=CONNECT_TIMEOUT_S,
        )
    except LocalEntryNotFoundError as error:
        raise CheckpointError(
            f"{name} is not in the local cache and the hub cannot be reached; download it on a "
            "machine that can, and give the folder instead"
        ) from error
    except HfHubHTTPError as error:
        raise CheckpointError(
            f"the hub did not give {name}: {error}; check the name, and log in with `hf auth "
            "login` if it is not public"
        ) from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{name} could not be downloaded: {error}") from error
    return Path(path)
