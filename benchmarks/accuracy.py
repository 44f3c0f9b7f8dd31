"""Measure the accuracy of a potential that is trained from one YAML file, for any material.

    python benchmarks/accuracy.py --train mlearn_Si_train.extxyz --test mlearn_Si_test.extxyz

trains with accuracy.yaml and prints the errors on the test set, by group if the file names groups,
and published errors for a published test set. Further arguments change the configuration:
`--trainer.max_steps 2000 --model.model.init_args.cutoff 6`.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from common.reports import OUTPUT, machine, new_table, write_json
from mlearn.published import ERRORS
from rich.console import Console

from torchml.training.threads import wait_briefly

wait_briefly()

from torchml import TorchMLError  # noqa: E402 (only now it may import torch)
from torchml.data import read  # noqa: E402
from torchml.data.references import elements  # noqa: E402
from torchml.training.cli import run  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", required=True, help="configurations with energies and forces")
    parser.add_argument("--test", required=True, help="configurations for the test errors")
    parser.add_argument("--config", default=str(Path(__file__).with_name("accuracy.yaml")))
    parser.add_argument("--run", default="accuracy-run", help="folder of the training")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of accuracy.json")
    options, changes = parser.parse_known_args()
    try:
        return measure(options, changes)
    except TorchMLError as error:
        print(f"accuracy.py: error: {error}", file=sys.stderr)
        return 1


def measure(options: argparse.Namespace, changes: list[str]) -> int:
    """Train, test, and print the test errors in the units of the field."""
    start = time.monotonic()
    words = ["--config", options.config, "--data.train", options.train, "--data.test", options.test]
    trained = run(
        ["fit", *words, "--trainer.default_root_dir", options.run, "--overwrite", "true", *changes]
    )
    minutes = (time.monotonic() - start) / 60
    tested = run(["test", "--config", str(trained.folder / "config.yaml")])
    found = {name: float(value) for name, value in tested.trainer.callback_metrics.items()}

    symbols = " ".join(elements(read(options.test)))
    published = ERRORS.get(symbols, {})
    table = new_table(
        f"{Path(options.test).name}: {symbols}, trained in {minutes:.1f} minutes",
        [""],
        ["energy MAE", "RMSE, meV/atom", "forces MAE", "RMSE, eV/Å"],
        "published: J. Phys. Chem. A 124, 731 (2020)" if published else "",
    )
    table.add_row(
        "ours",
        *(f"{1e3 * found[f'test/energy_per_atom_{kind}']:.2f}" for kind in ("mae", "rmse")),
        *(f"{found[f'test/forces_{kind}']:.4f}" for kind in ("mae", "rmse")),
    )
    for name, (energy, forces) in published.items():
        table.add_row(f"{name} (published)", f"{energy:.2f}", "", f"{forces:.3f}", "")
    Console().print(table)
    write_json(
        {"machine": machine(), "test": options.test, "minutes": minutes, "metrics": found},
        options.output / "accuracy.json",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
