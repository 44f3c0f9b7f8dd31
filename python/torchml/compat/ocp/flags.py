"""The command line of OCP."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import yaml  # type: ignore[import-untyped]

from torchml.compat.ocp.versions import VERSIONS
from torchml.errors import TorchMLError

PROGRAM = "python -m torchml.compat.ocp"
MODES = ("train", "validate", "predict", "run-relaxations")

_DESCRIPTION = """\
Carry out a command line of OCP (main.py, fairchem) with the models of TorchML.

  python -m torchml.compat.ocp --mode train --config-yml configs/is2re/10k/schnet/schnet.yml
  python -m torchml.compat.ocp --mode predict --config-yml ... --checkpoint .../checkpoint.pt
  python -m torchml.compat.ocp --mode train --config-yml ... --optim.lr_initial=3e-4 --cpu

--SECTION.KEY=VALUE replaces a value of the configuration. The equivalent configuration of torchml
fit is printed first.
"""


@dataclass(frozen=True)
class Flags:
    """The values of a command line; their meaning is in the help texts.

    Attributes:
        overrides: words `--section.key=value` that are no flags.
        words: the command line itself.
    """

    mode: str = "train"
    config_yml: str = ""
    checkpoint: str | None = None
    identifier: str = ""
    timestamp_id: str | None = None
    run_dir: str = "./"
    debug: bool = False
    vis: bool = False
    seed: int = 0
    amp: bool = False
    cpu: bool = False
    num_workers: int | None = None
    print_every: int = 10
    config_override: str | None = None
    version_of_ocp: str | None = None
    print_config: bool = False
    submit: bool = False
    sweep_yml: str | None = None
    logdir: str = "logs"
    cluster: str | None = None
    wait: bool = False
    slurm_partition: str | None = None
    slurm_account: str | None = None
    slurm_qos: str | None = None
    slurm_mem: int = 80
    slurm_timeout: int = 72
    distributed: bool = False
    num_gpus: int = 1
    num_nodes: int = 1
    distributed_port: int | None = None
    distributed_backend: str = "nccl"
    local_rank: int = 0
    no_ddp: bool = False
    gp_gpus: int | None = None
    summit: bool = False
    overrides: tuple[str, ...] = field(default=())
    words: tuple[str, ...] = field(default=())

    @property
    def ranks(self) -> int:
        """Number of processes on each node."""
        return self.num_gpus if self.distributed else 1

    @property
    def all_ranks(self) -> int:
        """Number of processes on all nodes."""
        return self.ranks * self.num_nodes


def parse(arguments: Sequence[str]) -> Flags:
    """Parse a command line.

    Raises:
        TorchMLError: a word is neither a flag nor `--section.key=value`, or flags contradict.
    """
    parser = _parser()
    options, others = parser.parse_known_args(list(arguments))
    flags = Flags(**vars(options), overrides=_overrides(parser, others), words=tuple(arguments))
    if flags.gp_gpus is not None:
        raise TorchMLError("--gp-gpus splits single graphs over GPUs, which no model here does")
    if flags.summit:
        raise TorchMLError("--summit is for one machine, expected --submit for Slurm, or jsrun")
    if flags.no_ddp and flags.distributed:
        raise TorchMLError("--no-ddp and --distributed contradict, expected one of them")
    if flags.num_gpus < 1 or flags.num_nodes < 1:
        raise TorchMLError(
            f"--num-gpus is {flags.num_gpus} and --num-nodes {flags.num_nodes}, expected 1 or more"
        )
    if not 0 <= flags.seed < 2**32:
        raise TorchMLError(f"--seed is {flags.seed}, expected a number from 0 to 4294967295")
    if flags.num_gpus * flags.num_nodes > 1 and not flags.distributed:
        raise TorchMLError(
            f"--num-gpus {flags.num_gpus} --num-nodes {flags.num_nodes} without --distributed is "
            "one process, expected --distributed for several"
        )
    return flags


def combination(flags: Flags, number: int, words: Sequence[str], overrides: Sequence[str]) -> Flags:
    """Return the flags of one combination of a sweep.

    Args:
        flags: of the command line with the sweep.
        number: of the combination, which becomes part of the identifier.
        words: the command line without the sweep.
        overrides: the values of the combination, as `--section.key=value`.
    """
    identifier = f"{flags.identifier}_run{number}"
    return replace(
        flags,
        identifier=identifier,
        sweep_yml=None,
        overrides=(*flags.overrides, *overrides),
        words=(*words, "--identifier", identifier, *overrides),
    )


def value_of(text: str) -> Any:
    """Return the value that a text has in YAML."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _overrides(parser: argparse.ArgumentParser, words: Sequence[str]) -> tuple[str, ...]:
    known = [name for action in parser._actions for name in action.option_strings]
    for word in words:
        name, equals, _ = word.partition("=")
        if word.startswith("--") and equals and len(name) > 2:
            continue
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else "expected a flag, or --SECTION.KEY=VALUE"
        raise TorchMLError(f"{word} is an unknown word; {hint}")
    return tuple(words)


