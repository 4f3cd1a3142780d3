"""The reports' colours: one role, one colour, in the page and in every plot, light and dark."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Colour:
    """A role's colour on a light and on a dark page, as #rrggbb."""

    light: str
    dark: str


# Every light colour is used by one role alone: plots are drawn in the light colours, and in a page
# each is replaced by the variable of its role.
PALETTE = {
    "ink": Colour("#1b2330", "#e6eaf0"),
    "muted": Colour("#5b6675", "#9aa5b4"),
    "line": Colour("#d9dee5", "#323b47"),
    "page": Colour("#ffffff", "#12161c"),
    "card": Colour("#f5f7fa", "#1a2029"),
    "demonstrated": Colour("#7a8696", "#8a96a6"),
    "predicted": Colour("#1f6feb", "#58a6ff"),
    "asked": Colour("#e0701a", "#f59e4b"),
    "hold": Colour("#8a5cd6", "#b391f0"),
    "mean": Colour("#12907f", "#3fc2ae"),
    "good": Colour("#1c8a4a", "#4cc47e"),
    "bad": Colour("#cc3b3b", "#f07878"),
}


def css_variables() -> str:
    """Write the palette as CSS variables that follow the reader's light or dark setting."""
    light = "".join(f"--{role}:{colour.light};" for role, colour in PALETTE.items())
    dark = "".join(f"--{role}:{colour.dark};" for role, colour in PALETTE.items())
    return (
        f":root{{color-scheme:light dark;{light}}}"
        f"@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
    )
