"""Where the commands of a row run: on this machine, or in a folder that holds another Debian."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import IO

# What commands in another Debian get of our environment.
SHARED = re.compile(r"(PIP|OMPI)_|SSL_CERT|(https?|no)_proxy$", re.IGNORECASE)
LOCAL_CERTIFICATES = Path("usr/local/share/ca-certificates")


class MissingError(Exception):
    """Something that the row needs is not on this machine."""


class CommandError(Exception):
    """A command of the row failed."""


@dataclass(frozen=True)
class Machine:
    """Runs commands, in its folder and with the programs in the folder's tools/bin.

    Attributes:
        folder: folder of the row, as commands see it.
        root: folder of another Debian, or None for this machine.
        user: number of the user and group that run commands; None is who runs this program.
    """

    folder: Path
    root: Path | None = None
    user: int | None = None

    def outside(self, path: Path) -> Path:
        """The path of a file of the row, as this process sees it."""
        return self.root / path.relative_to("/") if self.root else path

    def run(self, script: str, log: IO[str], **variables: str) -> None:
        """Run lines of bash in the folder of the row; raises CommandError if one fails."""
        log.write(f"\n$ {script}\n")
        log.flush()
        command = ["bash", "-ec", f"cd {self.folder}\nPATH=$PWD/tools/bin:$PATH\n{script}"]
        environment = dict(os.environ)
        if self.user is not None:
            who = f"{self.user}"
            command = ["setpriv", "--reuid", who, "--regid", who, "--clear-groups", *command]
        if self.root:
            # The mounts vanish with the process.
            mounts = " && ".join(
                f"mount --rbind {name} {self.root}{name}" for name in ("/proc", "/sys", "/dev")
            )
            enter = f'{mounts} && exec chroot {self.root} "$@"'
            command = ["unshare", "--mount", "bash", "-c", enter, "bash", *command]
            environment = {key: value for key, value in os.environ.items() if SHARED.match(key)}
            home = "/root" if self.user is None else f"{self.folder}"
            environment |= {"HOME": home, "LANG": "C.UTF-8"}
            environment["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        status = subprocess.run(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment | variables,
            check=False,
        ).returncode
        if status:
            raise CommandError(script.splitlines()[-1])


def this_machine(folder: Path) -> Machine:
    """This machine; the row's files lie in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    return Machine(folder)


def debian(suite: str, folder: Path, log: IO[str]) -> Machine:
    """A Debian in `folder`, installed if it is not there: the packages that any system has.

    Raises:
        MissingError: we are not root, or debootstrap is not installed.
        CommandError: the installation failed.
    """
    if os.getuid() != 0:
        raise MissingError("another Debian can only be installed by root")
    if not shutil.which("debootstrap"):
        raise MissingError("debootstrap is missing (package debootstrap)")
    root = folder / "root"
    machine = Machine(Path("/row"), root)
    if not (root / "row").is_dir():
        shutil.rmtree(root, ignore_errors=True)
        here = this_machine(folder)
        # debootstrap of an older Debian has no script for a newer one; all are the same script.
        here.run(
            f"debootstrap --variant=minbase --include=ca-certificates {suite} {root} '' "
            "/usr/share/debootstrap/scripts/sid",
            log,
        )
        if (Path("/") / LOCAL_CERTIFICATES).is_dir():
            shutil.copytree("/" / LOCAL_CERTIFICATES, root / LOCAL_CERTIFICATES, dirs_exist_ok=True)
        shutil.copy("/etc/resolv.conf", root / "etc")
        (root / "row").mkdir()
        machine.run("update-ca-certificates", log)
    return machine
