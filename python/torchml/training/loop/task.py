"""Tasks: the labels that a model learns, with loss and optimiser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import lightning.pytorch as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor
from torch.optim import Optimizer

from torchml.data.batch import GraphBatch
from torchml.data.configuration import Configuration
from torchml.data.dataset import GraphDataset
from torchml.data.graph import GraphBuilder, Kind
from torchml.errors import TorchMLError
from torchml.importers import checkpoint
from torchml.importers.fine_tuned import FineTuned
from torchml.models.base import EdgeModel
from torchml.models.dtype import network_dtype
from torchml.models.scaled import Scaled
from torchml.models.staged import StagedModel
from torchml.training.loop.energy_scaling import Normalization, normalize, scale_of
from torchml.training.loop.evaluation import Evaluation
from torchml.training.loop.heads import Heads, Target
from torchml.training.loop.init_from import InitFrom, init_from_of
from torchml.training.loop.memory import keep_freed_memory
from torchml.training.loop.metrics import make_metrics
from torchml.training.loop.offsets import Offsets, offsets_of, set_references
from torchml.training.loop.plateau import StepPlateau
from torchml.training.loop.prediction import Prediction, predict
from torchml.training.loop.preparation import prepare
from torchml.training.loop.schedule import Schedule
from torchml.training.loop.terms import Sum, Term, global_mean

# Where the default losses change from the square to the absolute value, in units of the scale. A
# force error is squared as long as it is typical; energies per atom are an order better, and still
# matter when they are.
_BETA = {"energy": 0.005, "forces": 0.1, "stress": 0.01}


_CALIBRATION = 32  # configurations to which the network adapts its scales


class Task(L.LightningModule):
    """Training of a potential: energies, forces, stress and further targets.

    The loss is the sum of `coefficient * mean(loss(prediction, label))` over its terms, with
    energies, forces and stress in units of the normalisation's scale. A label that a configuration
    lacks adds nothing; terms with a coefficient of 0 are not computed.

    Args:
        model: the potential; any subclass of EdgeModel, or a StagedModel around any network; null
            with `init_from`.
        energy_coefficient: coefficient of the energy term.
        force_coefficient: coefficient of the force term.
        stress_coefficient: coefficient of the stress term; stress is multiplied by the volume per
            atom.
        energy_loss: loss of the energies, any of torch by class_path. The defaults are smooth L1
            losses: absolute errors, and squares for small errors.
        force_loss: loss of the forces.
        stress_loss: loss of the stress.
        energy_per_atom: compare energies divided by the number of atoms.
        free_atoms_only: ignore forces on fixed atoms, in training and in metrics.
        targets: further labels to learn, from the same node features.
        normalization: reference energies and scale.
        optimizer: any optimiser of torch; None for AdamW with the `learning_rate` of the network.
        scheduler: any learning-rate scheduler of torch; None for that of `schedule`.
        schedule: cosine falls to 0 over all steps of the run; constant does not change.
        scheduler_interval: unit that `scheduler` counts, epochs or steps.
        monitor: metric for schedulers that wait for an improvement.
        warmup_steps: steps in which the learning rate rises to its value.
        missing: for configurations that lack a label, error stops, and mask omits that term.
        init_from: a trained potential in place of `model`, whose training goes on: its checkpoint,
            or a mapping.
    """

    kind = "s2ef"
    prepared = False  # `prepare` was called for the training that starts next
    offsets: Offsets | None = None  # of the labels from the potential of `init_from`

    def __init__(
        self,
        model: EdgeModel | StagedModel | None = None,
        energy_coefficient: float = 1.0,
        force_coefficient: float = 1.0,
        stress_coefficient: float = 0.0,
        energy_loss: torch.nn.Module | None = None,
        force_loss: torch.nn.Module | None = None,
        stress_loss: torch.nn.Module | None = None,
        energy_per_atom: bool = True,
        free_atoms_only: bool = True,
        targets: list[Target] | None = None,
        normalization: Normalization | None = None,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
        schedule: Literal["cosine", "constant"] = "cosine",
        scheduler_interval: Literal["epoch", "step"] = "epoch",
        monitor: str = "val/loss",
        warmup_steps: int = 0,
        missing: Literal["error", "mask"] = "error",
        init_from: InitFrom | str | None = None,
    ) -> None:
        super().__init__()
        if model is None:
            raise TorchMLError("model.model is null, expected a network, or model.init_from")
        self.init_from = init_from_of(init_from)
        if not isinstance(model, StagedModel | Scaled):
            model = Scaled(model)
        self.model: Scaled | StagedModel = model
        self.terms: Any = torch.nn.ModuleDict()  # of Term
        for name, loss, coefficient in (
            ("energy", energy_loss, energy_coefficient),
            ("forces", force_loss, force_coefficient),
            ("stress", stress_loss, stress_coefficient),
        ):
            if coefficient < 0:
                raise TorchMLError(f"the coefficient of {name} is {coefficient}, expected >= 0")
            if coefficient > 0:
                loss = loss or torch.nn.SmoothL1Loss(beta=_BETA[name])
                self.terms[name] = Term(loss, coefficient)
        self.heads = Heads(model, targets or [])
        for target in targets or []:
            self.terms[target.name] = Term(target.loss or torch.nn.MSELoss(), target.coefficient)
        if not self.terms:
            raise TorchMLError("all coefficients are 0, expected at least one term in the loss")
        self.energy_per_atom = energy_per_atom
        self.free_atoms_only = free_atoms_only
        self.normalization = normalization or Normalization()
        rate = getattr(model.network, "learning_rate", 1e-3)
        self.optimizer = optimizer or (lambda parameters: torch.optim.AdamW(parameters, lr=rate))
        self.learning_rate = Schedule(
            scheduler, schedule, scheduler_interval, monitor, warmup_steps
        )
        self.missing = missing
        self.evaluation: Evaluation | None = None  # of the validation or test that runs

    # --- Needs of the data (torchml.data.needs) ------------------------------------------------

    @property
    def labels(self) -> list[str]:
        """Labels that every configuration must have: energy, forces, stress."""
        if self.missing == "mask":
            return []
        return self.learned

    @property
    def learned(self) -> list[str]:
        """Those of energy, forces and stress that the loss has terms for."""
        return [name for name in ("energy", "forces", "stress") if name in self.terms]

    @property
    def target_kinds(self) -> dict[str, tuple[str, int]]:
        """Kinds and numbers of components of the further labels, by name."""
        return {target.name: (target.kind, target.components) for target in self.heads.targets}

    def graph_builder(self, kind: Kind) -> GraphBuilder:
        """Return the builder of the graphs that the model takes."""
        model = self.model
        staged = isinstance(model, StagedModel)
        return GraphBuilder(
            species=model.species,
            cutoff=model.cutoff,
            layers=model.layers,
            kind="staged" if staged else kind,
            dtype=network_dtype(model) or torch.float64,
            symmetric=staged,
            atomic_numbers=isinstance(model, StagedModel) and model.species_input != "code",
        )

    def normalize(self, configurations: Sequence[Configuration]) -> None:
        """Set reference energies and scale from the training configurations."""
        if isinstance(self.model, FineTuned):
            return  # they follow from its own energies: `calibrate`
        if isinstance(self.model, Scaled) or self.model.has_normalization:
            rule = self.normalization
            if "energy" not in self.terms and all(c.energy is None for c in configurations):
                rule = rule.without_energies()
            references, scale = normalize(rule, configurations, self.model.species)
            self.model.set_normalization(references, scale)

    def calibrate(self, data: GraphDataset) -> None:
        """Pass some training configurations to the network (see `EdgeModel.calibrate`)."""
        if isinstance(self.model, FineTuned):
            self._settle(self.model, data)
        elif isinstance(self.model, Scaled):
            indices = np.linspace(0, len(data) - 1, min(len(data), _CALIBRATION)).astype(int)
            batch = data[sorted(set(indices.tolist()))].to(self.device)
            self.model.network.calibrate(
                batch.species,
                batch.edge_vectors,
                batch.edge_index,
                batch.node_counts,
                batch.edge_counts,
            )

    @property
    def replay_shifts(self) -> dict[str, float] | None:
        """Energies (eV) to add to the labels of old data, by symbol; None without `init_from`."""
        model = self.model
        if not isinstance(model, FineTuned):
            return None
        return dict(zip(model.species, model.shifts.tolist(), strict=True))

    def _settle(self, model: FineTuned, data: GraphDataset) -> None:
        """Compare the labels with the old model, and set its reference energies and the unit."""
        if model.settled:
            return
        assert self.init_from is not None
        self.offsets = offsets_of(model, data)
        set_references(model, self.init_from, self.offsets)
        references = dict(zip(model.species, model.references.tolist(), strict=True))
        model.unit.fill_(scale_of(self.normalization, data.configurations, references))
        model.settled = True

    # --- Steps ---------------------------------------------------------------------------------

    def forward(self, batch: GraphBatch) -> Prediction:
        """Predict without keeping the derivatives that training needs."""
        return self.predict(batch, create_graph=False)

    def predict(self, batch: GraphBatch, create_graph: bool) -> Prediction:
        """Predict the quantities of a batch that the task learns.

        Args:
            batch: graphs of G configurations.
            create_graph: keep the graph for the derivative of a force loss.
        """
        prediction = predict(
            self.model,
            batch,
            forces="forces" in self.terms,
            stress="stress" in self.terms,
            create_graph=create_graph,
        )
        prediction.targets = self.heads(self.model, batch)
        return prediction

    def setup(self, stage: str) -> None:
        if stage == "fit":
            keep_freed_memory()
            data = self.trainer.datamodule  # type: ignore[attr-defined]
            if data is not None and not self.prepared:
                prepare(self, data, "fit")
            self.prepared = False  # the next training may have other data

    def training_step(self, batch: GraphBatch, batch_idx: int) -> Tensor:
        parts = self._parts(batch, create_graph=True)[0]
        means = {name: global_mean(part) for name, part in parts.items()}
        loss = torch.stack([self.terms[name].coefficient * mean for name, mean in means.items()])
        logged = {f"train/{name}_loss": mean.detach() for name, mean in means.items()}
        # Means over the steps of an epoch, the same for any number of ranks.
        options: dict[str, Any] = {"on_step": False, "on_epoch": True, "sync_dist": True}
        self.log_dict(logged, batch_size=1, **options)
        self.log("train/loss", loss.sum().detach(), prog_bar=True, batch_size=1, **options)
        return loss.sum()

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Compute the gradients of the weights, but not those of the positions once more.

        Forces are derivatives of the energy by the edge vectors; autograd would continue to them.
        """
        weights = [weight for weight in self.parameters() if weight.requires_grad]
        loss.backward(inputs=weights)

    def validation_step(self, batch: GraphBatch, batch_idx: int) -> Any:
        return self._evaluate(batch)

    def test_step(self, batch: GraphBatch, batch_idx: int) -> Any:
        return self._evaluate(batch)

    def predict_step(self, batch: GraphBatch, batch_idx: int) -> Prediction:
        return self.forward(batch)

    def on_validation_epoch_start(self) -> None:
        self.evaluation = self._new_evaluation()

    def on_test_epoch_start(self) -> None:
        self.evaluation = self._new_evaluation()

    def on_validation_epoch_end(self) -> None:
        self._log_evaluation("val")

    def on_test_epoch_end(self) -> None:
        self._log_evaluation("test")

    # --- Optimisation --------------------------------------------------------------------------

    def configure_optimizers(self) -> Any:
        return self.optimizer_and_schedules(lambda: self.trainer.estimated_stepping_batches)

    def optimizer_and_schedules(
        self, total_steps: Callable[[], float]
    ) -> tuple[list[Optimizer], list[dict[str, Any]]]:
        """Return a new optimiser and its schedulers, as Lightning expects them.

        Args:
            total_steps: returns the number of steps of the whole run.
        """
        optimizer = self.optimizer(p for p in self.parameters() if p.requires_grad)
        if isinstance(self.model, FineTuned) and self.init_from is not None:
            optimizer = self._with_rates(self.model, self.init_from.old_rate)
        return [optimizer], self.learning_rate.entries(optimizer, total_steps)

    def _with_rates(self, model: FineTuned, rate: float) -> Optimizer:
        """An optimiser in which the old weights have a fraction of the learning rate."""
        old = list(model.old_weights())
        known = {id(parameter) for parameter in old}
        new = [p for p in self.parameters() if p.requires_grad and id(p) not in known]
        groups = [{"params": some} for some in (new, old) if some]
        optimizer = self.optimizer(groups)
        if old:
            optimizer.param_groups[-1]["lr"] *= rate
        return optimizer

    def configure_callbacks(self) -> list[Callback]:
        """Return the callbacks that each training of this task needs."""
        return [StepPlateau()]

    @property
    def metric_names(self) -> list[str]:
        """Names of the metrics that a training with validation data logs."""
        names = ["loss", *(f"{name}_loss" for name in self.terms)]
        of_validation = [*names, *self._new_evaluation().metrics.keys()]
        return [f"train/{name}" for name in names] + [f"val/{name}" for name in of_validation]

    def on_save_checkpoint(self, checkpoint_: dict[str, Any]) -> None:
        checkpoint_[checkpoint.KEY] = checkpoint.describe(self)

    # --- Parts -----------------------------------------------------------------------------------

    def _new_evaluation(self) -> Evaluation:
        forces, stress = "forces" in self.terms, "stress" in self.terms
        return Evaluation(self.terms, make_metrics(self.kind, forces, stress), self.device)

    def _parts(self, batch: GraphBatch, create_graph: bool) -> tuple[dict[str, Sum], Prediction]:
        """The sums of each term, in units of the scale."""
        prediction = self.predict(batch, create_graph)
        model = self.model
        scale = float(model.unit if isinstance(model, FineTuned) else model.scale)
        parts = {}
        if "energy" in self.terms:
            n = batch.atom_counts if self.energy_per_atom else 1
            parts["energy"] = self.terms["energy"](
                prediction.energy / n / scale, batch.energy / n / scale, batch.energy_weight
            )
        if prediction.forces is not None and "forces" in self.terms:
            weight = batch.forces_weight[batch.configuration_of_atom]
            if self.free_atoms_only:
                weight = weight * batch.free
            parts["forces"] = self.terms["forces"](
                prediction.forces / scale, batch.forces / scale, weight
            )
        if prediction.stress is not None and "stress" in self.terms:
            unit = (batch.volumes / batch.atom_counts / scale).unsqueeze(1)
            parts["stress"] = self.terms["stress"](
                prediction.stress * unit, batch.stress * unit, batch.stress_weight
            )
        for target in self.heads.targets:
            value = prediction.targets[target.name]
            weight = batch.real[self.heads.owners(target, batch)].to(value.dtype)
            label = batch.targets[target.name].to(value.dtype)
            parts[target.name] = self.terms[target.name](value, label, weight)
        return parts, prediction

    def _evaluate(self, batch: GraphBatch) -> Prediction:
        assert self.evaluation is not None
        parts, prediction = self._parts(batch, create_graph=False)
        self.evaluation.update(parts, batch, prediction)
        return prediction

    def _log_evaluation(self, stage: str) -> None:
        assert self.evaluation is not None
        means = self.evaluation.losses()
        loss = sum(self.terms[name].coefficient * mean for name, mean in means.items())
        self.log(f"{stage}/loss", loss, prog_bar=True)
        self.log_dict({f"{stage}/{name}_loss": mean for name, mean in means.items()})
        metrics = self.evaluation.metrics.compute()
        self.log_dict({f"{stage}/{name}": value for name, value in metrics.items()})
        self.evaluation = None


class S2EF(Task):
    """Structure to energy and forces (S2EF): the usual training of a potential."""


class IS2RE(Task):
    """Initial structure to relaxed energy (IS2RE): energies only.

    The label is the energy of the relaxed structure: `data.keys.energy: y_relaxed` for OCP's data.
    """

    kind = "is2re"

    def __init__(
        self,
        model: EdgeModel | StagedModel | None = None,
        energy_per_atom: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(model, energy_per_atom=energy_per_atom, force_coefficient=0.0, **options)
