"""How much compressed data may become: a small file must not fill the memory."""

from __future__ import annotations

import zlib

_BASE = 1 << 26
_FACTOR = 100  # numbers as text or in binary form shrink to a tenth, rarely to less


def most_unpacked(stored: int) -> int:
    """Bytes that `stored` bytes of a file may unpack to."""
    return _BASE + _FACTOR * stored


def inflated(data: bytes) -> bytes:
    """Unpack what zlib packed.

    Raises:
        zlib.error: the data are damaged, cut short, or unpack to far more than they are.
    """
    stream = zlib.decompressobj()
    content = stream.decompress(data, most_unpacked(len(data)))
    if stream.unconsumed_tail:
        raise zlib.error(f"{len(data)} bytes unpack to more than {len(content)}")
    if not stream.eof:
        raise zlib.error("the data are cut short")
    return content
