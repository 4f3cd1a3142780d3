"""A two-node Ray cluster on this machine gives the same bytes, also when it loses a machine."""

import pytest

pytest.importorskip("ray", reason="Ray is not installed (extra: cluster)")
pytestmark = pytest.mark.slow

from handover_conversion.check.run import check_dataset  # noqa: E402
from handover_conversion.pipeline.command import main  # noqa: E402
from handover_conversion.pipeline.config import ConvertConfig  # noqa: E402

from .test_kinds_resumed import CHOICES, make_source  # noqa: E402


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    yield cluster
    cluster.shutdown()


def test_the_cluster_gives_the_same_bytes(cluster, record, tmp_path, contents):
    source = record(lengths=(60, 50, 40, 60))
    main(ConvertConfig(str(source), tmp_path / "local", workers=2))
    main(ConvertConfig(str(source), tmp_path / "cluster", cluster=cluster.address))
    assert not [one for one in check_dataset(tmp_path / "cluster") if one.severity == "fault"]
    assert contents(tmp_path / "cluster") == contents(tmp_path / "local")


@pytest.mark.parametrize("kind", ["cameras", "hdf5"])
def test_several_cameras_and_hdf5_give_the_same_bytes(cluster, tmp_path, contents, kind):
    source = str(make_source(kind, tmp_path / "recorded"))
    main(ConvertConfig(source, tmp_path / "local", workers=2, **CHOICES))
    main(ConvertConfig(source, tmp_path / "cluster", cluster=cluster.address, **CHOICES))
    assert contents(tmp_path / "cluster") == contents(tmp_path / "local")


def test_a_lost_machines_tasks_are_done_again(cluster, record, tmp_path, contents):
    source = record(lengths=(60,) * 8)
    main(ConvertConfig(str(source), tmp_path / "local", workers=2))
    node = cluster.add_node(num_cpus=2)
    from handover_conversion.pipeline import run as conversion

    kept = []
    keep = conversion.Staging.keep

    def keep_and_lose_a_machine(self, *arguments):
        kept.append(arguments[0])
        if len(kept) == 2:
            cluster.remove_node(node, allow_graceful=False)
        keep(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversion.Staging, "keep", keep_and_lose_a_machine)
        main(ConvertConfig(str(source), tmp_path / "cluster", cluster=cluster.address))
    assert contents(tmp_path / "cluster") == contents(tmp_path / "local")
