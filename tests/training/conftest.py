"""A real dataset, a tiny random base checkpoint, and a short run of the command on them."""

import dataclasses
from pathlib import Path

import pytest
import torch
from handover_conversion import ConvertConfig, convert
from handover_model.checkpoints.checkpoint import save_checkpoint
from handover_model.checkpoints.metadata import dataset_metadata
from handover_model.processing.aloha import aloha_processor, dataset_statistics
from handover_model.processing.image import ImageOptions
from handover_training.aloha_mini.network import RANDOM, draw_network, zero_unused
from handover_training.aloha_mini.tokenizer import save_tokenizer, train_tokenizer
from handover_training.finetuning.config import FinetuneConfig

ROOT = Path(__file__).resolve().parents[2]
RECORDINGS = ROOT / "tests/data/aloha_sim_transfer_cube"
EDGE = 56  # px: four image tokens


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Path:
    """The shipped recordings as a GR00T dataset: 2 episodes of 160 rows."""
    output = tmp_path_factory.mktemp("groot") / "transfer_cube"
    convert(ConvertConfig(str(RECORDINGS), output, image_size=64))
    return output


@pytest.fixture(scope="session")
def base(dataset, tmp_path_factory) -> Path:
    """A checkpoint with random weights; its statistics are deliberately another robot's."""
    folder = tmp_path_factory.mktemp("base")
    statistics = dataset_statistics(dataset)
    foreign = {
        key: dataclasses.replace(entry, min=entry.min - 10, max=entry.max + 10)
        for key, entry in statistics.action.items()
    }
    processor = dataclasses.replace(
        aloha_processor(
            dataclasses.replace(statistics, action=foreign), max_state_dim=32, max_action_dim=32
        ),
        image=ImageOptions(shortest_image_edge=EDGE),
    )
    tokenizer = train_tokenizer(merges=200)
    network = draw_network(RANDOM, 0, tokenizer, processor.max_action_horizon).eval()
    save_tokenizer(tokenizer, folder)
    save_checkpoint(
        folder / "mini",
        network,
        dataclasses.replace(processor, embodiment_ids={"gr1": 0}),
        metadata=dataset_metadata(dataset),
        tokenizer=folder,
        unused=zero_unused(network.eagle),
    )
    return folder / "mini"


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("frames")


@pytest.fixture
def settings(run_settings, tmp_path) -> FinetuneConfig:
    """A run of a few steps, prepared in this process, into a folder of its own."""
    return dataclasses.replace(run_settings, output_dir=tmp_path / "run")


@pytest.fixture(scope="session")
def run_settings(dataset, base, cache) -> FinetuneConfig:
    return FinetuneConfig(
        dataset_path=(dataset,),
        base_model_path=str(base),
        cache_dir=cache,
        max_steps=4,
        global_batch_size=4,
        learning_rate=1e-3,
        save_steps=2,
        logging_steps=1,
        report_to=("none",),
        dataloader_num_workers=0,
        device="cpu",
    )
