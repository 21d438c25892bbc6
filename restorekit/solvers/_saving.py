"""States on disk: complete or absent, plain tensors and numbers, never pickled code."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from .._check import fail

_FORMAT = "restorekit-state-1"


@runtime_checkable
class Learner(Protocol):
    """A method that owns what it trains: `step` advances it and returns a detached snapshot."""

    def step(self) -> Any: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> Any: ...


def save_state(path: str | os.PathLike[str], obj: Any) -> None:
    """Write a state, a learner or a dict of tensors and numbers to `path`; the file appears complete or not at all.

    obj: a frozen State (any dataclass), a learner (its `state_dict()` is taken), or nested dicts, lists and tuples of
    tensors, numbers, strings and None. Anything else is refused: the file never holds pickled code. TypeError names
    what cannot be saved.
    """
    path = Path(path)
    payload = {"format": _FORMAT, "value": _encode(obj.state_dict() if isinstance(obj, Learner) else obj, "state")}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        torch.save(payload, temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_state(path: str | os.PathLike[str], into: Any = None) -> Any:
    """Read what `save_state` wrote.

    into: a learner (loaded in place and returned), a State class (a new state, on the CPU), a state (a new one, on its
    device), or None (the plain dict, on the CPU). FileNotFoundError or ValueError say what is wrong with the file.
    """
    if not Path(path).is_file():
        fail(f"the path {str(path)!r}, which is no file", "a file written by save_state", "check the path", FileNotFoundError)
    try:
        if not zipfile.is_zipfile(path):
            raise pickle.UnpicklingError("not an archive of torch.save")
        payload = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise ValueError(f"Got {str(path)!r}, which is damaged or not a state. Allowed: a file of save_state. Fix: save again.") from error
    if not isinstance(payload, dict) or payload.get("format") != _FORMAT:
        fail(f"{str(path)!r}, a file of another kind", "a file written by save_state", "use load_weights for weights")
    value = payload["value"]
    if isinstance(into, Learner) and not isinstance(into, type):
        into.load_state_dict(value)
        return into
    return value if into is None else _decode(value, into)


def _encode(value: Any, where: str) -> Any:
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _encode(getattr(value, f.name), f"{where}.{f.name}") for f in fields(value)}
    if isinstance(value, Mapping):
        return {key: _encode(item, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [_encode(item, f"{where}[{i}]") for i, item in enumerate(value)]
        return items if isinstance(value, list) else tuple(items)
    fix = "save generator.get_state()" if isinstance(value, torch.Generator) else "turn it into tensors or numbers (History has to_dict)"
    return fail(
        f"{where} of type {type(value).__name__}", "tensors, numbers, strings, None and dicts, lists, tuples of them", fix, TypeError
    )


def _decode(value: Any, template: Any) -> Any:
    """The saved value in the form of a State class or of an example state."""
    if isinstance(template, type):
        return template(**value)
    if is_dataclass(template):
        kind: Any = type(template)
        return kind(**{name: _decode(item, getattr(template, name)) for name, item in value.items()})
    return value.to(template.device) if isinstance(value, Tensor) and isinstance(template, Tensor) else value
