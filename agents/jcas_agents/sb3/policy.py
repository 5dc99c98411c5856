"""The equivariant network as a policy of Stable-Baselines3, on the dict observation: for PPO and for SAC.

Weights are shared by all users and cells, so what one user's luck teaches holds for all of them; an MLP on the flat
view learns each entry of an action alone. The deterministic action is that of the :class:`.EquivariantPolicy` inside,
which :func:`trained_policy` takes out: it is saved, loaded and compared like one of the analytic gradient.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from stable_baselines3.common.distributions import DiagGaussianDistribution, Distribution
from stable_baselines3.common.policies import BaseModel, MultiInputActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.sac.policies import LOG_STD_MAX, LOG_STD_MIN, Actor, MultiInputPolicy
from torch import Tensor, nn

from ..policies.equivariant import KINDS, block_members, propose, spread_out
from ..policies.multicell import EquivariantPolicy, PolicyShape


class EquivariantExtractor(BaseFeaturesExtractor):
    """Features of a scene: the network's proposal of an action, before the tanh, then the mean of its users.

    (batch, 4 * users + cells + width). The first part is equivariant, the second invariant under a renaming of users
    and cells. The network is small, as what a million rewards can train; the observation is the dict one of the
    multi-cell scenario, its users numbered cell by cell.
    """

    def __init__(self, observation_space: Any, width: int = 16, layers: int = 1, heads: int = 1) -> None:
        shape = PolicyShape(width, layers, heads)
        self.users, cells = (int(observation_space[name].shape[0]) for name in ("users", "cells"))
        self.entries = KINDS * self.users + cells
        super().__init__(observation_space, self.entries + shape.width)
        self.network = EquivariantPolicy(shape)

    def forward(self, observation: dict[str, Tensor]) -> Tensor:
        """Features of a batch of observations."""
        proposal, hidden = propose(self.network.parts, observation)
        return torch.cat([proposal, hidden.mean(-2)], dim=-1)


class Split(nn.Module):
    """Features (batch, entries + width) to what actor and critic read: the proposal, and a layer on the users' mean.

    The critic's gradient stops at the mean: a value that fits poorly at first would otherwise move the actor's network.
    """

    def __init__(self, entries: int, width: int, hidden: int = 64) -> None:
        super().__init__()
        self.entries, self.latent_dim_pi, self.latent_dim_vf = entries, entries, hidden
        self.value = nn.Sequential(nn.Linear(width, hidden), nn.Tanh())

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """What the actor reads, (batch, entries), and what the critic reads, (batch, hidden)."""
        return self.forward_actor(features), self.forward_critic(features)

    def forward_actor(self, features: Tensor) -> Tensor:
        """The proposal, (batch, entries)."""
        return features[..., : self.entries]

    def forward_critic(self, features: Tensor) -> Tensor:
        """What the value is a linear function of, (batch, hidden)."""
        return self.value(features[..., self.entries :].detach())


class EquivariantActorCritic(MultiInputActorCriticPolicy):
    """Policy of PPO and A2C: a Gaussian around the network's action.

    One standard deviation for each of the four kinds of a user's logits and one for the shares, not one per entry: the
    distribution is equivariant too.
    """

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        kind = {"features_extractor_class": EquivariantExtractor, "ortho_init": False}
        super().__init__(*arguments, **(keywords | kind))

    @property
    def _extractor(self) -> EquivariantExtractor:
        return cast(EquivariantExtractor, self.features_extractor)

    def _build_mlp_extractor(self) -> None:
        extractor = self._extractor
        self.mlp_extractor = Split(extractor.entries, extractor.network.shape.width)  # type: ignore[assignment]

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        self.action_net = nn.Tanh()
        self.log_std = nn.Parameter(torch.full((KINDS + 1,), float(self.log_std_init)))
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

    def _get_action_dist_from_latent(self, latent_pi: Tensor) -> Distribution:
        assert isinstance(self.action_dist, DiagGaussianDistribution)
        spread = spread_out(self.log_std, self._extractor.users, self._extractor.entries)
        return self.action_dist.proba_distribution(self.action_net(latent_pi), spread)


class EquivariantActor(Actor):
    """SAC's actor: a squashed Gaussian around the proposal; its widths, one a kind of entry, depend on the scene."""

    features_extractor: EquivariantExtractor

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **(keywords | {"net_arch": []}))
        shape = self.features_extractor.network.shape
        self.latent_pi, self.mu, self.log_std = nn.Sequential(), nn.Identity(), nn.Identity()  # type: ignore[assignment]
        self.spread = nn.Linear(shape.width, KINDS + 1)
        nn.init.constant_(self.spread.bias, self.log_std_init)

    def get_action_dist_params(self, obs: Any) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Mean before squashing, logarithm of the standard deviation."""
        features = self.extract_features(obs, self.features_extractor)
        entries, users = self.features_extractor.entries, self.features_extractor.users
        spread = self.spread(features[..., entries:]).clamp(LOG_STD_MIN, LOG_STD_MAX)
        return features[..., :entries], spread_out(spread, users, entries), {}


class SceneCritic(BaseModel):
    r"""SAC's critics: functions of observation and action that no renaming of users or cells changes.

    .. math:: Q(o, a) = \frac{1}{U} \sum_u h(o_u, a_u, \bar a_{\mathrm{group}}, \bar a_{\mathrm{cell}}, a_{i(u)})

    with the four logits of a user, their means over group and cell, and the logit of its cell's share.
    """

    def __init__(self, observation_space: Any, action_space: Any, n_critics: int = 2) -> None:
        super().__init__(observation_space, action_space)
        inputs, hidden = int(observation_space["users"].shape[1]) + 3 * KINDS + 1, 64

        def critic() -> nn.Module:
            return nn.Sequential(
                nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, 1)
            )

        self.critics = nn.ModuleList(critic() for _ in range(n_critics))

    def forward(self, obs: dict[str, Tensor], actions: Tensor) -> tuple[Tensor, ...]:
        """Values (batch, 1), one of each critic, of observations and actions (batch, 4 users + cells)."""
        users, mates, neighbours = (obs[name].float() for name in ("users", "group", "cell"))
        count, cells = users.shape[-2], obs["cells"].shape[-2]
        logits = actions[..., : KINDS * count].reshape(-1, count, KINDS)
        share = actions[..., KINDS * count :, None]
        means = [mask @ logits / mask.sum(-1, keepdim=True) for mask in (mates, neighbours)]
        seen = torch.cat([users, logits, *means, block_members(count, cells, users).mT @ share], dim=-1)
        return tuple(critic(seen).mean(-2) for critic in self.critics)


class EquivariantSACPolicy(MultiInputPolicy):
    """Policy of SAC: :class:`EquivariantActor` and :class:`SceneCritic`."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **(keywords | {"features_extractor_class": EquivariantExtractor}))

    def make_actor(self, features_extractor: Any = None) -> Actor:
        """Called by SB3 when it builds the policy."""
        keywords = self._update_features_extractor(self.actor_kwargs, features_extractor)
        return EquivariantActor(**keywords).to(self.device)

    def make_critic(self, features_extractor: Any = None) -> Any:  # noqa: ARG002
        """Called by SB3 when it builds the policy, once for the critics and once for their targets."""
        count = cast(int, self.critic_kwargs["n_critics"])
        return SceneCritic(self.observation_space, self.action_space, count).to(self.device)


def trained_policy(model: Any) -> EquivariantPolicy:
    """The network of an SB3 model that was trained with one of these policies: PPO's own, or that of SAC's actor."""
    part = getattr(model.policy, "actor", model.policy)
    return part.features_extractor.network
