"""Training from Python: what `torchml fit`, `validate`, `test` and `predict` do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torchml.errors import TorchMLError
from torchml.training import cli
from torchml.training.run import Run, run
from torchml.training.settings import from_words, words_of

__all__ = ["Run", "fit", "predict", "test", "validate"]

Config = Mapping[str, Any] | str | Path


def fit(config: Config = {}, **overrides: Any) -> Run:  # noqa: B006
    """Train a potential, as `torchml fit` does.

    Args:
        config: a YAML file, or its content.
        overrides: values that replace those of `config`, with dots written as two underscores
            (`trainer__max_epochs=5`), or whole sections (`trainer={"max_epochs": 5}`).
            `model` may also be a network: an EdgeModel, or a StagedModel around any network; it is
            trained itself, not a copy. `data` may also be a DataModule, or a list of
            configurations to train on.

    Returns:
        The run: its folder, metrics, trainer, task and data; of a committee (`members`) that of the
        network that learned from it (`distill`), else that of its last member, without objects.

    Raises:
        TorchMLError: one sentence, for the first key, value or file that is wrong.
    """
    return _command("fit", config, overrides)


def validate(config: Config = {}, **overrides: Any) -> Run:  # noqa: B006
    """Compute the errors on the validation data, as `torchml validate --config` does.

    Arguments, result and errors are those of `fit`; a list as `data` is validated.
    """
    return _command("validate", config, overrides)


def test(config: Config = {}, **overrides: Any) -> Run:  # noqa: B006
    """Compute the errors on the test data, as `torchml test` does.

    Arguments, result and errors are those of `fit`; a list as `data` is tested.
    """
    return _command("test", config, overrides)


def predict(config: Config = {}, **overrides: Any) -> Run:  # noqa: B006
    """Write predictions into a file, as `torchml predict` does.

    Arguments, result and errors are those of `fit`; a list as `data` is predicted.
    """
    return _command("predict", config, overrides)


def _command(command: str, config: Config, overrides: dict[str, Any]) -> Run:
    objects = {
        name: overrides.pop(name)
        for name in ("model", "data")
        if name in overrides and not isinstance(overrides[name], Mapping | str)
    }
    words = words_of(command, config, _nested(overrides))
    if not objects:
        return cli.run(words)
    settings = from_words(words)
    if command == "fit" and settings.is_committee:
        raise TorchMLError(
            f"members is {settings.options.members}, but {' and '.join(objects)} is an object, "
            "expected names and files, from which each member is made anew"
        )
    return run(settings, **objects)


def _nested(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """{"a__b": 1} as {"a": {"b": 1}}."""
    tree: dict[str, Any] = {}
    for name, value in overrides.items():
        *path, leaf = name.split("__")
        branch = tree
        for key in path:
            branch = branch.setdefault(key, {})
        branch[leaf] = value
    return tree
