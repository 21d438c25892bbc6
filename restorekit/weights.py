"""Weights of networks: written and read as safetensors, checked against a checksum, never executed.

A pickle can run any program when it is opened. Published checkpoints are pickles; they are read only on request and only by
torch's restricted reader, which builds tensors and plain containers and refuses everything else.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor

from ._check import fail

_OURS, _PUBLISHED = ".safetensors", (".pth", ".pt", ".pkl", ".ckpt", ".bin")
_METADATA = "restorekit"  # one entry with JSON: several would be written in an order that changes from run to run

Rename = Mapping[str, str] | Callable[[str], str | None]


def save_weights(path: str | os.PathLike[str], state_dict: Mapping[str, Tensor], *, metadata: Mapping[str, Any] | None = None) -> str:
    """Write a state_dict as .safetensors and return the file's SHA-256; equal tensors and metadata give equal bytes.

    metadata: anything that JSON can hold (training pictures, settings), read again by `read_metadata`. The file appears whole
    or not at all. Raises ValueError (suffix), TypeError (a value that is no tensor, metadata beyond JSON), FileNotFoundError.
    """
    path = Path(path)
    if path.suffix != _OURS:
        fail(f"the file name {path.name}", f"a name that ends in {_OURS}", f"use {path.stem}{_OURS}")
    if not path.parent.is_dir():
        fail(f"the folder {path.parent}, which does not exist", "an existing folder", "create it first", FileNotFoundError)
    _check_tensors(state_dict, path.name)
    # clones: tied weights share memory, which the format does not know
    tensors = {name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in state_dict.items()}
    content = to_safetensors(tensors, {_METADATA: json.dumps(dict(metadata or {}), sort_keys=True)})
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_bytes(content)
    os.replace(part, path)
    return hashlib.sha256(content).hexdigest()


def load_weights(
    path_or_name: str | os.PathLike[str], *, sha256: str | None = None, published: bool = False, rename: Rename | None = None
) -> dict[str, Tensor]:
    """The tensors of a weights file on the CPU, ready for `net.load_state_dict`.

    path_or_name: a file, or a file or a folder with one weights file below the folder that RESTOREKIT_WEIGHTS names.
    sha256: the file's checksum, verified before anything is parsed. published: also read .pth, .pt, .pkl, .ckpt, .bin, through
    torch's reader of plain tensors; one enclosing dictionary is opened. rename: old prefix -> new prefix (the longest that fits
    counts), or a function of the name that returns the new one, or None to leave the tensor out.
    Raises FileNotFoundError; ValueError for a wrong checksum, a damaged file, a pickle that holds more than tensors, a pickle
    without published=True, two tensors renamed to one name.
    """
    path = _find(path_or_name)
    content = path.read_bytes()
    _verify(content, sha256, path)
    if path.suffix == _OURS:
        try:
            weights = parse_safetensors(content)
        except SafetensorError as error:
            raise ValueError(f"Got {path}, which is damaged or cut off ({error}). Allowed: a whole file. Fix: copy it again.") from error
    elif path.suffix in _PUBLISHED:
        if not published:
            got = f"{path.name}, a pickle, which could carry code"
            fail(got, f"{_OURS}", "if it is a published checkpoint: published=True reads its plain tensors and nothing else")
        weights = _plain_tensors(content, path)
    else:
        fail(f"the suffix of {path.name}", ", ".join((_OURS, *_PUBLISHED)), "name a weights file")
    return _renamed(weights, rename)


def read_metadata(path_or_name: str | os.PathLike[str]) -> dict[str, Any]:
    """What `save_weights` was given as metadata; {} for a .safetensors file of other origin. Tensors are not read."""
    path = _find(path_or_name)
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if path.suffix != _OURS or length > path.stat().st_size:
            fail(f"{path.name}", f"a whole {_OURS} file", "published checkpoints carry no metadata")
        header = json.loads(file.read(length))
    return json.loads(header.get("__metadata__", {}).get(_METADATA, "{}"))


def shipped(name: str) -> Path:
    """The weights file of a net that comes with the package: `name`.safetensors, in data/weights of the project."""
    package = Path(__file__).resolve().parent
    folders = (package / "_weights", package.parent / "data" / "weights")  # a wheel carries the first, a checkout has the second
    found = next((f for folder in folders if (f := folder / f"{name}{_OURS}").is_file()), None)
    if found is None:
        fix = f"make them: python -m restorekit weights train {name}"
        fail(f"the weights {name!r}, which are not there", "the files in " + " or ".join(map(str, folders)), fix, FileNotFoundError)
        raise AssertionError
    return found


def _find(path_or_name: str | os.PathLike[str]) -> Path:
    root = os.environ.get("RESTOREKIT_WEIGHTS")
    tried = [Path(path_or_name).expanduser()] + ([Path(root) / path_or_name] if root else [])
    for path in tried:
        if path.is_file():
            return path
        inside = sorted(f for f in path.glob("*") if f.suffix in (_OURS, *_PUBLISHED)) if path.is_dir() else []
        if len(inside) == 1:
            return inside[0]
        if inside:
            fail(f"the folder {path} with {len(inside)} weights files", "one file", "name it: " + ", ".join(f.name for f in inside))
    fix = "check the name" if root else "give a path, or set RESTOREKIT_WEIGHTS to the folder with your weights"
    fail(
        f"the weights {str(path_or_name)!r}, found neither as " + " nor ".join(map(str, tried)), "an existing file", fix, FileNotFoundError
    )
    raise AssertionError


def _verify(content: bytes, sha256: str | None, path: Path) -> None:
    if sha256 is None:
        return
    found = hashlib.sha256(content).hexdigest()
    if found != sha256.lower():
        fail(f"{path} with the checksum {found}", f"the SHA-256 {sha256}", "fetch the file again; do not use it if the difference stays")


def _plain_tensors(content: bytes, path: Path) -> dict[str, Tensor]:
    try:
        loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"Got {path}, which asks for more than tensors when it is opened, or is no checkpoint ({reason}). Allowed: plain tensors. "
            "Fix: do not open it otherwise unless you trust its source; then export its state_dict as .safetensors."
        ) from error
    except Exception as error:  # a cut-off archive: RuntimeError, EOFError, OSError, by format
        raise ValueError(f"Got {path}, which is damaged or cut off ({error}). Allowed: a whole file. Fix: copy it again.") from error
    if isinstance(loaded, Mapping) and len(loaded) == 1 and isinstance(only := next(iter(loaded.values())), Mapping):
        loaded = only
    if not isinstance(loaded, Mapping):
        fail(f"{path}, which holds a {type(loaded).__name__}", "a state_dict", "save net.state_dict()")
    _check_tensors(loaded, path.name)
    return dict(loaded)


def _check_tensors(state_dict: Mapping[str, Any], name: str) -> None:
    for key, value in state_dict.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            fail(
                f"{name} with {key!r} of type {type(value).__name__}",
                "names of tensors",
                "keep the state_dict of the network only",
                TypeError,
            )


def _renamed(weights: Mapping[str, Tensor], rename: Rename | None) -> dict[str, Tensor]:
    if rename is None:
        return dict(weights)
    out: dict[str, Tensor] = {}
    for old, value in weights.items():
        new = rename(old) if callable(rename) else _replace_prefix(old, rename)
        if new is None:
            continue
        if new in out:
            fail(f"two tensors renamed to {new!r}", "one name for each", "make the prefixes longer")
        out[new] = value
    return out


def _replace_prefix(name: str, prefixes: Mapping[str, str]) -> str:
    fitting = max((p for p in prefixes if name.startswith(p)), key=len, default=None)
    return name if fitting is None else prefixes[fitting] + name[len(fitting) :]
