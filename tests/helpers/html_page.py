"""Parse an HTML page into elements, so that tests can assert on one section, table or cell."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

VOID = {"path", "meta", "img", "br", "line", "circle", "polyline", "image", "rect"}
FORBIDDEN = {"script", "link", "iframe", "object", "base"}


class Element:
    """A tag with its attributes, children and text."""

    def __init__(self, tag: str, attrs: dict[str, str]) -> None:
        self.tag = tag
        self.attrs = attrs
        self.children: list[Element | str] = []

    def walk(self) -> Iterator["Element"]:
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child.walk()

    def all(self, tag: str, kind: str = "") -> list["Element"]:
        """Return the elements below with this tag and, if given, this class."""
        return [
            element
            for element in self.walk()
            if element.tag == tag and (not kind or kind in element.attrs.get("class", "").split())
        ]

    def one(self, tag: str, kind: str = "") -> "Element":
        (element,) = self.all(tag, kind)
        return element

    @property
    def text(self) -> str:
        """Text below, with single spaces."""
        parts = [child if isinstance(child, str) else child.text for child in self.children]
        return " ".join(" ".join(parts).split())

    @property
    def rows(self) -> list[list[str]]:
        """Texts of the cells of each row below."""
        return [
            [cell.text for cell in row.walk() if cell.tag in ("td", "th")] for row in self.all("tr")
        ]


class Page(HTMLParser):
    """A page whose tags are all closed, without scripts and without addresses outside of it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.root = Element("root", {})
        self._open = [self.root]
        self.feed(html)
        self.close()
        assert self._open == [self.root], f"not closed: {[element.tag for element in self._open]}"
        self._check(html)

    def handle_starttag(self, tag, attrs):
        element = Element(tag, {name: value or "" for name, value in attrs})
        self._open[-1].children.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self._open.pop().tag == tag

    def handle_data(self, data):
        self._open[-1].children.append(data)

    def _check(self, html: str) -> None:
        inline = re.sub(r"data:image/(png|jpeg);base64,[\w+/=]+", "", html)
        assert not re.search(r"https?:|//|url\(|@import", inline)
        for element in self.root.walk():
            assert element.tag not in FORBIDDEN, element.tag
            assert not [name for name in element.attrs if name.startswith("on")]
            for name in ("src", "href"):
                assert element.attrs.get(name, "data:image/").startswith("data:image/")

    @property
    def sections(self) -> dict[str, Element]:
        """Sections by id."""
        return {element.attrs["id"]: element for element in self.root.all("section")}

    @property
    def cards(self) -> dict[str, str]:
        """Values of the cards by the beginning of their captions, up to a colon or comma."""
        return {
            re.split("[:,]", card.one("span").text)[0]: card.one("b").text
            for card in self.root.all("div", "card")
        }
