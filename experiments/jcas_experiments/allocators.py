"""Allocators of a scenario by the names that the command line takes."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from traceback import extract_tb
from typing import Any

from jcas_agents.agent import as_allocator

from jcas_env import JCASVectorEnv
from jcas_env.checks import require, suggest
from jcas_env.scenarios.scenario import Scenario

RESERVED = ("yardstick", "(yardstick)")
"""Names under which a comparison holds its yardstick."""


@dataclass(frozen=True)
class Roster:
    """The allocators of one scenario."""

    allocators: dict[str, tuple[Callable[[], Any], str]]
    """Constructor and one-line description by name."""
    default: tuple[str, ...]
    """What ``jcas compare`` shows when it is not told otherwise."""
    reference: str
    """Allocator to which utilities are related."""
    yardstick: Callable[[], Any] | None = None
    """Solver that, given the truth, finds the best allocation that is known and bounds all others."""
    by_reward: dict[str, tuple[tuple[str, ...], str]] = field(default_factory=dict)
    """Default allocators and reference of rewards for which they are others, and which have no yardstick."""
    shipped: dict[str, str] = field(default_factory=dict)
    """Shipped policy by reward, for which the name ``learned`` stands."""
    beside: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Simple rules and short searches by reward, without which no learned policy is shown (spec learning 6)."""
    learned: tuple[str, ...] = ("learned", "learned-delay", "learned-local")
    """Names of learned policies."""

    always: tuple[str, ...] = ()
    """Names that are always compared: those of policies from files, and of a reference that is asked for."""

    def for_task(self, config: Any) -> Roster:
        """The roster under a configuration's reward: shipped policy, rules beside it, defaults and reference."""
        reward, here = getattr(config, "reward", ""), self
        if reward in self.shipped:
            policy = self.shipped[reward]
            entry = (partial(learned_policy, policy), f"shipped policy {policy}")
            here = replace(self, allocators={**self.allocators, "learned": entry})
        here = replace(here, beside={reward: self.beside.get(reward, ())})
        if reward not in self.by_reward:
            return here
        default, reference = self.by_reward[reward]
        return replace(here, default=default, reference=reference, yardstick=None)

    def with_policies(self, files: Sequence[Path]) -> Roster:
        """The roster with shipped policies and such from files, named after them.

        Raises as :func:`.checkpoint.load_policy` does.
        """
        named: dict[str, tuple[Callable[[], Any], str]] = {}
        for file in sorted(files, key=lambda file: bool(file.suffix)):  # shipped ones have no other name
            if not file.suffix:
                named[str(file)] = (partial(_same, learned_policy(str(file))), f"shipped policy {file}")
                continue
            require(file.suffix == ".safetensors", f"`--policy` takes a .safetensors file, got {file}")
            taken, short = {*self.allocators, *named, *RESERVED}, file.with_suffix("")
            # The shortest name that nobody has: file, folder and file, whole path.
            labels = (short.name, "/".join(short.parts[-2:]), str(short))
            name = next((label for label in labels if label not in taken), str(file))
            named[name] = (partial(_same, learned_policy(str(file))), f"policy {file}")
        # A policy from a file is measured against the simplest rule and the reference, unless somebody asks for more.
        first = dict.fromkeys((self.default[0], self.reference)) if named else self.default
        return replace(
            self,
            allocators={**self.allocators, **named},
            default=tuple(first),
            learned=(*self.learned, *named),
            always=tuple(named),
        )

    def with_own(self, text: str | None) -> Roster:
        """The roster with the allocators of a list that are named ``module:Name``, see :func:`own_allocator`."""
        own = [name.strip() for name in (text or "").split(",") if is_own(name)]
        named = {name: (partial(_same, own_allocator(name)), "the user's own") for name in own}
        return replace(self, allocators={**self.allocators, **named})

    def related_to(self, name: str | None) -> Roster:
        """The roster with another reference, which is then always compared; None leaves the task's own.

        Raises ``ValueError`` for an unknown name, with the nearest known one.
        """
        if name is None:
            return self
        self.require_known(name)
        return replace(self, reference=name, always=(*self.always, name))

    def require_known(self, name: str) -> None:
        """Raise ``ValueError`` for an unknown name, with the nearest known one."""
        require(name in self.allocators, f"unknown allocator {name!r}: {suggest(name, list(self.allocators))}")

    def select(self, text: str | None) -> list[str]:
        """Names from a list separated by commas, or the default ones.

        Beside a learned policy stand the yardsticks of the task, named or not. Raises ``ValueError`` for an empty list
        and for an unknown name, with the nearest known one.
        """
        names = list(self.default) if text is None else [name.strip() for name in text.split(",") if name.strip()]
        require(bool(names), f"`--allocators` is empty; known: {', '.join(self.allocators)}")
        for name in names:
            self.require_known(name)
        names += self.always
        needed = [name for group in self.beside.values() for name in group] if set(names) & set(self.learned) else []
        return list(dict.fromkeys([*names, *needed]))

    def make(self, name: str) -> Any:
        """Build the allocator of a known name."""
        return self.allocators[name][0]()


def learned_policy(name: str) -> Any:
    """A shipped policy, or one in a file; torch is imported only here."""
    from jcas_agents.learned import LearnedAllocator

    return LearnedAllocator.load(name)


def identity(allocator: Any) -> str:
    """What an allocator is: its options, or for a policy the hash of its weights."""
    policy = getattr(allocator, "policy", None)
    if policy is None:
        return repr(allocator)
    from jcas_agents.tensor_files import tensor_hash

    return tensor_hash(policy.state_dict())


def refuses(error: Exception) -> bool:
    """Whether an error says that a problem is not for this allocator, as opposed to a fault.

    A refusal is a ``TypeError`` or ``ValueError`` that somebody raised; a ``LinAlgError``, which is a ``ValueError``
    as well, or arrays that do not fit together are none.
    """
    raised = (extract_tb(error.__traceback__)[-1].line or "").startswith("raise")
    return raised and type(error) in (TypeError, ValueError)


def require_portable(roster: Roster, names: Sequence[str], *, shared: bool) -> None:
    """Raise ``ValueError`` that names an allocator which cannot be pickled, where other processes are handed it."""
    for name in names if shared else ():
        try:
            pickle.dumps(roster.make(name))
        except (AttributeError, TypeError, pickle.PicklingError) as error:
            raise ValueError(f"{name} cannot be shared by `--jobs` or `--ray`: {error}") from None


def refuse_now(scenario: Scenario, roster: Roster, names: Sequence[str], *, seed: int) -> None:
    """Let allocators decide once, on the first scene; ``ValueError`` where one says that this is not for it.

    What is refused is refused before the work; other errors come at their turn.
    """
    env = JCASVectorEnv(scenario, num_envs=1)
    observation, _ = env.reset(seed=seed)
    refused = []
    for name in names:
        allocator = as_allocator(roster.make(name))
        try:
            allocator.decide(env, observation)
        except ModuleNotFoundError:
            raise
        except Exception as error:
            if refuses(error):
                refused.append(f"{name}: {error}")
    if refused:
        raise ValueError("\n".join(refused))


def _same(allocator: Any) -> Any:
    """Constructor of what has been built already."""
    return allocator


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
