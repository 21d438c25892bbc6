"""`restorekit weights list | train NAME | check`: the small nets that ship, made again by one command."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

from . import UserError, user_input

SIZES = ("smoke", "quick", "full")
SAVE_EVERY = 30.0  # seconds between saved states
SHOW_EVERY = 60.0  # seconds between lines of a log
# in the weights file itself
_METADATA = ("net", "scale", "channels", "features", "layers", "size", "guided", "sigma_in_data", "steps", "widths", "noise_features")


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("weights", help="list, train and check the small nets that ship", description=__doc__)
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    actions.add_parser("list", help="the weights that ship: net, size of the file, training, checksum").set_defaults(run=_list)
    action = actions.add_parser("train", help="make weights anew; a stopped or killed run goes on where it was")
    action.add_argument("name")
    action.add_argument("--size", choices=SIZES, default="smoke", help="smoke (seconds), quick (minutes), full; changes the steps only")
    action.add_argument("--steps", type=int, metavar="N", help="another number of steps")
    action.add_argument("--seed", type=int, default=0, help="of all random numbers (default 0)")
    action.add_argument("--device", default="cpu", help="cpu (one thread), cuda, cuda:1 ... (default cpu)")
    action.add_argument(
        "--store", type=Path, default=Path("results/weights"), help="folder of the unfinished run (default results/weights)"
    )
    action.add_argument("--out", type=Path, help="folder of the result (default: the store; data/weights replaces what ships)")
    action.set_defaults(run=_train)
    action = actions.add_parser("check", help="is each file whole, loadable and trained on no picture of a test set?")
    action.set_defaults(run=_check)


def _train(args: argparse.Namespace) -> int:
    import torch

    from .._processes import process, together
    from ..experiments import recipes

    with user_input():
        recipe = recipes.load(args.name)
        if args.steps is not None and args.steps < 1:
            raise UserError(f"Got --steps {args.steps}. Allowed: 1 or more. Fix: leave it out.")
    torch.set_num_threads(1)
    with together(args.device) as device:
        with user_input():
            if process()[1] > 1 and not getattr(recipe, "PARALLEL", False):
                raise UserError(f"Got several processes for {args.name}. Allowed: one. Fix: start it without torchrun.")
            learner = recipe.learner(args.name, args.size, steps=args.steps, seed=args.seed, device=device)
        return _advance(args, recipe, learner, first=process()[0] == 0)


def _advance(args: argparse.Namespace, recipe: Any, learner: Any, *, first: bool) -> int:
    """Run the learner from its saved state, if there is one, to its end; only the first process writes."""
    from ..solvers import load_state, run, save_state

    state = args.store / f"{args.name}_{args.size}_{args.seed}.state"
    if state.exists():
        with user_input():
            load_state(state, learner)
    watch = _Watch(learner, state) if first else None
    result = run(learner, max(0, learner.total_steps - learner.describe()["steps"]), callback=watch, progress=first)
    if first:
        save_state(state, learner)
        _write(args, recipe, learner)
    if result.interrupted:
        print("Stopped; the same command goes on.", file=sys.stderr)
        return 130
    if first:
        state.unlink()
    return 0


def _write(args: argparse.Namespace, recipe: Any, learner: Any) -> None:
    """The weights as they stand and the record beside them."""
    from ..experiments._files import write_json
    from ..weights import save_weights

    about = learner.describe()
    out = args.out or args.store
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{args.name}.safetensors"
    metadata = {k: about[k] for k in _METADATA if k in about}
    digest = save_weights(path, learner.weights(), metadata=metadata)
    command = f"python -m restorekit {' '.join(args.argv)}"
    about = {"sha256": digest, "command": command, **learner.validation(), **about}
    write_json(path.with_suffix(".json"), about)
    print(f"{path}: {about['steps']} of {about['of_steps']} steps, {recipe.summary(about)['scores']}")


class _Watch:
    """Callback of the run: keeps the state, and writes a line now and then where there is no bar."""

    def __init__(self, learner: Any, state: Path) -> None:
        self.learner, self.state = learner, state
        self.saved = self.shown = time.monotonic()

    def __call__(self, step: int, snapshot: Any) -> None:
        from ..solvers import save_state

        now = time.monotonic()
        if now - self.saved >= SAVE_EVERY:
            save_state(self.state, self.learner)
            self.saved = now
        if now - self.shown >= SHOW_EVERY:
            print(f"step {step} of {self.learner.total_steps}, loss {snapshot.mean_loss:.3f}", file=sys.stderr, flush=True)
            self.shown = now


def _list(args: argparse.Namespace) -> int:
    from ..experiments import markdown, recipes

    rows = []
    for name, path, about in _shipped():
        size, net = f"{path.stat().st_size / 1e6:.2f}", about["net"].rpartition(".")[2]
        told = recipes.load(name).summary(about)
        training = f"{about['steps']} steps on {told['on']}, {about['cpu_seconds'] / 60:.1f} CPU min"
        rows.append({"weights": name, "net": net, "MB": size, "training": training, "validation": told["scores"]})
    print(markdown(rows))
    return 0


def _check(args: argparse.Namespace) -> int:
    from ..experiments import recipes

    bad = 0
    for name, path, about in _shipped():
        with user_input():
            problems = recipes.load(name).problems(name, path, about)
        bad += bool(problems)
        print(f"{name}: " + ("; ".join(problems) if problems else f"sound, SHA-256 {about['sha256'][:16]}"))
    if not os.environ.get("RESTOREKIT_DATA"):
        print("RESTOREKIT_DATA is not set: training pictures were not compared with the test sets.")
    print("Scores: python -m restorekit experiments run denoiser --size quick")
    return 1 if bad else 0


def _shipped() -> list[tuple[str, Path, dict[str, Any]]]:
    """Name, file and record of all weights that ship; says which of the recipes' are not there."""
    from ..experiments import recipes
    from ..experiments._files import read_json
    from ..weights import shipped

    found = []
    for name in recipes.names():
        try:
            path = shipped(name)
        except FileNotFoundError:
            print(f"{name}: not here; python -m restorekit weights train {name} --size full --out data/weights", file=sys.stderr)
            continue
        with user_input():
            found.append((name, path, read_json(path.with_suffix(".json"))))
    return found
