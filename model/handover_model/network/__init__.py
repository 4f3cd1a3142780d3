"""GR00T N1.6 network in PyTorch."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_model.network.action_head import ActionHead, FlowLoss
    from handover_model.network.backbone import Backbone, BackboneOutput
    from handover_model.network.config import CONFIG_FILE, DitConfig, ModelConfig, load_config
    from handover_model.network.eagle_config import (
        EAGLE_FILES,
        EagleConfig,
        TextConfig,
        VisionConfig,
        load_eagle,
    )
    from handover_model.network.embodiment_layers import EmbodimentLinear
    from handover_model.network.flow_matching import FlowDraw, draw_delay, draw_flow
    from handover_model.network.groot import (
        Gr00tNetwork,
        ModelInput,
        TrainingTarget,
        build_empty,
        unused_shapes,
    )
    from handover_model.network.json_settings import read_json

__getattr__, __dir__ = lazy(__name__, __file__)
