"""The equivariant network as a policy of Stable-Baselines3, on the dict observation: for PPO and for SAC.

Weights are shared by all users, cells and kinds of pairs, so what one user's luck teaches holds for all of them; an MLP
on the flat view learns each of the 147 entries of an action alone. The deterministic action is that of the
:class:`.networks.EquivariantPolicy` inside, which :func:`trained_policy` takes out: it can be saved, loaded and compared
like one that the analytic gradient has trained.
"""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import DiagGaussianDistribution, Distribution
from stable_baselines3.common.policies import MultiInputActorCriticPolicy
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.sac.policies import Actor, MultiInputPolicy
from torch import Tensor, nn

from .equivariant import propose
from .networks import EquivariantPolicy, PolicyShape

KINDS = 4
"""Entries of an action that belong to a user."""


class EquivariantExtractor(BaseFeaturesExtractor):
    """Features of a scene: the network's proposal of an action, before the tanh, then the mean of its users.

    (batch, 4 * users + cells + width). The first part is equivariant, the second invariant under a renaming of users
    and cells. ``shape``: the network's size; the observation is the structured one of the multi-cell scenario.
    """

    def __init__(self, observation_space: spaces.Dict, shape: PolicyShape | None = None) -> None:
        shape = PolicyShape() if shape is None else shape
        users, cells = (int(observation_space[name].shape[0]) for name in ("users", "cells"))  # type: ignore[index]
        self.users = users
        self.entries = KINDS * users + cells
        super().__init__(observation_space, self.entries + shape.width)
        self.network = EquivariantPolicy(shape)

    def forward(self, observation: dict[str, Tensor]) -> Tensor:
        """Features of a batch of observations."""
        proposal, hidden = propose(self.network.parts, observation)
        return torch.cat([proposal, hidden.mean(-2)], dim=-1)


class Split(nn.Module):
    """Features to what actor and critic read: the proposal, and a layer on the scene's mean, which it does not train."""

    def __init__(self, entries: int, width: int, hidden: int = 64) -> None:
        super().__init__()
        self.entries, self.latent_dim_pi, self.latent_dim_vf = entries, entries, hidden
        self.value = nn.Sequential(nn.Linear(width, hidden), nn.Tanh())

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Both."""
        return self.forward_actor(features), self.forward_critic(features)

    def forward_actor(self, features: Tensor) -> Tensor:
        """The proposal."""
        return features[..., : self.entries]

    def forward_critic(self, features: Tensor) -> Tensor:
        """What the value is a linear function of."""
        return self.value(features[..., self.entries :].detach())


class EquivariantActorCritic(MultiInputActorCriticPolicy):
    """Policy of PPO and A2C: a Gaussian around the network's action.

    One standard deviation for each of the four kinds of a user's logits and one for the shares, not one per entry: the
    distribution is equivariant too.
    """

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        kind = {"features_extractor_class": EquivariantExtractor, "ortho_init": False}
        super().__init__(*arguments, **(keywords | kind))

    def _build_mlp_extractor(self) -> None:
        extractor = self.features_extractor
        self.mlp_extractor = Split(extractor.entries, extractor.network.shape.width)  # type: ignore[assignment]

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        self.action_net = nn.Tanh()
        self.log_std = nn.Parameter(torch.full((KINDS + 1,), float(self.log_std_init)))
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

    def _get_action_dist_from_latent(self, latent_pi: Tensor) -> Distribution:
        assert isinstance(self.action_dist, DiagGaussianDistribution)
        users = self.features_extractor.users
        cells = self.features_extractor.entries - KINDS * users
        spread = torch.cat([self.log_std[:KINDS].repeat(users), self.log_std[KINDS:].repeat(cells)])
        return self.action_dist.proba_distribution(self.action_net(latent_pi), spread)


def trained_policy(model: Any) -> EquivariantPolicy:
    """The network of a model that was trained with one of these policies."""
    part = getattr(model.policy, "actor", model.policy)
    return part.features_extractor.network
