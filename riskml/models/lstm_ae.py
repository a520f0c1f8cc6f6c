"""LSTM autoencoder over actions and their times (Srivastava et al. 2015), masked, scriptable."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from riskml.models.deep import DeepDetector, NetworkInputs, TrainingSettings
from riskml.models.likelihoods import action_nll, gaussian_nll
from riskml.models.networks import (
    TIME_WIDTH,
    DetectorNetwork,
    UserView,
    action_embedding,
    check_architecture,
    time_inputs,
)
from riskml.models.tables import Kinds


class SequenceAutoencoderNetwork(DetectorNetwork):
    """Encodes the events into one vector; predicts each from it, the one before and the user.

    With event times an event is its action and, given the action, the gap before it.
    """

    def __init__(
        self,
        inputs: NetworkInputs,
        hidden_size: int,
        latent_dim: int,
        user_dim: int,
        population_weight: float,
        action_dropout: float,
    ) -> None:
        super().__init__(UserView(inputs.n_users, user_dim), population_weight)
        self.embedding = action_embedding(inputs.spec, hidden_size)
        actions, width = self.embedding.weight.shape
        width += TIME_WIDTH if inputs.spec.event_times else 0
        self.encoder = nn.LSTM(width, hidden_size, batch_first=True)
        self.latent = nn.Linear(hidden_size, latent_dim)
        context = latent_dim + self.view.size
        self.decoder = nn.LSTM(width + context, hidden_size, batch_first=True)
        self.action = nn.Linear(hidden_size + context, actions)
        self.gap: nn.Linear | None = None
        if inputs.spec.event_times:
            self.gap = nn.Linear(hidden_size + context + self.embedding.embedding_dim, 2)
        self.action_dropout = action_dropout

    def parts(
        self, x: Tensor, tokens: Tensor, times: Tensor, lengths: Tensor, user: Tensor
    ) -> Tensor:
        """[n, L]: negative log-likelihood of each event over the window's length; 0 on padding.

        Divided by the length, a window's score is its mean surprise an event, so that long
        windows are not suspicious for their length alone.
        """
        action = self.embedding(tokens)
        embedded = action
        if self.gap is not None:
            embedded = torch.cat([action, time_inputs(times)], 2)
        states, _ = self.encoder(embedded)
        last = (lengths - 1).clamp(min=0).view(-1, 1, 1).expand(-1, 1, states.size(2))
        latent = torch.tanh(self.latent(states.gather(1, last).squeeze(1)))
        context = torch.cat([latent, self.view(user)], 1).unsqueeze(1)
        context = context.expand(-1, tokens.size(1), -1)
        before = torch.cat([torch.zeros_like(embedded[:, :1]), embedded[:, :-1]], 1)
        if self.training:
            # without its neighbour in sight the decoder has to ask the latent vector
            keep = torch.rand_like(before[:, :, :1]) >= self.action_dropout
            before = before * keep
        hidden, _ = self.decoder(torch.cat([before, context], 2))
        hidden = torch.cat([hidden, context], 2)
        surprise = action_nll(self.action(hidden), tokens)
        if self.gap is not None:
            mean, log_scale = self.gap(torch.cat([hidden, action], 2)).float().unbind(2)
            gap = gaussian_nll(times[:, :, 0], mean, log_scale.clamp(-3.0, 3.0))
            known = tokens != 0
            known[:, 0] = False  # before the first event there is no gap
            surprise = surprise + gap * known
        return surprise / lengths.clamp(min=1).unsqueeze(1)


class LSTMAutoencoderDetector(DeepDetector):
    """Scores a window by the mean surprise of its events, less what surprises of anyone.

    Args:
        hidden_size: width of encoder and decoder.
        latent_dim: numbers that a sequence is squeezed into.
        action_dropout: share of previous actions hidden from the decoder in training.
        user_dim: length of the per-user vector, 0 for none.
        population_weight: how much of what is unusual for anyone is taken off, 0 to 1.
        training: optimiser, batches, epochs, seed.
        contamination: share of odd rows that is expected; sets `threshold_`.
        kinds: kinds of a table's columns by name, where they are not to be inferred.
    """

    def __init__(
        self,
        hidden_size: int = 64,
        latent_dim: int = 4,
        action_dropout: float = 0.2,
        user_dim: int = 32,
        population_weight: float = 0.5,
        training: TrainingSettings | None = None,
        contamination: float = 0.1,
        kinds: Kinds | None = None,
    ) -> None:
        super().__init__(training, contamination, kinds)
        self.architecture = {
            "hidden_size": hidden_size,
            "latent_dim": latent_dim,
            "action_dropout": action_dropout,
            "user_dim": user_dim,
            "population_weight": population_weight,
        }
        check_architecture(self.architecture)

    def build_network(self, inputs: NetworkInputs) -> DetectorNetwork:
        """The untrained network."""
        return SequenceAutoencoderNetwork(inputs, **self.architecture)

    def topics(self) -> None:
        """The parts are the window's actions, in order."""
