"""`make gpu-check`: without a GPU it says so; its functions are tried on the CPU."""

from __future__ import annotations

import json

import gpu
import pytest
import torch


def run(monkeypatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["gpu.py", *words])
    return gpu.main()


def test_without_a_gpu_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert run(monkeypatch) == 0
    out = capsys.readouterr().out
    assert out.startswith("no GPU is at hand")
    assert out.count("\n") == 1


def test_it_compares_and_measures(monkeypatch, tmp_path, capsys):
    words = ("--only", "raw", "--cells", "2", "--ranks", "--no-compiled", "--device", "cpu")
    assert run(monkeypatch, *words, "--json", str(tmp_path / "gpu.json")) == 0
    record = json.loads((tmp_path / "gpu.json").read_text())
    assert {check["structure"] for check in record["checks"]} == set(gpu.structures())
    assert all(check["difference"] == 0.0 for check in record["checks"])
    (times,) = record["times"].values()
    assert min(times.values()) > 0.0
    assert "raw, TorchScript" in capsys.readouterr().out


def test_another_model_fails(monkeypatch, tmp_path):
    first = gpu.save("raw", tmp_path)
    monkeypatch.setitem(gpu.MODELS, "other", ("edges", gpu.schnet))
    checks = gpu.same_results("raw", first, gpu.save("other", tmp_path), "cpu")
    assert {check.structure: check.verdict for check in checks}["crystal"] == "fail"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_each_input_is_copied_once_from_pinned_memory(tmp_path):
    checks = list(gpu.copies(gpu.save("edges", tmp_path), "cuda", 2))
    assert all(check.passed for check in checks), checks
