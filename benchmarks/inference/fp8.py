"""What FP8 does to a checkpoint's actions: beside the reference path, and open loop.

    python -m benchmarks.inference.fp8 --calibrate-on DATASET --dataset-path OTHER

Both are GR00T datasets; the second is replayed with `handover replay` against a server of each
precision. On a CPU the same rounded numbers are multiplied as on a GPU, slowly: this tells errors,
not times. Run by an environment with the extras `train` and `replay`.
"""

import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import tyro
from handover_client.commands.replay import main as replay
from handover_client.replay.config import ReplayConfig
from handover_model.checkpoints.hashes import weights_hash
from handover_model.engine.fp8.scales import load_scales
from handover_training.calibrate import CalibrateConfig, calibrate_checkpoint

from benchmarks.harness.result_file import write_result
from benchmarks.harness.server_process import server_process

PRECISIONS = {
    "float32": ("--dtype", "float32"),
    "bfloat16": ("--dtype", "bfloat16"),
    "fp8": ("--dtype", "float32", "--precision", "fp8"),
}
FIGURES = ("mse", "mae", "success_at", "accuracy_at", "interval_95")


@dataclass(frozen=True)
class Fp8Benchmark:
    """Calibrate a checkpoint, and judge its precisions open loop."""

    calibrate_on: Path
    """GR00T dataset for the scales, and for the error beside the reference path"""
    dataset_path: Path
    """GR00T dataset that is replayed, best one that the checkpoint has not seen"""
    checkpoint: Path = Path("checkpoints/aloha-mini")
    observations: int = 128
    """For calibration: half for the scales, half for the error"""
    device: str = "cpu"
    name: str = "fp8"
    """The result goes to benchmarks/results/NAME.json"""


def main(config: Fp8Benchmark) -> dict[str, object]:
    """Measure, print and write the result's JSON."""
    with tempfile.TemporaryDirectory() as folder:
        scales = Path(folder, "scales.json")
        calibrate_checkpoint(
            CalibrateConfig(
                str(config.checkpoint),
                config.calibrate_on,
                config.observations,
                scales,
                device=config.device,
            )
        )
        found = load_scales(scales, weights_hash(config.checkpoint))
        replays: dict[str, dict[str, object]] = {}
        for name, flags in PRECISIONS.items():
            more = ("--fp8-scales", str(scales)) if name == "fp8" else ()
            command = [
                sys.executable,
                "-m",
                "handover_server.serve.command",
                "--port",
                "0",
                "--no-compile",
            ]
            command += ["--checkpoint", str(config.checkpoint), "--device", config.device]
            with server_process(*command, *flags, *more) as server:
                run = ReplayConfig(server.address, config.dataset_path, Path(folder, name))
                judged = replay(run)["joints_14"]
            replays[name] = {figure: judged[figure] for figure in FIGURES}
    result: dict[str, object] = {
        "checkpoint": config.checkpoint.name,
        "checkpoint_hash": found.weights_hash,
        "device": config.device,
        "emulated": not config.device.startswith("cuda"),
        "calibrated_on": {"dataset": found.dataset, "observations": found.observations},
        "layers_in_fp8": len(found.largest_inputs),
        "actions_beside_the_reference": asdict(found.error),
        "open_loop": {"dataset": config.dataset_path.name, "joints_14": replays},
    }
    write_result(config.name, result)
    return result


if __name__ == "__main__":
    main(tyro.cli(Fp8Benchmark))
