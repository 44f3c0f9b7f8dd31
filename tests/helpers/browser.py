"""Pages opened in headless Chromium."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

WIDTHS = (360, 1280)

# What a page in a frame of some width holds; the page itself stays as it is.
PROBE = """<!doctype html><body>%s<pre id="found"></pre><script>
addEventListener("load", () => {
  const found = [...document.querySelectorAll("iframe")].map(frame => {
    const page = frame.contentDocument, root = page.documentElement;
    const small = [...page.querySelectorAll("body *")].filter(
      e => e.closest("svg") === null && e.textContent.trim() && e.children.length === 0
        && parseFloat(frame.contentWindow.getComputedStyle(e).fontSize) < 9.5);
    return {
      overflow: root.scrollWidth - root.clientWidth,
      images: [...page.images].map(i => [i.naturalWidth, i.naturalHeight, i.alt]),
      figures: [...page.querySelectorAll("svg")].map(
        s => [s.getBoundingClientRect().width, s.getAttribute("aria-label")]),
      headings: [...page.querySelectorAll("h1, h2")].map(h => h.textContent),
      links: [...page.querySelectorAll("nav a")].map(
        a => page.querySelector(a.getAttribute("href")) !== null),
      small: small.length,
      text: page.body.innerText,
    };
  });
  document.getElementById("found").textContent = JSON.stringify(found);
});
</script>"""


def browser() -> str:
    """Path of Chromium."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((path for name in names if (path := shutil.which(name))), None)
    assert path is not None, "no Chromium, expected the package chromium (--with-browser)"
    return path


def opened(page: Path) -> list[dict[str, Any]]:
    """What a browser finds in the page at each width; its log is free of errors and requests."""
    frames = "".join(
        f'<iframe style="width:{width}px;height:900px;border:0" '
        f'srcdoc="{html.escape(page.read_text())}"></iframe>'
        for width in WIDTHS
    )
    probe = page.with_suffix(".probe.html")
    probe.write_text(PROBE % frames)
    log = page.with_suffix(".net.json")
    done = subprocess.run(
        [
            *(browser(), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"),
            *("--disable-dev-shm-usage", "--enable-logging=stderr", "--window-size=1400,1000"),
            *("--disable-background-networking", "--disable-component-update", "--no-first-run"),
            *(f"--user-data-dir={page.parent / 'profile'}", f"--log-net-log={log}"),
            probe.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    asked = [address for address in requests(log) if not address.startswith(("file:", "data:"))]
    assert asked == [], asked
    assert re.findall(r".*CONSOLE.*", done.stderr) == []
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None, done.stderr
    return json.loads(html.unescape(found[1]))


def requests(log: Path) -> list[str]:
    """Addresses that pages asked for; a browser's own requests come from no page."""
    text = log.read_text().rstrip().rstrip(",")
    events = json.loads(text if text.endswith("}") else text + "]}")["events"]
    params = [event.get("params", {}) for event in events]
    own = "not an origin"
    return [p["url"] for p in params if "url" in p and p.get("initiator", own) != own]
