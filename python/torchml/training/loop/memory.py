"""Reuse of memory that every training step frees and allocates again."""

from __future__ import annotations

import ctypes
import platform

# Parameters of glibc's mallopt, from its malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3


def keep_freed_memory() -> bool:
    """Let the process keep what it frees; False where the C library is not glibc.

    A step frees and allocates the same large tensors as the one before. By default glibc returns
    them to the system and gets them back as empty pages, which have to be mapped and filled with
    zeros: up to a third of the time of a step on a CPU. The peak of the memory stays what it is.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = {_MMAP_THRESHOLD: 1 << 30, _TRIM_THRESHOLD: (1 << 31) - 1, _TOP_PAD: 1 << 26}
    return all([mallopt(name, value) == 1 for name, value in settings.items()])
