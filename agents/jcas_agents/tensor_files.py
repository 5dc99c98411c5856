"""Tensors and a card in one safetensors file: what policies and training states are kept in (spec learning 7.8).

The metadata of a file holds the card as JSON; reading never unpickles. The card holds a hash of the tensors, without
which, or with another one, a file is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from jcas_env.checks import require

from .files import write_file
from .runs import brief

HASH = "tensors_sha256"
"""Entry of a card: :func:`tensor_hash` of the tensors beside it."""
LARGEST = 2**28
"""Bytes of the largest file that is read."""
LENGTH = 8
"""Bytes at the beginning of a safetensors file that hold the length of its header, little-endian."""


def tensor_hash(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and values, in the order of the names."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        sha.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
        sha.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()


def write(path: Path, tensors: Mapping[str, Tensor], card: Mapping[str, Any]) -> dict[str, Any]:
    """Write tensors, and a card with their hash in the metadata; returns the card as it is read again."""
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    text = json.dumps({**card, HASH: tensor_hash(plain)})
    write_file(path, save(plain, {"card": text}))
    return json.loads(text)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and card of a file.

    Raises ``ValueError`` in one line for a file that is truncated, changed, pickled or of another kind, and
    ``FileNotFoundError`` for none.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no policy file {path}")
    require(path.stat().st_size <= LARGEST, f"{path} is larger than {LARGEST} bytes: refused")
    content = path.read_bytes()
    pickled = content[:2] in (b"PK", b"\x80\x02", b"\x80\x04", b"\x80\x05")
    require(not pickled, f"{path} is a pickle or zip file: refused")
    try:
        card, tensors = _card(content), load(content)
    except (SafetensorError, ValueError, TypeError, LookupError, RuntimeError) as error:
        raise ValueError(f"{path} is no whole checkpoint of this project: {brief(error, str)}") from None
    require(HASH in card, f"{path} holds no hash of its tensors, as files of earlier versions: train it again")
    require(card[HASH] == tensor_hash(tensors), f"{path} has been changed or damaged: its tensors have another hash")
    return tensors, card


def _card(content: bytes) -> dict[str, Any]:
    """Card in the header; ``ValueError``, ``TypeError`` or ``KeyError`` where there is none."""
    length = int.from_bytes(content[:LENGTH], "little")
    try:
        card = json.loads(json.loads(content[LENGTH : LENGTH + length])["__metadata__"]["card"])
    except RecursionError:
        raise ValueError("its card is nested too deeply") from None
    require(isinstance(card, dict), f"its card is no mapping, got {brief(card)}")
    return card


def require_like(name: Path | str, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raise ``ValueError`` unless tensors have the names, shapes and types of others, and are finite.

    ``name``: what is read, for the message. The values of ``expected`` are not looked at.
    """
    odd = sorted(tensors.keys() ^ expected.keys())
    what = "lacks" if odd and odd[0] in expected else "has an unknown"
    require(not odd, f"{name} {what} tensor {brief(odd[:1])[1:-1]}")
    for key, value in sorted(tensors.items()):
        mine, wanted = ((item.dtype, list(item.shape)) for item in (value, expected[key]))
        require(mine == wanted, f"{name} holds {key} as {mine[0]} {mine[1]}, not as {wanted[0]} {wanted[1]}")
        require(not value.is_floating_point() or bool(value.isfinite().all()), f"{name} holds {key} with NaN or inf")


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor], prefix: str) -> None:
    """Give an optimiser of Adam's kind its moments, named ``PREFIX INDEX.MOMENT``; its settings stay as they are.

    Raises ``ValueError`` for moments that no steps lead to.
    """
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith(prefix):
            index, moment = name[len(prefix) :].split(".")
            least = {"step": 1.0, "exp_avg_sq": 0.0}.get(moment)
            good = least is None or bool((value >= least).all())
            require(good, f"the state holds {name} with {float(value.min()):g}, less than {least}")
            state.setdefault(int(index), {})[moment] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
