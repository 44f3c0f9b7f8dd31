"""Build TorchML on several machines, and train, export and examine models there.

    python3 tests/matrix/run.py [ROW ...] [--prefix DIR] [--jobs N] [--archives DIR] [--tests WORDS]

`make test-matrix` runs it. Each row is a system, a compiler and versions of what TorchML needs
(rows.py). A row gets a folder of its own in PREFIX/matrix, with a copy of this clone, runs
install_dependencies.sh there, then examine.py, and with --tests the project's tests. One line tells
how it ended; the table at the end is that of docs/compatibility.md. The exit status is 0 if no row
failed and this machine has all rows that were named.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import IO

from machine import CommandError, Machine, MissingError, debian, this_machine
from rows import REPOSITORY, ROWS, TESTING, Row, lowest_packages

USER = 1000  # an ordinary user of another Debian
COLUMNS = (
    *("row", "system", "Python", "torch", "compiler", "CMake", "MPI", "KIM-API", "LAMMPS"),
    *("result", "date"),
)


def main() -> int:
    """Run the rows; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="rows:\n" + "\n".join(f"  {row.name:<18}{row.what}" for row in ROWS),
    )
    names = [row.name for row in ROWS]
    parser.add_argument("rows", nargs="*", metavar="ROW", help="rows to run (default: all)")
    parser.add_argument("--prefix", type=Path, default=Path.home() / ".local/share/torchml")
    parser.add_argument("--jobs", type=int, default=1, help="compile N files at a time")
    parser.add_argument(
        "--archives",
        type=Path,
        metavar="DIR",
        help="folder of source archives kim-api-VERSION.tar.* and lammps*.tar.*; without the "
        "version of a row in it, the row uses the system's KIM-API",
    )
    parser.add_argument(
        "--tests",
        default="",
        metavar="WORDS",
        help="also run the C++ tests, and pytest with these arguments, for instance 'tests'",
    )
    options = parser.parse_args()
    unknown = sorted(set(options.rows) - set(names))
    if unknown:
        parser.error(f"unknown row '{unknown[0]}', expected one of {', '.join(names)}")
    results = []
    for row in ROWS:
        if not options.rows or row.name in options.rows:
            folder = options.prefix.resolve() / "matrix" / row.name
            results.append(run(row, folder, options.jobs, options.archives, options.tests))
    print("\n" + table(results))
    failed = [result for result in results if result["result"] not in ("passed", "not here")]
    missing = [result for result in results if result["result"] == "not here"]
    return 1 if failed or (options.rows and missing) else 0


