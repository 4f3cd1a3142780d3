"""Whether evaluated episodes were trained on, told only where it is known."""

from handover_client.results.provenance import describe_training, membership, versions
from handover_proto.types import TrainingRecord

RECORD = TrainingRecord("cubes", "aa", (0, 1), (2,))


def test_a_dataset_of_the_same_content_tells():
    places = membership([RECORD], "aa", [0, 1, 2, 3])
    assert list(places.values()) == ["training", "training", "held out", "not used"]
    assert describe_training(places.values()) == (
        "Of 4 evaluated episodes: 2 in the checkpoint's training set; 1 held out from training; "
        "1 of the training dataset, but not used in training."
    )


def test_another_dataset_or_none_is_unknown():
    for records, dataset_hash in (([RECORD], "bb"), ([], "aa"), ([RECORD], "")):
        places = membership(records, dataset_hash, [0])
        assert places == {0: "unknown"}
        assert "does not tell" in describe_training(places.values())


def test_an_episode_of_two_trainings_is_training_if_one_trained_on_it():
    later = TrainingRecord("cubes", "aa", (2,), (0,))
    assert membership([RECORD, later], "aa", [0, 2]) == {0: "training", 2: "training"}


def test_the_versions_name_what_the_figures_went_through():
    assert {"python", "platform", "numpy", "grpcio", "protobuf"} <= set(versions())
