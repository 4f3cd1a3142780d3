"""The language model written out here computes what transformers' Qwen3 does."""

import dataclasses

import pytest
import torch
from handover_model.network.backbone import LanguageModel, causal_mask
from handover_model.network.eagle_config import EagleConfig, TextConfig

TEXT = TextConfig(
    hidden_size=32,
    intermediate_size=48,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
    vocab_size=50,
    rope_theta=5e5,
)


def both(text):
    """Our model and transformers' with the same random weights."""
    qwen3 = pytest.importorskip("transformers.models.qwen3.modeling_qwen3")
    from transformers.models.qwen3.configuration_qwen3 import Qwen3Config

    sizes = dataclasses.asdict(text)
    theta = sizes.pop("rope_theta")
    rope = {"rope_type": "default", "rope_theta": theta}
    config = Qwen3Config(num_hidden_layers=2, rope_parameters=rope, use_cache=False, **sizes)
    config._attn_implementation = "sdpa"
    torch.manual_seed(0)
    ours, theirs = LanguageModel(EagleConfig(text_config=text), 2), qwen3.Qwen3Model(config)
    for weight in ours.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    theirs.load_state_dict(ours.model.state_dict())
    return ours.eval(), theirs.eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("has_bias", [False, True])
def test_features_are_those_of_transformers(dtype, has_bias):
    ours, theirs = both(dataclasses.replace(TEXT, attention_bias=has_bias))
    for model in (ours, theirs):
        model.to(dtype)
    ours.make_frequencies(torch.device("cpu"))
    theirs.rotary_emb.inv_freq = ours.model.rotary_emb.inv_freq  # float32, as a checkpoint's is
    ids = torch.randint(0, TEXT.vocab_size, (2, 7))
    real = torch.ones(2, 7, dtype=torch.bool)
    real[0, :3] = False
    with torch.no_grad():
        got = ours.model.norm(ours(ours.embed(ids), real, slice(None)))
        masks = {"full_attention": causal_mask(real)}
        want = theirs(inputs_embeds=theirs.embed_tokens(ids), attention_mask=masks)
    torch.testing.assert_close(got, want.last_hidden_state, rtol=0, atol=0)


def test_the_rotations_frequencies_are_those_of_transformers():
    ours, theirs = both(TEXT)
    assert torch.equal(ours.model.rotary_emb.inv_freq, theirs.rotary_emb.inv_freq)


def test_serving_a_checkpoint_imports_neither_transformers_nor_torchs_compiler(tmp_path):
    import subprocess
    import sys

    code = (
        "import sys, torch\n"
        "from handover_model.network.groot import build_empty\n"
        "from handover_model.network.config import ModelConfig\n"
        "from handover_model.network.eagle_config import EagleConfig\n"
        "build_empty(ModelConfig(), EagleConfig())\n"
        "print([name for name in ('transformers', 'torch._dynamo') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout == "[]\n", done.stderr
