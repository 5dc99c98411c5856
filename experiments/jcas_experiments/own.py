"""What a user brings along: allocators named as ``module:Name``."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from jcas_agents.agent import as_allocator

from jcas_env.checks import require, suggest


def is_own(name: str) -> bool:
    """Whether a name says where an allocator of the user's own is to be found."""
    return ":" in name


def own_allocator(name: str) -> Any:
    """The allocator at ``module:Name``: a class or function without arguments is called, anything else is taken.

    Modules are looked for in the present folder, too. Raises ``ValueError`` that names what is not there, or what
    has none of an allocator's methods; what the module itself raises goes on.
    """
    path, _, attribute = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = import_module(path)
    except ModuleNotFoundError as error:
        missing = error.name or path
        require(not f"{path}.".startswith(f"{missing}."), f"`--allocators {name}`: there is no module {missing!r}")
        raise
    except (ImportError, TypeError, ValueError) as error:
        raise ValueError(f"`--allocators {name}`: {error}") from None
    found = getattr(module, attribute, None)
    known = [other for other in vars(module) if not other.startswith("_")]
    require(found is not None, f"`--allocators {name}`: {path} has no {attribute!r}: {suggest(attribute, known)}")
    made = found() if callable(found) and _makes(found) else found
    try:
        as_allocator(made)
    except TypeError as error:
        raise ValueError(f"`--allocators {name}`: {error}") from None
    return made


def _makes(found: Any) -> bool:
    """Whether something is a class or a function, as opposed to an allocator that can be called."""
    return isinstance(found, type) or not any(hasattr(found, verb) for verb in ("solve", "act", "decide", "predict"))
