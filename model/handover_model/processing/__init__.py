"""Processing of observations to network inputs, and of network outputs to actions."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_model.processing.aloha import (
        TAG,
        UNITS,
        aloha_modality,
        aloha_processor,
        dataset_statistics,
        in_slot,
    )
    from handover_model.processing.augmentation import Augmentation, draw_augmentation
    from handover_model.processing.image import CENTER, ImageOptions, prepare_frame, scale_to_edge
    from handover_model.processing.modality import (
        ModalityConfig,
        modality_config_json,
        parse_modality_config,
    )
    from handover_model.processing.padding import pad_action, pad_state
    from handover_model.processing.processor import Processor, make_processor
    from handover_model.processing.processor_config import (
        EMBODIMENT_FILE,
        EMBODIMENT_IDS,
        PROCESSOR_FILE,
        STATISTICS_FILE,
        ProcessorConfig,
        load_processor_config,
    )
    from handover_model.processing.samples import ByteSample, NetworkSample, TrainingSample
    from handover_model.processing.state_action import NormalizeOptions, StateActionCodec, bounds
    from handover_model.processing.statistics import (
        EmbodimentStatistics,
        KeyStatistics,
        merge_statistics,
        parse_statistics,
        slice_statistics,
        statistics_json,
    )
    from handover_model.processing.tokenizer import (
        IMAGE_TOKEN,
        IMAGE_TOKENS,
        PAD_TOKEN,
        TOKENIZER_FILE,
        TOKENIZER_FILES,
        PromptTokenizer,
        byte_level,
        find_tokenizer,
        formalize,
        load_tokenizer,
        render_prompt,
    )

__getattr__, __dir__ = lazy(__name__, __file__)
