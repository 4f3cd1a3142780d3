"""The vision stage: the backbone learns to say where the objects are.

Two heads that are thrown away afterwards make it see: every feature that the action head will read
(image tokens and the text after them) must tell the objects' places, and the vision tower's patches
must say which of them an object is in.
"""

from dataclasses import dataclass

import numpy as np
import torch
from handover_model.network import Backbone, BackboneOutput
from torch import Tensor, nn
from torch.nn import functional

from handover_training.aloha_mini.data.snapshots import OBJECTS, Snapshots

MIDDLE = (0.0, 0.5, 0.1)  # m; places are learned about here,
SCALE_M = 0.1  # in these units
TOLERANCE = 0.05  # 5 mm: errors below count quadratically
TEXT_AFTER_IMAGE = 3  # tokens

# gym-aloha's top camera (scene.xml, camera "top"): it looks straight down
_CAMERA = (0.0, 0.6, 0.8)  # m
_FOCAL = 0.5 / np.tan(np.radians(78 / 2))  # in image heights
CROP = 0.95


@dataclass(frozen=True)
class Localization:
    """What the two heads say about B images."""

    places: Tensor
    """(B, tokens, 3 objects, 3), in units of SCALE_M about MIDDLE"""
    patches: Tensor
    """(B, patches, 3 objects) logits"""


class ObjectLocalizer(nn.Module):
    """A backbone with its two heads."""

    def __init__(self, backbone: Backbone, width: int, vision_width: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.place_head = nn.Linear(width, OBJECTS * 3)
        self.patch_head = nn.Linear(vision_width, OBJECTS)

    def forward(self, pixels: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Localization:
        """Locate: (B, 3, H, W), (B, S), (B, S)."""
        output, patches = encode_images(self.backbone, pixels, input_ids, attention_mask)
        # left-padded rows end alike: image tokens, then the text after them
        count = int(output.image_mask[0].sum())
        read = output.features[:, -(count + TEXT_AFTER_IMAGE) :]
        places = self.place_head(self.norm(read)).unflatten(-1, (OBJECTS, 3))
        return Localization(places, self.patch_head(patches.flatten(1, 2)))


def encode_images(
    backbone: Backbone, pixels: Tensor, input_ids: Tensor, attention_mask: Tensor
) -> tuple[BackboneOutput, Tensor]:
    """Run the backbone on images of one size; gives the tower's patches (B, h, w, C) as well."""
    eagle = backbone.model
    patches = torch.stack(eagle.vision_model(pixels.split(1)))
    folded = functional.pixel_unshuffle(patches.permute(0, 3, 1, 2), eagle.fold)
    tokens = eagle.mlp1(folded.flatten(2).transpose(1, 2))
    image_mask, real = input_ids == backbone.image_token, attention_mask == 1
    embeddings = eagle.language_model.embed(input_ids)
    embeddings = embeddings.masked_scatter(image_mask[..., None], tokens)
    return BackboneOutput(eagle.language_model(embeddings, real), real, image_mask), patches


def patch_targets(places: np.ndarray, grid: int) -> np.ndarray:
    """Share each object among the four nearest patches: (N, 3, 3) -> (N, grid * grid, 3) float32.

    The shares' mean position is the object's. Objects of the other task have none.
    """
    depth = _CAMERA[2] - places[..., 2]
    across = 0.5 + _FOCAL * (places[..., 0] - _CAMERA[0]) / depth
    down = 0.5 - _FOCAL * (places[..., 1] - _CAMERA[1]) / depth
    targets = np.zeros((len(places), grid, grid, OBJECTS), np.float32)
    for sample, thing in zip(*np.nonzero(np.isfinite(depth)), strict=True):
        at = [((axis[sample, thing] - 0.5) / CROP + 0.5) * grid - 0.5 for axis in (down, across)]
        y, x = np.clip(at, 0, grid - 1.001)
        top, left = int(y), int(x)
        for dy, share_y in ((0, 1 - (y - top)), (1, y - top)):
            for dx, share_x in ((0, 1 - (x - left)), (1, x - left)):
                targets[sample, top + dy, left + dx, thing] = share_y * share_x
    return targets.reshape(len(places), grid * grid, OBJECTS)


def place_targets(snapshots: Snapshots) -> np.ndarray:
    """Give places in the heads' units: (N, 3, 3) float32, NaN for objects that are not there."""
    return ((snapshots.places - np.array(MIDDLE)) / SCALE_M).astype(np.float32)


def location_loss(located: Localization, places: Tensor, patches: Tensor) -> tuple[Tensor, Tensor]:
    """Compare with (B, 3, 3) places and (B, patches, 3) shares; gives both heads' losses."""
    there = torch.isfinite(places).all(-1)
    wanted = torch.where(there[..., None], places, torch.zeros_like(places))
    errors = functional.smooth_l1_loss(
        located.places, wanted[:, None].expand_as(located.places), reduction="none", beta=TOLERANCE
    )
    weight = there[:, None, :, None].to(errors.dtype).expand_as(errors)
    place_loss = (errors * weight).sum() / weight.sum()
    log_shares = located.patches.log_softmax(dim=1)
    patch_loss = -(patches * log_shares).sum() / there.sum()
    return place_loss, patch_loss
