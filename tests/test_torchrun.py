"""Two processes under torchrun train the net that one process trains, and only the first writes files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import torch

from restorekit._processes import process, together
from restorekit.images import bundled, save_image
from restorekit.weights import load_weights

ROOT = Path(__file__).resolve().parents[1]
STEPS = 6
WORK = """
import json, sys
import torch
from restorekit import cli
from restorekit._processes import process, together
from restorekit.experiments.recipes import adversarial as recipe
from restorekit.methods.and_trainer import ANDTrainer
from restorekit.nets import RRDB
from restorekit.nets.discriminator import Discriminator
from restorekit.solvers import run

folder, steps = sys.argv[1], int(sys.argv[2])
generator = torch.Generator().manual_seed(0)
pixels = [torch.randint(0, 256, (3, 24, 30), generator=generator, dtype=torch.uint8) for _ in range(3)]


def small(scale, channels=3, *, generator):
    return RRDB(scale, channels=channels, features=4, blocks=1, growth=2, upsampler="shuffle", residual=True, generator=generator)


def noisy(x, G, *, generator, loss=None):
    y = torch.nn.functional.avg_pool2d(x, 2)
    e = 0.1 * torch.randn(y.shape, generator=generator)
    return y + e if loss(y + e) > loss(y - e) else y - e


torch.set_num_threads(1)
with together("cpu") as device:
    rank, processes = process()
    G, D = small(2, generator=generator), Discriminator(3, features=2, levels=2, generator=generator)
    trainer = ANDTrainer(G, pixels, noisy, steps=steps, batch=6, nets=3, patch=16, lr=1e-3, loss="gan", discriminator=D, device=device)
    rows = run(trainer, steps, record={n: lambda s, n=n: getattr(s, n) for n in ("loss", "mean_loss", "loss_d")}).history
    total = sum(v.double().abs().sum().item() for v in trainer.weights().values())
    with open(f"{folder}/{processes}_{rank}.json", "w") as file:
        json.dump({**rows.to_dict()["values"], "total": total}, file)
    recipe.light_rrdb = small
    store, out = f"{folder}/store{processes}", f"{folder}/out{processes}"
    code = cli.main(["weights", "train", "and_classical_x2", "--steps", "3", "--store", store, "--out", out])
    if processes > 1:
        code += cli.main(["weights", "train", "kernel_flow_x1", "--steps", "1", "--store", f"{folder}/other"]) - 2  # refused
sys.exit(code)
"""


def start(script: Path, folder: Path, *launcher: str) -> None:
    """The work by one process, or by those of a launcher; its output is shown if it fails."""
    variables = {"OMP_NUM_THREADS": "1", "RESTOREKIT_DATA": str(folder), "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"}
    command = [sys.executable, *launcher, str(script), str(folder), str(STEPS)]
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def test_two_processes_are_one(tmp_path):
    """Losses to 1e-5 of their size: sums of float32 in another order, and what six steps of Adam make of that. 3 chunks: unequal shares."""
    (tmp_path / "bsds400_color").mkdir()
    for i in range(20):
        save_image(bundled("astronaut")[..., 20 * i : 20 * i + 64, 100:166], tmp_path / "bsds400_color" / f"p{i:02d}.png")
    script = tmp_path / "work.py"
    script.write_text(WORK, encoding="utf-8")
    start(script, tmp_path)
    # --standalone takes a free port
    start(script, tmp_path, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    one, first, second = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("1_0", "2_0", "2_1"))
    assert first == second
    for name in ("loss", "mean_loss", "loss_d", "total"):
        torch.testing.assert_close(torch.tensor(first[name]), torch.tensor(one[name]), rtol=1e-5, atol=0)
    assert len(set(one["loss"])) == len(one["loss"]) == STEPS and one["loss_d"][-1] > 0

    records = [json.loads((tmp_path / f"out{n}" / "and_classical_x2.json").read_text()) for n in (1, 2)]
    assert records[0]["log"]["step"] == records[1]["log"]["step"] == [1, 2, 3]
    torch.testing.assert_close(
        torch.tensor(records[0]["log"]["mean_loss"]), torch.tensor(records[1]["log"]["mean_loss"]), rtol=1e-5, atol=1e-4
    )
    weights = [load_weights(tmp_path / f"out{n}" / "and_classical_x2.safetensors") for n in (1, 2)]
    for name, v in weights[0].items():
        torch.testing.assert_close(v, weights[1][name], rtol=0, atol=1e-4)  # a step of Adam is 1e-3
    assert sorted(p.name for p in (tmp_path / "out2").iterdir()) == ["and_classical_x2.json", "and_classical_x2.safetensors"]
    assert not list((tmp_path / "store2").iterdir()) and not (tmp_path / "other").exists()


def test_alone_nothing_is_joined(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with together("cuda:3") as device:
        assert device == "cuda:3" and process() == (0, 1)
