"""The text that the backbone reads: the instruction in its chat frame, and where images stand."""

import re
from collections.abc import Sequence

IMAGE_TOKEN = "<IMG_CONTEXT>"
IMAGE_START, IMAGE_END = "<img>", "</img>"
PAD_TOKEN = "<|endoftext|>"
_NOT_WORD_NOR_SPACE = re.compile(r"[^\w\s]")


def formalize(instruction: str) -> str:
    """Lower the case and drop punctuation, as the model's training did; spaces stay as they are."""
    return _NOT_WORD_NOR_SPACE.sub("", instruction.lower())


def render_prompt(instruction: str, image_tokens: Sequence[int]) -> str:
    """Put an instruction and its images into the chat frame.

    image_tokens: how many tokens each image of the sample has, in order.
    """
    images = "".join(
        f"<image {number}>{IMAGE_START}{IMAGE_TOKEN * count}{IMAGE_END}"
        for number, count in enumerate(image_tokens, start=1)
    )
    return (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        f"<|im_start|>user\n{instruction}{images}<|im_end|>\n"
    )