def _mode(text: str) -> str:
    return text.replace("_", "-")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage=f"{PROGRAM} --mode MODE --config-yml FILE [options] [--SECTION.KEY=VALUE ...]",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--mode", type=_mode, choices=MODES, required=True, help="run_relaxations is accepted too")
    add("--config-yml", required=True, metavar="FILE", help="configuration of OCP")
    add("--checkpoint", metavar="FILE", help="model to evaluate, or training to continue")
    add("--identifier", default="", metavar="TEXT", help="added to the name of the folders")
    add("--timestamp-id", metavar="TEXT", help="name of the folders, in place of the time")
    add("--run-dir", default="./", metavar="DIR", help="parent of checkpoints, logs and results")
    add("--debug", action="store_true", help="leave no files")
    add("--vis", action="store_true", help="accepted; plots are always drawn")
    add("--seed", type=int, default=0, metavar="N", help="of all random numbers (default: 0)")
    add("--amp", action="store_true", help="accepted; float32 is used, as forces need it")
    add("--cpu", action="store_true", help="use no GPU")
    add("--num-workers", type=int, metavar="N", help="processes that prepare batches")
    add("--print-every", type=int, default=10, metavar="N", help="steps between logs (default: 10)")
    add("--config-override", metavar="YAML", help='such as "{optim: {max_epochs: 2}}"')
    add(
        "--version-of-ocp",
        choices=tuple(VERSIONS),
        help="whose defaults and units count (default: as the keys of the configuration show)",
    )
    add("--print-config", action="store_true", help="print the configuration of torchml and stop")
    jobs = parser.add_argument_group("jobs").add_argument
    jobs("--submit", action="store_true", help="run as a job, through submitit")
    jobs("--sweep-yml", metavar="FILE", help="values whose combinations are run one by one")
    jobs("--logdir", default="logs", metavar="DIR", help="output of jobs (default: logs)")
    jobs("--cluster", choices=("slurm", "local"), help="default: slurm if sbatch is found")
    jobs("--wait", action="store_true", help="wait until the jobs have ended")
    jobs("--slurm-partition", metavar="NAME", help="partition")
    jobs("--slurm-account", metavar="NAME", help="account")
    jobs("--slurm-qos", metavar="NAME", help="quality of service")
    jobs("--slurm-mem", type=int, default=80, metavar="GB", help="memory of a node (default: 80)")
    jobs("--slurm-timeout", type=int, default=72, metavar="H", help="time limit (default: 72 h)")
    ranks = parser.add_argument_group("several processes").add_argument
    ranks("--distributed", action="store_true", help="train with --num-gpus processes on a node")
    ranks("--num-gpus", type=int, default=1, metavar="N", help="processes on a node (default: 1)")
    ranks("--num-nodes", type=int, default=1, metavar="N", help="nodes (default: 1)")
    ranks(
        "--distributed-port", type=int, metavar="N", help="port of the first (default: a free one)"
    )
    ranks("--distributed-backend", default="nccl", help="nccl (default), or gloo, on CPUs gloo")
    ranks("--local_rank", "--local-rank", type=int, default=0, help="accepted; launchers set it")
    ranks("--no-ddp", action="store_true", help="accepted for one process")
    ranks("--gp-gpus", type=int, metavar="N", help="refused")
    ranks("--summit", action="store_true", help="refused")
    return parser
