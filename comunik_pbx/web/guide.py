"""The user guide of docs/ as a page: in-app help and the printable guide are the same text.

A guide is Markdown of a simple kind: headings, paragraphs, lists, tables, pictures, **bold**, `code` and links. Its
pictures are for paper: who reads it here has the portal itself before him.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from markupsafe import Markup, escape

SECTIONS = ("first-visit", "forwarding", "keypad", "profile", "preferences", "security", "admin")
"""Where a page of the portal is explained: the guides' second-level headings in their order, as anchors."""

_PACKAGE = Path(__file__).resolve().parent.parent
_ITEM = re.compile(r"(?:- |[0-9]+\. )")


@cache
def guide(language: str, pictures: bool = False) -> Markup:
    """The guide in a language, as HTML."""
    return to_html(_file(f"guide.{language}.md").read_text(encoding="utf-8"), pictures)


def picture(name: str) -> Path | None:
    """The file of one of its pictures, if there is such a one."""
    file = _file(f"screens/{name}")
    return file if re.fullmatch(r"[a-z]+\.[a-z]+\.png", name) and file.exists() else None


def _file(name: str) -> Path:
    """A file of docs/, of an installed wheel or else of the checkout."""
    packaged = _PACKAGE / "_files" / "guide" / name
    return packaged if packaged.exists() else _PACKAGE.parent / "docs" / name


def to_html(text: str, pictures: bool = False) -> Markup:
    """Markdown as HTML; whatever it does not know is a paragraph."""
    anchors = iter(SECTIONS)
    blocks = [block.splitlines() for block in re.split(r"\n\s*\n", text.strip())]
    return Markup("\n").join(made for block in blocks if (made := _block(block, anchors, pictures)))


def _block(lines: list[str], anchors: Iterator[str], pictures: bool) -> Markup:
    first = lines[0]
    if first.startswith("#"):
        level, _, words = first.partition(" ")
        anchor = next(anchors, "") if len(level) == 2 else ""
        place = Markup(' id="{}"').format(anchor) if anchor else Markup("")
        return Markup("<h{0}{1}>{2}</h{0}>").format(len(level), place, _inline(words))
    if shown := re.fullmatch(r"!\[(.*)\]\(screens/(.*)\)", first):
        html = Markup('<img src="/help/screens/{}" alt="{}">') if pictures else Markup("")
        return html.format(shown[2], shown[1])
    if first.startswith("|"):
        return _table(lines)
    if _ITEM.match(first):
        return _list(lines)
    return Markup("<p>{}</p>").format(_inline(" ".join(lines)))


def _list(lines: list[str]) -> Markup:
    items: list[str] = []
    for line in lines:
        if begun := _ITEM.match(line):
            items.append(line[begun.end() :])
        else:
            items[-1] += " " + line.strip()
    kind = "ol" if lines[0][0].isdigit() else "ul"
    made = Markup("").join(Markup("<li>{}</li>").format(_inline(item)) for item in items)
    return Markup("<{0}>{1}</{0}>").format(kind, made)


def _table(lines: list[str]) -> Markup:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    head, body = rows[0], rows[2:]
    titles = Markup("").join(Markup('<th scope="col">{}</th>').format(_inline(cell)) for cell in head)
    made = Markup("").join(
        Markup("<tr>{}</tr>").format(Markup("").join(Markup("<td>{}</td>").format(_inline(cell)) for cell in row))
        for row in body
    )
    return Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(titles, made)


def _inline(text: str) -> Markup:
    html = str(escape(text))
    html = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", html)
    html = re.sub(r"`(.+?)`", r"<code>\1</code>", html)
    html = re.sub(r"\[([^\]]+)\]\(guide\.(\w+)\.md\)", r'<a href="/help?language=\2">\1</a>', html)
    html = re.sub(r"\[([^\]]+)\]\((https?://[^)\s]+)\)", r'<a href="\2">\1</a>', html)
    return Markup(re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", html))  # other files are not here # noqa: S704