def run(row: Row, folder: Path, jobs: int, archives: Path | None, tests: str) -> dict[str, str]:
    """Run one row, print how it ended, and write the same to result.json of its folder."""
    begin = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    result = {"row": row.name, "result": "passed", "date": f"{date.today()}"}
    log_file = folder / "log.txt"
    with log_file.open("w") as log:
        try:
            sources = sources_of(row, archives)
            machine = debian(row.system, folder, log) if row.system else this_machine(folder)
            if row.packages:
                apt_get = (
                    "DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends"
                )
                packages = row.packages + (TESTING if tests else ())
                machine.run(f"apt-get update\n{apt_get} {' '.join(packages)}", log)
                machine = replace(machine, user=USER)
            variables = set_up(row, machine, jobs, sources, bool(tests), log)
            examine = ". torchml/env.sh && python source/tests/matrix/examine.py models"
            machine.run(examine, log, **variables)
            facts = machine.outside(machine.folder) / "models/facts.json"
            result |= json.loads(facts.read_text())
            if tests:
                make = f"make -C source test setup_command=: PREFIX=$PWD/torchml JOBS={jobs}"
                machine.run(f"{make} TESTS={shlex.quote(tests)}", log, **variables)
        except MissingError as missing:
            result["result"] = "not here"
            print(f"{row.name}: not here, {missing}", flush=True)
        except CommandError as failure:
            result["result"] = "failed"
            print(f"{row.name}: failed at '{failure}', see {log_file}", flush=True)
    (folder / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    if result["result"] == "passed":
        minutes, seconds = divmod(round(time.monotonic() - begin), 60)
        print(f"{row.name}: passed in {minutes}:{seconds:02} ({row.what})", flush=True)
    return result


def set_up(
    row: Row, machine: Machine, jobs: int, sources: dict[str, Path], tests: bool, log: IO[str]
) -> dict[str, str]:
    """Install TorchML with the row's versions, from a copy of the files that git tracks here.

    Args:
        row: what to install.
        machine: where.
        jobs: files that are compiled at a time.
        sources: archives by the option of install_dependencies.sh that takes them.
        tests: also what the tests use; warnings of the compiler are errors, as in `make test`.
        log: for the output.

    Returns:
        Variables of the environment that choose the row's versions.
    """
    source = machine.outside(machine.folder) / "source"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir()
    copied = f"git -C {REPOSITORY} ls-files -z | tar -C {REPOSITORY} --null -T - -c"
    subprocess.run(f"{copied} | tar -x -C {source}", shell=True, check=True)

    flags = ["--prefix", "$PWD/torchml", "--jobs", f"{jobs}"]
    variables = {}
    if tests:
        flags.append("--with-tests")
        variables["TORCHML_WARNINGS_AS_ERRORS"] = "ON"
    if row.lowest:
        pinned = "".join(f"{name}=={lowest}\n" for name, lowest in lowest_packages().items())
        (machine.outside(machine.folder) / "lowest.txt").write_text(pinned)
        variables["PIP_CONSTRAINT"] = f"{machine.folder}/lowest.txt"
    if row.compilers:
        variables["CC"], variables["CXX"] = row.compilers
    python = row.python
    if not row.system:
        machine_has(machine, f"{python} -c 'import ensurepip'", log)
        for compiler in row.compilers or ():
            machine_has(machine, f"{compiler} --version", log)
    if row.torch:
        machine.run(
            "python/bin/python -c 'import torch' || {\n"
            f"{python} -m venv --clear python\n"
            f"python/bin/python -m pip install {row.torch!r} numpy\n}}",
            log,
            **variables,
        )
        python = "$PWD/python/bin/python"
    if row.cmake:
        machine.run(f"{python} -m venv tools && tools/bin/pip install {row.cmake!r}", log)
    for option, archive in sources.items():
        copy = machine.outside(machine.folder) / archive.name
        shutil.copy(archive, copy)
        flags += [option, f"{machine.folder / archive.name}"]
    flags += ["--python", python] if python != "python3" else []
    if machine.user is not None:
        flags.append("--no-system-packages")
        replace(machine, user=None).run(f"chown -R {USER}:{USER} .", log)
    machine.run(f"source/install_dependencies.sh {' '.join(flags)}", log, **variables)
    return variables


def machine_has(machine: Machine, command: str, log: IO[str]) -> None:
    """Raise MissingError where a program does not run."""
    try:
        machine.run(command, log)
    except CommandError:
        raise MissingError(f"'{command.split()[0]}' does not run on this machine") from None


def sources_of(row: Row, folder: Path | None) -> dict[str, Path]:
    """Source archives of the row, by the option of install_dependencies.sh that takes them.

    Raises:
        MissingError: the row builds LAMMPS, and the folder has no archive of it.
    """
    wanted = {"--kim-api-source": f"kim-api-{row.kim_api}.*.tar.*"} if row.kim_api else {}
    if row.lammps:
        wanted["--lammps-source"] = "lammps*.tar.*"
    found = {
        option: sorted(folder.resolve().glob(pattern)) if folder else []
        for option, pattern in wanted.items()
    }
    if row.lammps and not all(found.values()):
        raise MissingError("it needs source archives of KIM-API and LAMMPS (ARCHIVES=DIR)")
    return {option: files[-1] for option, files in found.items() if files}


def table(results: list[dict[str, str]]) -> str:
    """The results in Markdown."""
    lines = [COLUMNS, ("---",) * len(COLUMNS)]
    lines += [tuple(result.get(column, "") for column in COLUMNS) for result in results]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
