"""What is printed: listings as tables, lists, HTML, CSV or JSON; warnings in Open vSwitch's log format."""

from __future__ import annotations

import sys

from vswitchd.vsctl import values

TYPE_CHECKING = False  # importing typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ovsdb.blocking import Datum
    from vswitchd.vsctl.schema import Column

HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


class Style:
    """How listings look; the options --format, --data, --no-headings, --pretty and --max-column-width."""

    def __init__(self) -> None:
        self.format, self.data, self.headings, self.pretty, self.max_width = "list", "string", True, False, 0
        self.listed = 0  # listings printed so far


class Listing:
    """Records to be printed: their columns, and for each its values."""

    __slots__ = ("columns", "rows")

    def __init__(self, columns: list[Column]) -> None:
        self.columns = columns
        self.rows: list[list[Datum]] = []


def render(listing: Listing, style: Style) -> str:
    """Return a listing as text."""
    style.listed += 1
    return FORMATS[style.format](listing, style)


def _cells(listing: Listing, style: Style) -> list[list[str]]:
    """Return the texts of the values, row by row."""
    cell = DATA[style.data]
    return [[cell(value, column) for value, column in _zip(row, listing)] for row in listing.rows]


def _zip(row: list[Datum], listing: Listing) -> zip[tuple[Datum, Column]]:
    return zip(row, listing.columns, strict=True)


def _gap(style: Style) -> str:
    """Return what separates this listing from the one before."""
    return "\n" if style.listed > 1 else ""


def _table(listing: Listing, style: Style) -> str:
    cells = _cells(listing, style)
    names = [column.name for column in listing.columns]
    widths = [max([0, *(len(row[at]) for row in cells)]) for at in range(len(names))]
    if style.max_width:
        widths = [min(width, style.max_width) for width in widths]
    if style.headings:
        widths = [max(width, len(name)) for width, name in zip(widths, names, strict=True)]
        cells = [names, ["-" * width for width in widths], *cells]
    lines = [" ".join(text[:w].ljust(w) for text, w in zip(row, widths, strict=True)).rstrip(" ") for row in cells]
    return _gap(style) + "".join(line + "\n" for line in lines)


def _list(listing: Listing, style: Style) -> str:
    blocks = []
    for row in _cells(listing, style):
        pairs = zip(listing.columns, row, strict=True)
        lines = [f"{column.name:<20}: {text}\n" if style.headings else text + "\n" for column, text in pairs]
        blocks.append("".join(lines))
    return _gap(style) + "\n".join(blocks)


def _csv(listing: Listing, style: Style) -> str:
    head = [[column.name for column in listing.columns]] if style.headings else []
    lines = [",".join(map(_csv_cell, row)) for row in head + _cells(listing, style)]
    return _gap(style) + "".join(line + "\n" for line in lines)


def _csv_cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in '\n",') else text


def _html(listing: Listing, style: Style) -> str:
    lines = ["<table border=1>"]
    if style.headings:
        lines += ["  <tr>", *(f"    <th>{_html_text(column.name)}</th>" for column in listing.columns), "  </tr>"]
    for row in _cells(listing, style):
        pairs = zip(listing.columns, row, strict=True)
        lines += ["  <tr>", *(f"    <td>{_html_cell(column, text)}</td>" for column, text in pairs), "  </tr>"]
    return "\n".join(lines) + "\n</table>\n"


def _html_text(text: str) -> str:
    return "".join(HTML.get(letter, letter) for letter in text)


def _html_cell(column: Column, text: str) -> str:
    """Return a cell in which UUIDs are links to the cell of that row's own."""
    how = 'name="' if column.name == "_uuid" else 'href="#'
    parts: list[str] = []
    at = 0
    while at < len(text):
        if values.is_uuid(text[at : at + 36]):
            parts.append(f'<a {how}{text[at : at + 36]}">{text[at : at + 8]}</a>')
            at += 36
        else:
            parts.append(_html_text(text[at]))
            at += 1
    return "".join(parts)


def _json(listing: Listing, style: Style) -> str:
    data = [[values.value_json(value, column) for value, column in _zip(row, listing)] for row in listing.rows]
    return json_text({"data": data, "headings": [c.name for c in listing.columns]}, style.pretty) + "\n"


FORMATS: dict[str, Callable[[Listing, Style], str]] = {
    "table": _table, "list": _list, "html": _html, "csv": _csv, "json": _json,
}  # fmt: skip

DATA: dict[str, Callable[[Datum, Column], str]] = {
    "string": values.value_text,
    "bare": lambda value, _column: values.value_bare(value),
    "json": lambda value, column: json_text(values.value_json(value, column)),
}


def json_text(value: Any, pretty: bool = False, indent: int = 0) -> str:
    """Return JSON as Open vSwitch writes it: members sorted, no blanks, UTF-8 as it is; or indented by 2 blanks."""
    comma, colon, close = ",", ":", ""
    start = ""
    if pretty:
        start = "\n" + " " * (indent + 2)
        comma, colon = "," + start, ": "
    if isinstance(value, dict):
        pairs = (f"{values.quoted(k)}{colon}{json_text(v, pretty, indent + 2)}" for k, v in sorted(value.items()))
        return "{" + (start + comma.join(pairs) if value else "") + close + "}"
    if isinstance(value, list):
        members = (json_text(each, pretty, indent + 2) for each in value)
        return "[" + (start + comma.join(members) if value else "") + close + "]"
    if value is None:
        return "null"
    if isinstance(value, str):
        return values.quoted(value)
    return values.atom_text(value)


def oneline(text: str) -> str:
    """Return a command's output on one line, newlines as \\n and backslashes doubled."""
    if text.endswith("\n"):
        text = text[:-1]
    return text.replace("\\", "\\\\").replace("\n", "\\n") + "\n"


def write(text: str) -> None:
    """Write to standard output, whatever its encoding."""
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))


def complain(text: str) -> None:
    """Write a line to standard error."""
    sys.stderr.buffer.write((text + "\n").encode("utf-8", "surrogateescape"))
    sys.stderr.buffer.flush()
