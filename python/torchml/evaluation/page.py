"""An HTML page of a report, which needs no other file and no network, and its parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from html import escape
from importlib.resources import files
from pathlib import Path

from torchml.data.output import written_then_renamed

# Id, heading and body.
Section = tuple[str, str, str]


def write_page(
    path: str | Path,
    title: str,
    introduction: str,
    sections: Iterable[Section],
    facts: Mapping[str, str],
) -> None:
    """Write a page.

    Args:
        path: of the HTML file, which is replaced.
        title: plain text.
        introduction: HTML below the title.
        sections: empty ones are left out.
        facts: plain lines at the end, by name; empty ones are left out.
    """
    page = "\n".join(_page(title, introduction, [one for one in sections if one[2]], facts))
    with written_then_renamed(path) as temporary:
        temporary.write_text(page + "\n", encoding="utf-8")


def made_with(versions: Mapping[str, str]) -> dict[str, str]:
    """Return the facts of time and programs."""
    return {
        "made": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "with": ", ".join(f"{name} {number}" for name, number in versions.items()),
    }


def card(heading: str, value: str, unit: str) -> str:
    """Return a key figure."""
    return (
        f'<div class="card"><span class="soft small">{heading}</span>'
        f'<span class="value">{value} <span class="unit">{unit}</span></span></div>'
    )


def key_figures(cards: Sequence[str]) -> str:
    """Return key figures side by side."""
    return f'<div class="grid key">{"".join(cards)}</div>'


def figure_card(title: str, figure: str, lines: Sequence[str]) -> str:
    """Return a figure with a title and the lines of its caption."""
    caption = "<br>".join(line for line in lines if line)
    below = f"<figcaption>{caption}</figcaption>" if caption else ""
    return f'<figure class="card"><h3>{title}</h3>{figure}{below}</figure>'


def grid(cards: Sequence[str]) -> str:
    """Return cards side by side, nothing for none."""
    return f'<div class="grid">{"".join(cards)}</div>' if cards else ""


def table(heads: Iterable[str], rows: Iterable[str]) -> str:
    """Return a table of rows of cells."""
    head = "".join(f'<th scope="col">{text}</th>' for text in heads)
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return (
        f'<div class="card"><table class="wide"><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )


def cell(text: str, label: str = "", kind: str = "") -> str:
    """Return a cell; narrow screens have no heads of columns and show its label."""
    attributes = f' class="{kind}"' if kind else ""
    if label:
        attributes += f' data-label="{escape(label)}"'
    return f"<td{attributes}>{text}</td>"


def _page(
    title: str, introduction: str, sections: Sequence[Section], facts: Mapping[str, str]
) -> Iterator[str]:
    style = files("torchml.evaluation").joinpath("report.css").read_text(encoding="utf-8")
    yield (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n"
        f'<link rel="icon" href="data:,">\n<title>{escape(title)}</title>\n'
        f"<style>\n{style}</style>\n</head>\n<body>"
    )
    yield f"<header>\n<h1>{escape(title)}</h1>\n{introduction}"
    links = "".join(f'<a href="#{id_}">{heading}</a>' for id_, heading, _ in sections)
    yield f"<nav>{links}</nav>\n</header>\n<main>"
    for id_, heading, body in sections:
        yield f'<section id="{id_}">\n<h2>{heading}</h2>\n{body}\n</section>'
    rows = "".join(
        f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in facts.items() if text
    )
    yield f'</main>\n<footer class="small"><dl>{rows}</dl></footer>\n</body>\n</html>'
