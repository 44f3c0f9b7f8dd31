"""Read a model: PYTHON reader.pyz REQUEST OUTPUT.

REQUEST is JSON: `kind`, the adapter's name or FILE.py:function; `install`, what its environment
needs; `wish`, the fields of `Wish`; `radii` by symbol; `cutoff` and `layers` for an adapter file.
OUTPUT is written by torch.save and holds plain values and tensors alone, or, if something is wrong,
OUTPUT.error holds one sentence.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any


def main() -> int:
    """Write OUTPUT, or OUTPUT.error; any other exception ends the process with its traceback."""
    request, output = (Path(one) for one in sys.argv[1:])
    options = json.loads(request.read_text(encoding="utf-8"))
    if not _is_there("torch"):
        return _refuse(output, missing("torch", options))
    import torch

    from .source import ReadingError

    try:
        content = read(options)
    except ReadingError as error:
        return _refuse(output, " ".join(str(error).split()))
    torch.save(content, output)
    return 0


def read(options: dict[str, Any]) -> dict[str, Any]:
    """What OUTPUT holds, of the values in REQUEST."""
    from .handing_over import content_of
    from .source import ReadingError, Wish

    wish = Wish(**options["wish"])
    kind = options["kind"]
    if kind.rpartition(":")[0].endswith(".py"):
        from . import user_file

        source = user_file.open_model(kind, wish, options.get("cutoff"), options.get("layers"))
    else:
        adapter = importlib.import_module(f".{kind}", __package__)
        refused = getattr(adapter, "WAY", "") == "refused"
        if not refused and not _is_there(adapter.MODULE.partition(".")[0]):
            raise ReadingError(missing(adapter.MODULE, options))
        try:
            source = adapter.open_model(wish)
        except ImportError as error:
            sentence = missing(error.name or adapter.MODULE, options)
            raise ReadingError(f"{sentence} ({error})") from error
    return content_of(source, wish, options["radii"])


def missing(module: str, options: dict[str, Any]) -> str:
    """What is missing, and the two commands that make an environment that has it."""
    return (
        f"reading a model of {options['kind']} needs '{module}', which {sys.executable} cannot "
        f"import; make an environment that can with 'python -m venv DIR' and 'DIR/bin/pip install "
        f"{' '.join(options['install'])}', then add '--python DIR/bin/python'"
    )


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:
        return False


def _refuse(output: Path, sentence: str) -> int:
    Path(f"{output}.error").write_text(sentence, encoding="utf-8")
    return 1


if __name__ == "__main__":
    sys.exit(main())
