"""Checkpoints: the model comes back exactly, and what is wrong with one is said in one sentence."""

from __future__ import annotations

import pickle

import lightning.pytorch as L
import pytest
import torch

from helpers.silicon import silicon
from torchml.data.module import DataModule
from torchml.errors import TorchMLError
from torchml.importers import checkpoint
from torchml.models import EdgeModel, PaiNN, SchNet
from torchml.models.staged import StagedModel
from torchml.training.loop.prediction import predict
from torchml.training.loop.task import S2EF

pytestmark = pytest.mark.filterwarnings("ignore")


class Own(EdgeModel):
    """A user's model, in a module of the user's."""

    def __init__(self, species: list[str], cutoff: float, depth: float = 1.0) -> None:
        super().__init__(species, cutoff, 1)
        self.depth = torch.nn.Parameter(torch.tensor(depth, dtype=torch.float64))

    def forward(self, species, edge_vectors, edge_index, node_counts, edge_counts):
        r = edge_vectors.norm(dim=1)
        pair = self.depth * (1 - (r / self.cutoff).clamp(max=1)).pow(3)
        zeros = torch.zeros(species.size(0), dtype=r.dtype)
        return zeros.index_add(0, edge_index[1], pair)


class Staged(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.depth = torch.nn.Parameter(torch.tensor(0.3, dtype=torch.float64))

    def forward(
        self,
        species: torch.Tensor,
        coords: torch.Tensor,
        edge_index0: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        r = (coords[edge_index0[0]] - coords[edge_index0[1]]).square().sum(1).sqrt()
        pair = self.depth * (1 - (r / 3.8).clamp(max=1)).pow(3)
        nodes = torch.zeros(coords.size(0), dtype=r.dtype).index_add(0, edge_index0[1], pair)
        return nodes[contributing % 2 == 0]


MODELS = {
    "PaiNN": lambda: PaiNN(["Si", "O"], 3.8, layers=2, features=4, dtype="float32"),
    "SchNet": lambda: SchNet(["Si"], 3.8, layers=1, features=4),
    "own": lambda: Own(["Si"], cutoff=3.8, depth=0.5),
    "staged": lambda: StagedModel(Staged(), ["Si"], 3.8, 1),
}


def trained(model, folder):
    torch.manual_seed(0)
    task = S2EF(model, schedule="constant")
    data = DataModule.from_configurations(train=silicon(4), batch_size=2)
    trainer = L.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(task, data)
    path = folder / "some.ckpt"
    trainer.save_checkpoint(path)
    return path, task, next(iter(data.val_dataloader()))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return trained(MODELS["PaiNN"](), tmp_path_factory.mktemp("saved"))


@pytest.mark.parametrize("name", MODELS)
def test_the_model_comes_back_exactly(name, tmp_path):
    path, task, batch = trained(MODELS[name](), tmp_path)
    model = checkpoint.load_model(path)
    assert type(model) is type(task.model) and not model.training
    before, after = (predict(one, batch) for one in (task.model, model))
    assert torch.equal(before.energy, after.energy)
    assert torch.equal(before.forces, after.forces)


def test_reading_a_checkpoint_runs_no_code(tmp_path):
    class Harm:
        def __reduce__(self):
            return (open, (str(tmp_path / "harm"), "w"))

    path = tmp_path / "evil.ckpt"
    torch.save({"state_dict": {}, "torchml": Harm()}, path)
    with pytest.raises(TorchMLError, match=r"evil.ckpt holds objects that are neither tensors"):
        checkpoint.load_model(path)
    assert not (tmp_path / "harm").exists()


def test_a_truncated_checkpoint(saved, tmp_path):
    content = saved[0].read_bytes()
    for part in (0, 100, len(content) // 2, len(content) - 10):
        path = tmp_path / "cut.ckpt"
        path.write_bytes(content[:part])
        with pytest.raises(TorchMLError, match=r"cut.ckpt is not a whole checkpoint: it was trunc"):
            checkpoint.load_model(path)


def test_a_flipped_byte(saved, tmp_path):
    content = bytearray(saved[0].read_bytes())
    weights = saved[1].model.network.embedding.weight.detach().numpy().tobytes()
    place = content.find(weights)
    assert place > 0
    content[place + 2] ^= 1
    path = tmp_path / "flipped.ckpt"
    path.write_bytes(content)
    with pytest.raises(TorchMLError, match=r"flipped.ckpt is damaged: the checksum of its part"):
        checkpoint.load_model(path)


def drop(content):
    del content["state_dict"]["model.network.embedding.weight"]


def reshape(content):
    content["state_dict"]["model.network.embedding.weight"] = torch.zeros(3, 3)


def add(content):
    content["state_dict"]["model.network.extra"] = torch.zeros(1)


def poison(content):
    content["state_dict"]["model.scale"] = torch.tensor(torch.nan)


def text(content):
    content["state_dict"]["model.scale"] = "1.0"


def rename(content):
    content["torchml"]["model"]["class_path"] = "torchml.models.NoSuchNet"


def argument(content):
    content["torchml"]["model"]["arguments"]["colour"] = "red"


def forget(content):
    del content["torchml"]["model"]


def later(content):
    content["torchml"]["format"] = 99


def strip(content):
    del content["torchml"]


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (drop, "the tensor 'network.embedding.weight' of the model is missing"),
        (reshape, r"'network.embedding.weight' has the shape \[3, 3\], expected \[2, 4\]"),
        (add, "the tensor 'network.extra' does not belong to the model"),
        (poison, "'model.scale' holds values that are not finite"),
        (text, "'model.scale' is a str, expected a tensor"),
        (rename, "there is no model class 'torchml.models.NoSuchNet'"),
        (argument, "colour"),
        (forget, "does not describe a model"),
        (later, "has the format 99, this version reads format 1"),
        (strip, "is no checkpoint of TorchML"),
    ],
)
def test_an_edited_checkpoint(edit, sentence, saved, tmp_path):
    content = torch.load(saved[0], weights_only=True)
    edit(content)
    path = tmp_path / "edited.ckpt"
    torch.save(content, path)
    with pytest.raises(TorchMLError, match=sentence) as error:
        checkpoint.load_model(path)
    assert "edited.ckpt" in str(error.value)


def test_other_files_are_not_taken_for_checkpoints(tmp_path):
    with pytest.raises(TorchMLError, match=r"none.ckpt: no such file"):
        checkpoint.load_model(tmp_path / "none.ckpt")
    (tmp_path / "list.ckpt").write_bytes(pickle.dumps([1]))
    with pytest.raises(TorchMLError, match=r"list.ckpt is not a whole checkpoint"):
        checkpoint.load_model(tmp_path / "list.ckpt")
    torch.save([1], tmp_path / "other.ckpt")
    with pytest.raises(TorchMLError, match=r"other.ckpt is no checkpoint of TorchML"):
        checkpoint.load_model(tmp_path / "other.ckpt")


def test_a_checkpoint_of_another_model_is_refused_before_training_goes_on(saved):
    checkpoint.check(saved[0], saved[1])
    wider = S2EF(PaiNN(["Si", "O"], 3.8, layers=2, features=8, dtype="float32"))
    with pytest.raises(TorchMLError, match=r"with model.arguments.features 4, but the .* says 8$"):
        checkpoint.check(saved[0], wider)
