"""Files and folders with one thing wrong: damaged as a disk does, or forged so that their hash is right."""

from __future__ import annotations

import json
import shutil
import struct

import torch
from jcas_agents import tensor_files
from jcas_experiments.kept import _digest
from safetensors.torch import load, save

ODD = [None, [], {}, True, -1, 0, 1, 3, 1e9, 10**30, float("nan"), "", "a" * 1000, [[]], {"width": 2}, "mesh", "\ud800"]
"""What an entry of a card may be turned into."""


# ---------------------------------------------------------------- safetensors


def parts_of(content):
    """Card and tensors of a file's bytes."""
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["card"]), load(content)


def forged(card, tensors):
    """A file of any card, with the right hash of its tensors if the card has one at all."""
    if tensor_files.HASH in card:
        card = card | {tensor_files.HASH: tensor_files.tensor_hash(tensors)}
    return save(tensors, {"card": json.dumps(card)})


def _mutated_card(rng, card):
    """A card with one entry, or one entry of an entry, changed, dropped or doubled."""
    card = json.loads(json.dumps(card))
    where = card
    while True:
        key = rng.choice(list(where))
        if not (isinstance(where[key], dict) and where[key] and rng.random() < 0.7):
            break
        where = where[key]
    kind = rng.randrange(3)
    if kind == 0:
        where[key] = rng.choice(ODD)
    elif kind == 1:
        del where[key]
    else:
        where[key + "x"] = where.pop(key)
    return card


def forgery(rng, content):
    """A file's bytes with another card or another tensor, and the right hash."""
    card, tensors = parts_of(content)
    if rng.random() < 0.5:
        return forged(_mutated_card(rng, card), tensors)
    name = rng.choice(sorted(tensors))
    value = tensors[name]
    tensors[name] = rng.choice(
        [value * torch.nan, value.double(), value[None], value.reshape(-1)[:-1], value.to(torch.bool), value[:0]]
        if value.ndim
        else [value * torch.nan, value.double(), value[None], value.to(torch.bool), -value, value * 1e30]
    ).contiguous()
    return forged(card, tensors)


def mutated(rng, content):
    """A file's bytes with one thing wrong."""
    kind = rng.randrange(7)
    header = 8 + struct.unpack("<Q", content[:8])[0]
    data = bytearray(content)
    if kind == 0:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        data[rng.randrange(header)] = rng.randrange(256)
    elif kind == 2:
        del data[rng.randrange(len(data)) :]
    elif kind == 3:
        place = rng.randrange(header)
        data[place : place + rng.randrange(1, 40)] = rng.randbytes(rng.randrange(40))
    elif kind == 4:
        data[:8] = struct.pack("<Q", rng.choice([0, 1, header, 2**31, 2**63, 2**64 - 1, len(data)]))
    else:
        return forgery(rng, content)
    return bytes(data)


# ---------------------------------------------------------------- JSON


def mutated_json(rng, node):
    """JSON with one entry somewhere in it replaced by something of any kind."""
    if isinstance(node, dict | list) and node and rng.random() < 0.85:
        key = rng.choice(sorted(node)) if isinstance(node, dict) else rng.randrange(len(node))
        if rng.random() < 0.15:
            del node[key]
        else:
            node[key] = mutated_json(rng, node[key])
        return node
    return rng.choice([None, True, -1, 1.5, float("nan"), 10**400, "x", "[/b]", [], [1, 2], {}, {"shape": [-1]}])


def forged_rows(rng, content):
    """Kept rows with one entry changed, and the right hash of the forgery."""
    whole = json.loads(content)
    del whole["sha256"]
    part = rng.choice(["rows", "rows", "rows", "made_by"])
    whole[part] = mutated_json(rng, whole[part])
    return json.dumps({"sha256": _digest(whole), **whole}).encode()


# ---------------------------------------------------------------- folders


def _flipped(rng, data):
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _rewritten(rng, data):
    data[rng.randrange(min(len(data), 4000))] = rng.randrange(256)


def _cut(rng, data):
    del data[rng.randrange(len(data)) :]


def _noisy(rng, data):
    place = rng.randrange(len(data))
    data[place : place + rng.randrange(1, 40)] = rng.randbytes(rng.randrange(40))


def _longer(rng, data):
    data += rng.randbytes(rng.randrange(1, 40))


def _other_things(rng, path, others):
    """Put something else in the place of a file; says what."""
    other = rng.choice(others).read_bytes()
    path.unlink()
    what = {
        "gone": lambda: None,
        "empty": lambda: path.write_bytes(b""),
        "another file": lambda: path.write_bytes(other),
        "folder": path.mkdir,
        "link to nothing": lambda: path.symlink_to("nowhere"),
        "link to itself": lambda: path.symlink_to(path.name),
    }
    kind = rng.choice(sorted(what))
    what[kind]()
    return kind


def damage(rng, folder):
    """Do one thing to one file or folder of a run, as disks, people and other programs do; says what."""
    found = sorted(folder.rglob("*"))
    path = rng.choice(found)
    name = path.relative_to(folder)
    if path.is_dir():
        shutil.rmtree(path)
        path.write_bytes(b"a file")
        return f"{name}: file"
    data = bytearray(path.read_bytes())
    change = rng.choice([_flipped, _flipped, _rewritten, _cut, _noisy, _longer, None])
    if change is None or not data:
        return f"{name}: {_other_things(rng, path, [other for other in found if other.is_file()])}"
    change(rng, data)
    path.write_bytes(data)
    return f"{name}: {change.__name__}"
