"""Pages of the site that lie outside docs/: README.md and its like, with links that fit there."""

from __future__ import annotations

import logging
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/README.md": "benchmarks.md",
}
_LOG = logging.getLogger("mkdocs.hooks.site")
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of PAGES."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links between the repository's files point to pages; other files become plain text."""
    of_page = {page: source for source, page in PAGES.items()}
    source = of_page.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def adapted(match: re.Match[str]) -> str:
        text, target = match.groups()
        path, _, anchor = target.partition("#")
        if "://" in target or not path:
            return match[0]
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        inside = PAGES.get(file) or (file[len("docs/") :] if file.startswith("docs/") else None)
        if not (ROOT / file).exists():
            _LOG.warning("%s links to %s, which does not exist", source, file)
        if inside is None:
            return text
        link = posixpath.relpath(inside, posixpath.dirname(page.file.src_uri) or ".")
        return f"[{text}]({link}{'#' + anchor if anchor else ''})"

    return _LINK.sub(adapted, markdown)
