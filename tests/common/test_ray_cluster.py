"""Tasks on a two-node Ray cluster on this machine, also when it loses workers."""

import os
import signal

import pytest

ray = pytest.importorskip("ray", reason="Ray is not installed (extra: cluster)")
pytestmark = pytest.mark.slow

from handover_common.parallel import WorkerLost, open_executor  # noqa: E402


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    yield cluster
    cluster.shutdown()


def node_of(number):
    import time

    time.sleep(0.3)
    return ray.get_runtime_context().get_node_id()


def die_once(folder):
    mark = folder / "tried"
    if not mark.exists():
        mark.write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def die(_):
    os._exit(7)


def fail(number):
    raise ValueError(f"task {number}")


def test_both_nodes_work(cluster):
    with open_executor(None, cluster.address) as executor:
        assert executor.workers == 2
        nodes = {o.unwrap() for o in executor.map_unordered(node_of, range(8))}
    assert len(nodes) == 2


def test_a_lost_workers_task_is_done_again(cluster, tmp_path):
    with open_executor(None, cluster.address) as executor:
        (outcome,) = executor.map_unordered(die_once, [tmp_path])
    assert outcome.unwrap() == "done"


def test_a_task_that_kills_its_workers_is_given_up(cluster):
    with open_executor(None, cluster.address) as executor:
        (outcome,) = executor.map_unordered(die, [0])
    assert isinstance(outcome.error, WorkerLost)


def test_an_error_comes_back_as_itself(cluster):
    with open_executor(None, cluster.address) as executor:
        (outcome,) = executor.map_unordered(fail, [3])
    with pytest.raises(ValueError, match="task 3"):
        outcome.unwrap()
