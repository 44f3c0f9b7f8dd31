"""--submit: command lines as jobs of a cluster, through submitit."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torchml.compat.ocp.flags import Flags, parse
from torchml.compat.ocp.run import run
from torchml.compat.ocp.translation import Translation
from torchml.training.submit import announce_ranks, submit_jobs, wait_for

_RESTARTS = 3
_OF_SUBMISSION = {"--submit": 0, "--wait": 0, "--cluster": 1, "--sweep-yml": 1}


@dataclass(frozen=True)
class Job:
    """A command line that runs on the cluster, once per task; submitit pickles it.

    Attributes:
        words: of the command line, with --timestamp-id.
        last: the last checkpoint of a training.
        resume: continue from it.
    """

    words: tuple[str, ...]
    last: Path
    resume: bool = False

    def __call__(self) -> str:
        """Carry out the command line, and return the name of its folders."""
        announce_ranks()
        resumed = ("--checkpoint", str(self.last)) if self.resume and self.last.exists() else ()
        flags = parse((*self.words, *resumed))
        run(flags)
        return str(flags.timestamp_id)

    def checkpoint(self) -> Any:
        """Return the job that submitit queues when it must stop this one."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(replace(self, resume=True))


def submit(runs: Sequence[tuple[Flags, Translation]]) -> int:
    """Submit one job for each command line; returns the exit status.

    Raises:
        TorchMLError: submitit is missing, or a job was refused or failed.
    """
    flags, first = runs[0]
    jobs = [
        Job(
            _words(one, translation),
            translation.folders.checkpoints.absolute() / "checkpoints" / "last.ckpt",
            resume=False,
        )
        for one, translation in runs
    ]
    submitted = submit_jobs(
        jobs, Path(flags.logdir) / "%j", flags.cluster, _RESTARTS, _settings(flags, first)
    )
    print("submitted jobs: " + ", ".join(job.job_id for job in submitted))
    print(f"log of the jobs: {_write_log(flags, runs, submitted)}")
    if flags.wait:
        for job in submitted:
            print(f"job {job.job_id} has ended: {wait_for(job)}")
    return 0


def _words(flags: Flags, translation: Translation) -> tuple[str, ...]:
    """The command line in the job: without submission, with the name of its folders."""
    words: list[str] = []
    skip = 0
    for word in flags.words:
        name = word.partition("=")[0]
        if skip:
            skip -= 1
        elif name in _OF_SUBMISSION:
            skip = 0 if "=" in word else _OF_SUBMISSION[name]
        else:
            words.append(word)
    return (*words, "--timestamp-id", translation.folders.name)


def _settings(flags: Flags, translation: Translation) -> dict[str, Any]:
    return {
        "name": flags.identifier or "ocp",
        "mem_gb": flags.slurm_mem,
        "timeout_min": 60 * flags.slurm_timeout,
        "slurm_partition": flags.slurm_partition,
        "slurm_account": flags.slurm_account,
        "slurm_qos": flags.slurm_qos,
        "slurm_additional_parameters": translation.config.slurm or None,
        "gpus_per_node": None if flags.cpu else flags.num_gpus,
        "cpus_per_task": translation.configuration["data"]["num_workers"] + 1,
        "tasks_per_node": flags.ranks,
        "nodes": flags.num_nodes,
    }


def _write_log(
    flags: Flags, runs: Sequence[tuple[Flags, Translation]], jobs: Sequence[Any]
) -> Path:
    """Write the configuration and the number of each job, one line of JSON each."""
    path = Path(flags.logdir) / "exp" / time.strftime("%Y-%m-%d-%H-%M-%S.log")
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps(
            {
                "config": translation.configuration,
                "slurm_id": job.job_id,
                "timestamp": translation.folders.name,
            },
            default=str,
        )
        for (_, translation), job in zip(runs, jobs, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
