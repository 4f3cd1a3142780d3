"""Data of a run: decoded frames, frozen features, and the plan of the batches."""

import hashlib
import json
import logging
import os

import torch
from accelerate.state import PartialState
from handover_model.processing import modality_config_json

from handover_training.checkpoints import folders
from handover_training.checkpoints.run_folder import RunStart
from handover_training.data.dataset import (
    Collator,
    EmbodimentPreparation,
    FrameReader,
    SamplePreparation,
    TrainingWindows,
)
from handover_training.data.episodes import read_recordings
from handover_training.data.feature_cache import FeatureCache, FeatureJob, fill
from handover_training.data.frame_cache import HASH_CHARS, FrameCache, open_cache
from handover_training.data.image_views import ImageViews
from handover_training.data.normalization import trained_slots
from handover_training.data.sampler import BatchPlan, Mixture, ProcessBatches
from handover_training.data.state_noise import make_state_noise
from handover_training.data.windows import WindowTable
from handover_training.finetuning.arguments import micro_batch
from handover_training.finetuning.plan import RunPlan
from handover_training.loop.loader import TrainingData
from handover_training.loop.validation import OpenLoop
from handover_training.network.frozen_features import FrozenFeatures
from handover_training.network.training_module import TrainingModule
from handover_training.network.tuning import close_inputs

logger = logging.getLogger(__name__)


def make_data(plan: RunPlan, start: RunStart, module: TrainingModule | None = None) -> TrainingData:
    """Decode frames and compute features that are not cached yet, and plan the batches.

    module: computes the features of its frozen part; without one, images are prepared.
    """
    caches = _fill_caches(plan)
    table = WindowTable(read_recordings(plan.sources, held_out=False))
    how = _preparation(plan)
    if module is not None:
        _close_inputs(plan, how, module)
    reader = FrameReader(table, caches)
    images = TrainingWindows(table, reader, how)
    features: list[FeatureCache] = []
    if module is not None and module.frozen_depth is not None and plan.settings.caches_features:
        features = _fill_features(plan, table, images, module)
    batch_plan, batches = _plan_batches(plan, table, start)
    logger.info("%d windows of %d episodes", len(table), len(table.recordings))
    return TrainingData(
        TrainingWindows(table, reader, how, features) if features else images,
        batches,
        Collator(table, batch_plan, how),
        _open_loop(plan, caches, batches),
        tuple(source.name for source in plan.sources),
    )


def _preparation(plan: RunPlan) -> SamplePreparation:
    settings, base = plan.settings, plan.base
    shape = (base.config.action_horizon, base.config.max_action_dim)
    varying = settings.trained_slots == "varying"
    image = base.processor_config.image
    embodiments = {
        tag: EmbodimentPreparation(
            processor,
            trained_slots(processor.codec, *shape, varying=varying),
            make_state_noise(processor.codec, settings.state_noise),
        )
        for tag, processor in base.processors.items()
    }
    return SamplePreparation(
        [embodiments[source.embodiment.tag] for source in plan.sources],
        base.config,
        settings.seed,
        ImageViews(image, settings.random_crop, settings.views),
        settings.max_delay_steps,
    )


def _close_inputs(plan: RunPlan, how: SamplePreparation, module: TrainingModule) -> None:
    if not plan.base.config.tune_projector:
        return
    for source, mine in zip(plan.sources, how.embodiments, strict=True):
        slot = plan.base.processor_config.embodiment_ids[source.embodiment.tag]
        close_inputs(module.network, slot, torch.from_numpy(mine.trained_slots.any(axis=0)))


def _plan_batches(
    plan: RunPlan, table: WindowTable, start: RunStart
) -> tuple[BatchPlan, ProcessBatches]:
    settings, arguments = plan.settings, plan.arguments
    batch_plan = BatchPlan(
        len(table), settings.global_batch_size, settings.seed, _mixture(plan, table)
    )
    batches = ProcessBatches(
        batch_plan,
        batch=micro_batch(settings, arguments.world_size),
        accumulation=settings.gradient_accumulation_steps,
        rank=arguments.process_index,
        world=arguments.world_size,
        steps=settings.max_steps,
    )
    batches.start = 0 if start.checkpoint is None else folders.step_of(start.checkpoint)
    return batch_plan, batches


def _mixture(plan: RunPlan, table: WindowTable) -> Mixture | None:
    if not plan.settings.mix:
        return None
    shares = plan.settings.shares()
    windows = [
        sum(len(one) for one in table.recordings if one.dataset == place)
        for place in range(len(plan.sources))
    ]
    return Mixture(tuple(shares[source.name] for source in plan.sources), tuple(windows))


def _open_loop(plan: RunPlan, caches: list[FrameCache], batches: ProcessBatches) -> OpenLoop | None:
    held_out = read_recordings(plan.sources, held_out=True)
    if not held_out:
        return None
    table = WindowTable(held_out)
    reader = FrameReader(table, caches)
    processors = [plan.base.processors[source.embodiment.tag] for source in plan.sources]
    return OpenLoop(table, reader, processors, plan.base.config, batches.batch)


def _fill_caches(plan: RunPlan) -> list[FrameCache]:
    """Let one process of each machine decode; the others find everything cached."""
    settings = plan.settings
    image = plan.base.processor_config.image
    caches = [
        open_cache(settings.cache_dir, source.dataset, source.content_hash, image)
        for source in plan.sources
    ]
    with PartialState().local_main_process_first():
        for source, cache in zip(plan.sources, caches, strict=True):
            episodes = source.train_episodes + source.held_out_episodes
            workers = max(1, settings.dataloader_num_workers)
            cache.fill(episodes, source.embodiment.modality.video.keys, workers)
    return caches


def _fill_features(
    plan: RunPlan, table: WindowTable, images: TrainingWindows, module: TrainingModule
) -> list[FeatureCache]:
    """Compute frozen features; each process of a machine its share of the episodes."""
    settings, arguments = plan.settings, plan.arguments
    backbone = module.network.backbone.to(arguments.device)
    processor = next(iter(plan.base.processors.values()))  # they collate alike
    frozen = FrozenFeatures(module, processor, arguments.device, mixed=bool(arguments.bf16))
    weights = frozen.weights_hash()
    caches = [_feature_cache(plan, place, frozen, weights) for place in range(len(plan.sources))]
    jobs = [
        FeatureJob(place, view, caches[one.dataset], one.index, len(one))
        for place, one in enumerate(table.recordings)
        for view in range(settings.views)
    ]
    world = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # torchrun's
    fill(
        jobs[arguments.local_process_index :: world],
        lambda job: frozen.compute(images.observations(job.recording, job.view)),
    )
    PartialState().wait_for_everyone()
    backbone.cpu()
    return caches


def _feature_cache(plan: RunPlan, place: int, frozen: FrozenFeatures, weights: str) -> FeatureCache:
    """Name a dataset's folder by all that decides its features: of the base, what stays frozen."""
    settings, identity, source = plan.settings, plan.identity, plan.sources[place]
    key = [
        *(weights, identity["base_config"], identity["tokenizer"]),
        *(source.content_hash, modality_config_json(source.embodiment.modality)),
        *(frozen.depth, str(frozen.dtype)),
        *(settings.seed, settings.random_crop, settings.color_jitter_params),
        *(settings.random_rotation_angle, plan.arguments.bf16),
    ]
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:HASH_CHARS]
    root = settings.cache_dir.expanduser()
    return FeatureCache(root / f"{source.name}-features-{name}", frozen.dtype)
