"""Reads the night's page as a program does: its tables by id, its texts, its ids and addresses."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"wbr", "meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """A page, taken apart.

    Attributes:
        tables: by id, rows of cells.
        sections: ids of sections, in order.
        headings: levels and texts, in order.
        ids: all of them.
        addresses: all that elements refer to.
        tags: all elements.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.sections: list[str] = []
        self.headings: list[tuple[int, str]] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self._open: list[str] = []
        self._table: list[list[str]] | None = None
        self._cell: list[str] | None = None
        self._heading: list[str] | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        about = dict(attrs)
        self.tags.append(tag)
        if tag not in VOID:
            self._open.append(tag)
        if identity := about.get("id"):
            self.ids.append(identity)
        self.addresses += [value for name, value in attrs if name in ("href", "src", "xlink:href") and value]
        if tag == "section":
            self.sections.append(about.get("id") or "")
        elif tag == "table":
            self._table = self.tables.setdefault(about.get("id") or f"table {len(self.tables)}", [])
        elif tag == "tr" and self._table is not None:
            self._table.append([])
        elif tag in ("td", "th"):
            self._cell = []
        elif tag in ("h1", "h2", "h3"):
            self._heading = []

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            raise ValueError(f"</{tag}> closes nothing")
        if tag in ("td", "th") and self._cell is not None and self._table is not None:
            self._table[-1].append(" ".join("".join(self._cell).split()))
            self._cell = None
        elif tag in ("h1", "h2", "h3") and self._heading is not None:
            self.headings.append((int(tag[1]), "".join(self._heading)))
            self._heading = None

    def handle_data(self, data: str) -> None:
        for texts in (self._cell, self._heading):
            if texts is not None:
                texts.append(data)

    def rows(self, name: str) -> dict[str, list[str]]:
        """Rows of a table below its head, by their first cell."""
        return {row[0]: row[1:] for row in self.tables[name][1:]}
