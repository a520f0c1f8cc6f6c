"""Whose day is this? Users against what is done, with what others do as the counter-example.

After Facade (Kantchelian et al. 2024): a vector for the user and one for what was done are drawn
together where they met in training and apart where they did not. It needs no odd windows: what
is usual for others is what is odd for this user.

No postponed annotations in this file: TorchScript reads those of the buffers.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from riskml.core.errors import DataError, require
from riskml.core.types import FeatureSpec, Windows
from riskml.models.batches import BatchLoader, to_tensors
from riskml.models.deep import DeepDetector, NetworkInputs, TrainingSettings
from riskml.models.networks import DetectorNetwork, UserView, check_architecture
from riskml.models.tables import Kinds

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 0.99, 0.997, 0.999)
"""Quantiles of the train windows between which a feature's value is a thing of its own."""

DERIVED = ("action_embedding", "history", "peer")
"""Families that say again, in other words, what actions and the other features say."""

REFERENCES = 1024
"""Users at most that a window is compared with in scoring."""

ACTIONS = "action_embedding"
"""Topic of the share that the window's actions have."""


def looked_at(spec: FeatureSpec) -> list[int]:
    """Columns that the network looks at."""
    return [i for i, feature in enumerate(spec.features) if feature.family not in DERIVED]


