"""Image tokens have the same places in every row that is padded on the left."""

import numpy as np
from handover_model.engine.functional.token_layout import TokenLayout, find_layout
from hypothesis import given
from hypothesis import strategies as st

IMAGE = 9


def prompt(*parts: int) -> np.ndarray:
    """Runs of text and image tokens by turns, text first."""
    runs = [np.full(count, IMAGE if place % 2 else 1) for place, count in enumerate(parts)]
    return np.concatenate(runs)


def test_rows_of_different_lengths_share_a_layout():
    rows = [prompt(3, 4, 2, 6, 1), prompt(5, 4, 2, 6, 1)]
    layout = find_layout(rows, [(2, 2), (2, 3)], IMAGE)
    assert layout == TokenLayout(2, 18, ((5, 9), (11, 17)), ((2, 2), (2, 3)), padded=True)
    assert layout.texts == ((0, 5), (9, 11), (17, 18))
    assert layout.text_tokens == 8


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=3),
    st.sampled_from([1, 16]),
)
def test_every_place_is_text_or_one_images(texts, grids, multiple):
    images = [part for down, right in grids for part in (down * right, 1)]
    layout = find_layout([prompt(text, *images) for text in texts], grids, IMAGE, multiple)
    assert layout is not None
    assert layout.length % multiple == 0
    places = [k for start, stop in (*layout.texts, *layout.images) for k in range(start, stop)]
    assert sorted(places) == list(range(layout.length))
    assert layout.padded == any(text + sum(images) < layout.length for text in texts)


def test_what_does_not_fit_has_no_layout():
    assert find_layout([prompt(3, 4, 1)], [(2, 3)], IMAGE) is None  # fewer tokens than the grid
    assert find_layout([prompt(3, 4, 1)], [(1, 3)], IMAGE) is None  # more
    assert find_layout([prompt(3, 2, 1, 2, 1)], [(2, 2)], IMAGE) is None  # in two parts
    assert find_layout([prompt(3)], [], IMAGE) is None  # no image
    assert find_layout([prompt(3, 4, 1), prompt(3, 4, 2)], [(2, 2)], IMAGE) is None  # elsewhere
