"""Reading a report as a browser would: what is in it, and what it would fetch."""

import re
from html.parser import HTMLParser
from importlib.resources import files

# the one script that a page has; the page's policy lets a browser run no other
PLAYER = files("handover_client.report").joinpath("templates/player.js").read_text("utf-8")
VOID = {"meta", "br", "img", "input", "link", "hr"}  # HTML elements that have no end


class Page(HTMLParser):
    """A page's elements; fails on an end that has no start, or a start that has no end."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open, f"</{tag}> has no start"
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open[-1:] not in (["style"], ["script"]):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def foreign_addresses(text: str) -> list[str]:
    """List everything in a page that a browser would fetch, but for its own parts and data."""
    fetched = []
    for tag, attributes in Page(text).elements:
        for name in ("src", "href", "xlink:href", "data", "poster", "action", "srcset"):
            address = attributes.get(name)
            if address and not address.startswith(("#", "data:video/mp4;base64,")):
                fetched.append(f"{tag} {name}={address[:80]}")
        assert tag not in {"link", "iframe", "object", "embed", "base"}, tag
        assert not any(name.startswith("on") for name in attributes), attributes
    assert re.findall(r"<script[^>]*>(.*?)</script>", text, flags=re.DOTALL) == [PLAYER]
    styles = [*re.findall(r"<style>(.*?)</style>", text, flags=re.DOTALL)]
    styles += [attributes.get("style") or "" for _, attributes in Page(text).elements]
    return fetched + [style for style in styles if "url(" in style or "@import" in style]
