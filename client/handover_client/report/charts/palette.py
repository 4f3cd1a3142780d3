"""The reports' colours: one role, one colour, in the page and in every chart, light and dark.

The hues are those of Okabe and Ito ("Color Universal Design", 2008), which readers with any colour
vision tell apart, made darker or lighter until they can be read on the page.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Colour:
    """A role's colour on a light and on a dark page, as #rrggbb."""

    light: str
    dark: str


PALETTE = {
    "ink": Colour("#17202b", "#e8ecf2"),
    "muted": Colour("#566170", "#9ca7b6"),
    "line": Colour("#e1e6ec", "#2b333e"),
    "page": Colour("#ffffff", "#11151b"),
    "card": Colour("#f5f7fa", "#191f28"),
    "demonstrated": Colour("#a3adba", "#717d8d"),
    "predicted": Colour("#0867b2", "#58b0f0"),
    "hold": Colour("#a8558a", "#dd92c2"),
    "mean": Colour("#8a6000", "#dfae43"),
    "good": Colour("#007a5c", "#3cc79c"),
    "bad": Colour("#c24e00", "#ff9550"),
}


def css_variables() -> str:
    """Write the palette as CSS variables that follow the reader's light or dark setting."""
    light = "".join(f"--{role}:{colour.light};" for role, colour in PALETTE.items())
    dark = "".join(f"--{role}:{colour.dark};" for role, colour in PALETTE.items())
    return (
        f":root{{color-scheme:light dark;{light}}}"
        f"@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
    )
