"""A stranger's text on a terminal: shown as it is, without what a terminal would obey.

A server, a dataset or a file name may hold escape sequences, which move the cursor, rename the
window or write lines that nobody wrote, and marks that turn the order of letters around.
"""

import re
import sys
from typing import TextIO

# control characters but for the line feed, and marks of writing direction (Unicode's Bidi_Control)
_OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    r"""Return a text with every control character as its escape (\x1b); lines stay lines."""
    return _OBEYED.sub(lambda found: ascii(found.group())[1:-1], text)


def is_printable(text: str) -> bool:
    """Return whether a text is one line without any control character."""
    return "\n" not in text and not _OBEYED.search(text)


def show(text: str, file: TextIO | None = None) -> None:
    """Print a line, or lines, on standard output or another stream: see `printable`."""
    print(printable(text), file=file or sys.stdout, flush=True)
