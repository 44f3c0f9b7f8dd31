"""Archives of models, examined before torch reads them.

torch believes what an archive says of its parts: one whose tensors are larger than the bytes it
holds ends the process.
"""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

from torchml import _core
from torchml.errors import FileError, TorchMLError


def check_archive(
    archive: str | Path | bytes,
    expected: str,
    source: str | Path = "",
    *,
    runs_code: bool = False,
) -> None:
    """Refuse an archive, of TorchScript, AOTInductor or torch.save, that is not as it says.

    Its parts lie in the file, do not overlap, have names that stay in a folder, and do not unpack
    to far more than the file; they hold the bytes that the tensors of its pickles need, and the
    code of TorchScript does not nest too deep. No code in the archive runs.

    Args:
        archive: a file, or the content of one.
        expected: what it should be, for the message.
        source: where the content comes from, for the message.
        runs_code: reading its pickle runs code, which the user trusts. What it says is then not
            compared with the parts: such a pickle can make tensors in any way.

    Raises:
        FileError: the archive is damaged, or made to do harm.
    """
    try:
        check = _core.check_zip if runs_code else _core.check_archive
        check(archive if isinstance(archive, bytes) else str(archive))
    except TorchMLError as error:
        place = source or archive
        raise FileError(f"{place!s}: not a readable {expected} ({error})") from None


def open_zip(path: str | Path) -> zipfile.ZipFile:
    """Open a zip file to read it.

    Raises:
        BadZipFile: it is none, or its directory is damaged in any way.
        OSError: it cannot be read.
    """
    try:
        return zipfile.ZipFile(path)
    # Names that are no text, versions of zip that Python does not know, numbers beyond the file.
    except (ValueError, OverflowError, NotImplementedError, struct.error) as error:
        raise zipfile.BadZipFile(str(error)) from error


def member_names(path: str | Path) -> set[str]:
    """Return the names of the files in a zip file, without folders; none for any other file."""
    try:
        with open_zip(path) as archive:
            return {Path(name).name for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return set()
