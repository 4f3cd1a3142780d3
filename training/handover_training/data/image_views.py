"""Views of training images: the augmentations that a run's frames are seen in."""

from dataclasses import dataclass, replace

from handover_model.processing import CENTER, Augmentation, ImageOptions, draw_augmentation

from handover_training.data.sampler import AUGMENTATION, VIEW, BatchSlot, generator


@dataclass(frozen=True)
class ImageViews:
    """How a run's images are augmented, and how many views of each window there are."""

    image: ImageOptions
    random_crop: bool
    count: int
    """0 for a new view at every sample"""

    @property
    def varies(self) -> bool:
        """Whether there is any augmentation."""
        changes = self.image.color_jitter_params or self.image.random_rotation_angle
        return bool(self.random_crop or changes)

    def draw(self, seed: int, slot: BatchSlot) -> int:
        """Choose the view for a place in a batch."""
        if self.count < 2:
            return 0
        return int(generator(seed, VIEW, slot.step, slot.slot).integers(self.count))

    def augmentation(self, seed: int, slot: BatchSlot) -> Augmentation:
        """Draw a new view for a place in a batch."""
        return self._drawn(seed, slot.step, slot.slot)

    def of_row(self, seed: int, episode: int, row: int, view: int) -> Augmentation:
        """Return one of the views of an episode's row."""
        return self._drawn(seed, episode, row, view)  # three numbers: apart from steps and slots

    def _drawn(self, seed: int, *place: int) -> Augmentation:
        if not self.varies:
            return Augmentation()
        drawn = draw_augmentation(self.image, generator(seed, AUGMENTATION, *place))
        place_of_crop = drawn.place if self.random_crop else CENTER
        if not (self.image.color_jitter_params or self.image.random_rotation_angle):
            return Augmentation(place=place_of_crop)
        return replace(drawn, place=place_of_crop)