class Things(nn.Module):
    """What a window holds: its actions, and of each feature the level that its value has.

    Args:
        spec: names columns and actions.
    """

    columns: Tensor
    edges: Tensor
    places: Tensor

    def __init__(self, spec: FeatureSpec) -> None:
        super().__init__()
        columns = looked_at(spec)
        self.actions, self.levels = len(spec.actions), len(LEVELS) + 1
        self.size = self.actions + len(columns) * self.levels
        self.register_buffer("columns", torch.tensor(columns, dtype=torch.long))
        self.register_buffer("edges", torch.zeros(len(columns), len(LEVELS)))
        places = torch.zeros(len(spec) + 1, dtype=torch.long)
        places[[*columns, len(spec)]] = torch.arange(1, len(columns) + 2)
        self.register_buffer("places", places)

    def forward(self, x: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
        """How much of each thing a window holds, [n, things]: log2(1 + times), 1 for a level."""
        valid = torch.arange(tokens.size(1), device=tokens.device) < lengths.unsqueeze(1)
        times = torch.zeros(x.size(0), self.actions, device=x.device)
        times = times.scatter_add(1, tokens, valid.to(times.dtype))
        values = x.index_select(1, self.columns).t().contiguous()
        level = one_hot(torch.searchsorted(self.edges, values).t(), self.levels)
        return torch.cat([torch.log2(1.0 + times), level.flatten(1).to(times.dtype)], 1)

    def pooled(self, shares: Tensor) -> Tensor:
        """[n, things] added up by feature, then those of all actions, [n, d + 1].

        Without index_add, with which ONNX Runtime's threads overwrite each other's sums.
        """
        actions = shares[:, : self.actions].sum(1, keepdim=True)
        looked = shares[:, self.actions :].reshape(shares.size(0), -1, self.levels).sum(2)
        found = torch.cat([torch.zeros_like(actions), looked, actions], 1)
        return found.index_select(1, self.places)

    def log_share(self, met: Tensor) -> Tensor:
        """Log of each thing's share among all actions or all levels of its feature, [things]."""
        level = met[self.actions :].view(-1, self.levels)
        shares = [
            met[: self.actions] / met[: self.actions].sum(),
            (level / level.sum(1, keepdim=True)).flatten(),
        ]
        return torch.cat(shares).log()


class ContrastiveNetwork(DetectorNetwork):
    """Likeness of users and things; in scoring a likelihood ratio by Bayes' rule."""

    references: Tensor
    log_share: Tensor

    def __init__(
        self,
        inputs: NetworkInputs,
        user_dim: int,
        top_k: int,
        temperature: float,
        population_weight: float,
    ) -> None:
        if inputs.n_users < 2:
            raise DataError("the contrastive detector needs the windows of several users")
        super().__init__(UserView(inputs.n_users, user_dim), 0.0)
        self.top_k, self.temperature = top_k, temperature
        self.population_weight = population_weight
        self.things = Things(inputs.spec)
        self.vectors = nn.Parameter(torch.randn(self.things.size, user_dim) * 0.1)
        references = min(inputs.n_users, REFERENCES)
        places = torch.linspace(1, inputs.n_users, references).round().long()
        self.register_buffer("references", places)
        self.register_buffer("log_share", torch.zeros(self.things.size))

    def likeness(self, about: Tensor) -> Tensor:
        """[n, user_dim] users → [n, things]."""
        alike: Tensor = about @ self.vectors.t() / self.temperature
        return alike

    def loss(
        self, x: Tensor, tokens: Tensor, times: Tensor, lengths: Tensor, user: Tensor
    ) -> Tensor:
        """[n]: −log of the chance to tell the user from others of the batch by a thing (InfoNCE).

        The mean over the things of the window, those that happen again and again by the logarithm.
        """
        held = self.things(x, tokens, lengths)
        if self.training:
            user = user * (torch.rand(user.shape, device=user.device) >= self.view.dropout)
        like = self.likeness(self.view.table(user))
        highest = like.max(0).values.detach()
        weight = torch.exp(like - highest)
        others = (user.unsqueeze(1) != user.unsqueeze(0)).to(like.dtype) @ weight
        surprise = highest + torch.log(weight + others) - like
        mean: Tensor = (held * surprise).sum(1) / held.sum(1).clamp(min=1.0)
        return mean

    def surprise(self, user: Tensor) -> Tensor:
        """[n, things]: −log p(thing | user) + population_weight · log p(thing), in nats."""
        known = torch.logsumexp(self.likeness(self.view.table(self.references)), 0)
        known = known - torch.log(torch.tensor(float(self.references.size(0)), device=user.device))
        ratio = known - self.likeness(self.view.table(user))
        return ratio - (1.0 - self.population_weight) * self.log_share

    @torch.jit.export
    def contributions(
        self, x: Tensor, tokens: Tensor, times: Tensor, lengths: Tensor, user: Tensor
    ) -> Tensor:
        """Share of each feature, then of all actions together, [n, d + 1]."""
        held = self.things(x, tokens, lengths)
        surprise = held * self.surprise(user)
        chosen = held > 0
        if self.top_k > 0:
            ranked = surprise.masked_fill(~chosen, -float("inf"))
            places = ranked.topk(min(self.top_k, ranked.size(1)), 1).indices
            chosen = chosen & torch.zeros_like(chosen).scatter(1, places, True)
        return self.things.pooled(surprise * chosen / chosen.sum(1, keepdim=True).clamp(min=1))


class ContrastiveDetector(DeepDetector):
    """Scores a window by how badly the things in it fit its user.

    A thing is an action, or the level of a feature's value, up to fourteen of each. Features of
    `DERIVED` families are not looked at. Training
    tells by each thing who of a batch's users did it; by Bayes' rule that is its likelihood for
    the user against that for all. With `population_weight` 1 the score is this ratio: who acts as
    somebody else would. Below 1 it also holds how rare a thing is for anyone, which others'
    windows alone cannot teach; 0 is the plain likelihood.

    Args:
        user_dim: length of the vectors of users and things.
        top_k: things that make the score; 0 takes the mean of all, so that what fits the user
            well makes up for what does not.
        temperature: divides likenesses; the higher, the more users are taken to be alike.
        population_weight: how much of what is unusual for anyone is taken off, 0 to 1.
        training: optimiser, batches, epochs, seed.
        contamination: share of odd rows that is expected; sets `threshold_`.
        kinds: kinds of a table's columns by name, where they are not to be inferred.

    Raises:
        ConfigError: a number is out of range.
    """

    def __init__(
        self,
        user_dim: int = 32,
        top_k: int = 0,
        temperature: float = 0.1,
        population_weight: float = 0.5,
        training: TrainingSettings | None = None,
        contamination: float = 0.1,
        kinds: Kinds | None = None,
    ) -> None:
        super().__init__(training, contamination, kinds)
        sizes = {"user_dim": user_dim, "top_k": top_k, "population_weight": population_weight}
        check_architecture(sizes)
        require("user_dim", user_dim, user_dim >= 1, "must be at least 1")
        require("temperature", temperature, temperature > 0, "must be above 0")
        self.architecture = {**sizes, "temperature": temperature}

    def build_network(self, inputs: NetworkInputs) -> DetectorNetwork:
        """The untrained network."""
        return ContrastiveNetwork(inputs, **self.architecture)

    def count_first(self, windows: Windows) -> None:
        """Levels of features, and how often each thing is met."""
        network = self.network
        assert isinstance(network, ContrastiveNetwork)
        things, rows = network.things, self.training_settings.score_batch_size
        looked = windows.x[:, looked_at(windows.spec)]
        edges = np.quantile(looked, LEVELS, axis=0, method="lower").T
        things.edges.copy_(torch.from_numpy(np.ascontiguousarray(edges)))
        met = torch.full((things.size,), 0.5)
        for [(x, tokens, _, lengths, _)] in BatchLoader(to_tensors(windows, self.users_), rows):
            met += things(x, tokens, lengths).sum(0)
        network.log_share.copy_(things.log_share(met))

    def topics(self) -> list[str]:
        """Feature topics, then the actions."""
        return [*(feature.topic for feature in self.spec_.features), ACTIONS]
