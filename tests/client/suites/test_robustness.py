"""The whole suite by the scripted expert, interrupted once, and its control beside a rollout."""

import json

import pytest

pytest.importorskip("mujoco", reason="needs the extra 'sim'")
pytestmark = [pytest.mark.sim, pytest.mark.timeout(480)]

from handover_client.commands.rollout import main  # noqa: E402
from handover_client.report.page import render_runs, run_section  # noqa: E402
from handover_client.results.run_folder import read_run  # noqa: E402
from handover_client.rollout.run import Rollout  # noqa: E402
from handover_common.errors import UsageError  # noqa: E402

from ..stand_ins import flat_config  # noqa: E402


def config(output, **changes):
    flags = {"episodes": 2, "seed": 1000, "max_steps": 60, "workers": 1, "policy": "scripted"}
    return flat_config(output=output, **{**flags, "videos": "none", **changes})


def episodes(folder) -> list[dict]:
    found = []
    for line in (folder / "episodes.jsonl").read_text().splitlines():
        record = json.loads(line)
        del record["wall_s"], record["cpu_s"], record["latency_ms"]
        found.append(record)
    return found


def test_an_interrupted_suite_goes_on_and_its_control_is_a_plain_rollout(tmp_path, monkeypatch):
    whole = Rollout.run

    def stop_at_the_third(rollout, folder, play_all):
        if rollout.tasks[0].settings.change == "instruction:2":
            raise KeyboardInterrupt
        return whole(rollout, folder, play_all)

    wanted = config(tmp_path / "suite", suite="robustness", axes=("instruction",))
    with monkeypatch.context() as patch:
        patch.setattr(Rollout, "run", stop_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            main(wanted)
    assert not (tmp_path / "suite").exists()
    played = []

    def count(rollout, folder, play_all):
        played.append(rollout.tasks[0].settings.change)
        return whole(rollout, folder, play_all)

    with monkeypatch.context() as patch:
        patch.setattr(Rollout, "run", count)
        figures = main(wanted)
    assert played == ["instruction:2", "instruction:3"]
    assert figures["kind"] == "robustness"
    (axis,) = figures["axes"]
    assert [cell["strength"] for cell in axis["cells"]] == [1, 2, 3]
    assert "Failures" not in (tmp_path / "suite/report.html").read_text()
    main(config(tmp_path / "plain"))
    runs = [tmp_path / name for name in ("suite", "plain")]
    page = render_runs([run_section(folder, read_run(folder)) for folder in runs])
    assert "Robustness: transfer cube" in page
    assert episodes(tmp_path / "suite/cells/control") == episodes(tmp_path / "plain")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"axes": ("light",)}, "--axes needs --suite"),
        ({"suite": "robustness", "change": "light:1"}, "takes no --change, --until"),
        ({"suite": "robustness", "until": "success > 0.5"}, "takes no --change, --until"),
        ({"suite": "robustness", "axes": ("fog",)}, "unknown axis 'fog'"),
        ({"change": "light"}, "expected AXIS:STRENGTH"),
    ],
)
def test_flags_that_make_no_sense_are_refused(tmp_path, flags, words):
    with pytest.raises(UsageError, match=words):
        main(config(tmp_path / "run", **flags))
