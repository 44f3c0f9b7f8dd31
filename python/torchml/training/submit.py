"""`torchml submit`: `torchml fit` as a job of a cluster, through submitit.

A job that is preempted or reaches its time limit is queued again, and resumes.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torchml.data.ranks import ONE_NODE_ADDRESS
from torchml.errors import TorchMLError
from torchml.training.run_folder import CHECKPOINTS

_DESCRIPTION = """\
Train as a job of a cluster. All arguments that are not listed here are those of torchml fit.

  torchml submit --config silicon.yaml --gpus-per-node 4 --tasks-per-node 4 --time 720
  torchml submit --config silicon.yaml --cluster local --wait

The configuration is checked before the job is submitted. Output goes to <run>/jobs. A job that is
preempted or reaches its time limit is queued again, and resumes from its last checkpoint.
"""


@dataclass(frozen=True)
class Job:
    """The function that runs on the cluster, once per task; submitit pickles it.

    Attributes:
        arguments: words of `torchml fit`.
        last: the last checkpoint of the run; None for a committee, whose members have their own.
        resume: continue from it.
    """

    arguments: tuple[str, ...]
    last: Path | None
    resume: bool = False

    def __call__(self) -> str:
        """Train, and return the path of the best checkpoint."""
        from torchml.training.cli import run
        from torchml.training.members import CHECKPOINT

        announce_ranks()
        resumed: tuple[str, ...] = ()
        if self.resume and self.last is None:
            resumed = (CHECKPOINT, "last")
        elif self.resume and self.last is not None and self.last.exists():
            # Without a checkpoint yet, there is nothing that a new start could overwrite.
            resumed = (CHECKPOINT, str(self.last))
        return str(run([*self.arguments, *resumed]).best)

    def checkpoint(self) -> Any:
        """Return the job that submitit queues when it must stop this one."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(replace(self, resume=True))


def announce_ranks() -> None:
    """Set torch's variables for executors that Lightning does not know; it knows Slurm."""
    from submitit import JobEnvironment
    from submitit.helpers import TorchDistributedEnvironment

    try:
        job = JobEnvironment()
    except RuntimeError:
        return  # called without submitit
    if job.cluster != "slurm" and job.num_tasks > 1:
        TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
        os.environ["NODE_RANK"] = str(job.node)
        if job.num_nodes == 1:  # by submitit's choice they meet at its name
            os.environ["MASTER_ADDR"] = ONE_NODE_ADDRESS


def main(arguments: Sequence[str]) -> int:
    """Carry out a command line; return the exit status."""
    parser = _parser()
    options, words = parser.parse_known_args(list(arguments[1:]))
    try:
        return _submit(options, [word for word in words if word != "--"])
    except TorchMLError as error:
        print(f"torchml submit: error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="torchml submit",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="torchml submit --config FILE [options of the job] [options of torchml fit]",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "--cluster",
        choices=("slurm", "local"),
        help="slurm (default if sbatch is found), or local: processes of this machine",
    )
    add("--nodes", type=int, default=1, metavar="N", help="nodes (default: 1)")
    add("--tasks-per-node", type=int, default=1, metavar="N", help="ranks on each (default: 1)")
    add("--gpus-per-node", type=int, metavar="N", help="GPUs of each node")
    add("--cpus-per-task", type=int, metavar="N", help="cores of each rank")
    add("--mem", type=float, metavar="GB", help="memory of each node")
    add("--time", type=int, default=1440, metavar="MIN", help="time limit (default: a day)")
    add("--partition", help="partition of Slurm")
    add("--account", help="account of Slurm")
    add("--name", default="torchml", help="name of the job (default: torchml)")
    add(
        "--slurm",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any further option of sbatch; may be repeated",
    )
    add(
        "--restarts",
        type=int,
        default=10,
        metavar="N",
        help="how often a job that reached its time limit is queued again (default: 10)",
    )
    add("--wait", action="store_true", help="wait until the job has ended")
    return parser


def submit_jobs(
    jobs: Sequence[Any],
    folder: Path,
    cluster: str | None,
    restarts: int,
    settings: Mapping[str, Any],
) -> list[Any]:
    """Submit functions without arguments, several as an array, and return submitit's jobs.

    Args:
        jobs: objects that can be called and pickled.
        folder: of the output; %j is the number of the job.
        cluster: slurm, local (processes of this machine), or None for slurm if sbatch is found.
        restarts: how often a job that reached its time limit is queued again.
        settings: parameters of submitit's executor; None leaves one out.

    Raises:
        TorchMLError: submitit is missing, or a job was refused.
    """
    try:
        import submitit
    except ImportError:
        raise TorchMLError("jobs are submitted by submitit: pip install submitit") from None
    try:
        executor = submitit.AutoExecutor(
            folder,
            cluster=cluster,
            slurm_max_num_timeout=restarts,
            local_max_num_timeout=restarts,
        )
        executor.update_parameters(
            **{key: value for key, value in settings.items() if value is not None}
        )
        if len(jobs) == 1:
            return [executor.submit(jobs[0])]
        with executor.batch():
            return [executor.submit(job) for job in jobs]
    except (ValueError, RuntimeError) as error:
        raise TorchMLError(f"the job was not submitted: {' '.join(str(error).split())}") from error


def wait_for(job: Any) -> Any:
    """Wait until a job has ended, and return the result of its first task.

    Raises:
        TorchMLError: the job failed.
    """
    import submitit

    try:
        return job.results()[0]
    except submitit.core.utils.FailedJobError as error:
        raise TorchMLError(f"job {job.job_id} failed: {_reason(str(error))}") from None


def _submit(options: argparse.Namespace, words: list[str]) -> int:
    from torchml.training.settings import from_words

    words = ["fit", *words]
    ranks = options.nodes * options.tasks_per_node
    if ranks > 1:
        words += ["--trainer.num_nodes", str(options.nodes), "--trainer.strategy", "ddp"]
        words += ["--trainer.devices", str(options.tasks_per_node)]
    planned = from_words(words)
    if planned.is_committee and ranks > 1:
        raise TorchMLError(
            f"members is {planned.options.members} and there are {ranks} tasks, expected one task, "
            "whose processes train the members"
        )
    planned.check_folder()
    folder = planned.folder.absolute()
    further = {key: value for key, _, value in (word.partition("=") for word in options.slurm)}
    settings = {
        "name": options.name,
        "nodes": options.nodes,
        "tasks_per_node": options.tasks_per_node,
        "gpus_per_node": options.gpus_per_node,
        "cpus_per_task": options.cpus_per_task,
        "mem_gb": options.mem,
        "timeout_min": options.time,
        "slurm_partition": options.partition,
        "slurm_account": options.account,
        "slurm_additional_parameters": further or None,
    }
    last = None if planned.is_committee else folder / CHECKPOINTS / "last.ckpt"
    wanted = Job(tuple(words), last)
    (job,) = submit_jobs([wanted], folder / "jobs", options.cluster, options.restarts, settings)
    print(f"submitted job {job.job_id}; its output goes to {job.paths.stdout}")
    if options.wait:
        print(f"The model is in {wait_for(job)}")
    return 0


def _reason(trace: str) -> str:
    """The message of the exception in submitit's report of a failed job."""
    messages = re.findall(r"^\s*[\w.]*Error: (.+)$", trace, flags=re.MULTILINE)
    return messages[-1] if messages else "see its output"
