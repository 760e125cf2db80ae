"""The training loop on a little task of its own: it goes on exactly, and it says why it stops."""

import math

import numpy as np
import pandas as pd
import pytest

from hetero.errors import Cancelled, HeteroError

torch = pytest.importorskip("torch", reason="training needs torch")

from hetero.training.loop import train  # noqa: E402
from hetero.training.pieces import sum_in_pieces  # noqa: E402
from hetero.training.plan import Plan, stage_of  # noqa: E402
from hetero.training.team import Team, join_team  # noqa: E402

ALONE = Team(torch.device("cpu"))


class Line(torch.nn.Module):
    """``y = w x`` with noise on x in training: random numbers matter."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.layer = torch.nn.Linear(4, 1)

    def forward(self, batch):
        x = batch["x"] + 0.1 * batch["noise"] if "noise" in batch else batch["x"]
        loss = ((self.layer(x)[:, 0] - batch["y"]) ** 2).mean()
        return {"loss": loss, "twice": 2 * loss}


class Fit:
    """A task: 50 points of a line in four dimensions, of which 10 are held out."""

    def __init__(self, folder, poison=None, useless=False):
        rng = np.random.default_rng(0)
        self.x = rng.standard_normal((50, 4)).astype(np.float32)
        self.y = (rng.standard_normal(50) if useless else self.x @ [1, 2, 3, 4]).astype(np.float32)
        self.folder, self.poison, self.epoch = folder, poison, 0
        self.items, self.held_out, self.noise, self.in_last_stage = np.arange(40), np.arange(40, 50), 4, True
        self.model = Line()
        self.optimisers = [torch.optim.Adam(self.model.parameters(), lr=0.05)]

    def begin_epoch(self, epoch, progress):
        self.epoch = epoch
        return "the only one"

    def load(self, items, noise, seed):
        batch = {"x": torch.from_numpy(self.x[items]), "y": torch.from_numpy(self.y[items])}
        if self.poison == self.epoch:
            batch["y"] = batch["y"] * math.nan
        return batch if noise is None else batch | {"noise": torch.from_numpy(noise)}

    def keep(self, state):
        torch.save(state, self.folder / "state.pt")

    def kept(self):
        path = self.folder / "state.pt"
        return torch.load(path, weights_only=True) if path.is_file() else None

    def end_epoch(self, epoch):
        pass

    def weights(self):
        return torch.cat([p.detach().ravel() for p in self.model.parameters()])


def trained(folder, plan, progress=lambda *_: None, **choices):
    folder.mkdir(exist_ok=True)
    task = Fit(folder, **choices)
    outcome = train(task, plan, ALONE, folder / "log.csv", progress)
    return task, outcome


def stop_at(step):
    def progress(done, total, message):
        if done == step:
            raise Cancelled

    return progress


@pytest.mark.parametrize("minutes", [0.0, 5.0], ids=["within an epoch", "between epochs"])
def test_a_resumed_training_is_bit_for_bit_the_uninterrupted_one(tmp_path, minutes):
    plan = Plan(epochs=6, batch=7, seed=1, minutes=minutes)
    whole, _ = trained(tmp_path / "whole", plan)
    for step in (3, 15, 26):  # of 36: stopped three times
        with pytest.raises(Cancelled):
            trained(tmp_path / "parts", plan, stop_at(step))
    parts, outcome = trained(tmp_path / "parts", plan)
    assert torch.equal(whole.weights(), parts.weights())
    assert outcome.epoch == 6 and outcome.reason == "all 6 epochs are done"
    logs = [pd.read_csv(tmp_path / name / "log.csv") for name in ("whole", "parts")]
    columns = ["epoch", "step", "stage", "loss", "twice", "held_out"]
    pd.testing.assert_frame_equal(logs[0][columns], logs[1][columns])
    assert logs[1]["seconds"].is_monotonic_increasing


def test_more_epochs_go_on_from_the_last(tmp_path):
    trained(tmp_path / "a", Plan(epochs=3, batch=8))
    more, outcome = trained(tmp_path / "a", Plan(epochs=5, batch=8))
    whole, _ = trained(tmp_path / "b", Plan(epochs=5, batch=8))
    assert outcome.epoch == 5 and torch.equal(more.weights(), whole.weights())


@pytest.mark.parametrize("tail", [b"3,1", b"3,12,the only one,0.5\n", b"\0\0\0\0\0\0", b"3,4,x,1,2,3,4"])
def test_a_log_that_was_cut_short_is_read_to_its_last_whole_row(tmp_path, tail):
    with pytest.raises(Cancelled):
        trained(tmp_path / "parts", Plan(epochs=4, batch=8), stop_at(16))  # of 20, in the last epoch
    with open(tmp_path / "parts/log.csv", "ab") as file:
        file.write(tail)
    trained(tmp_path / "parts", Plan(epochs=4, batch=8))
    trained(tmp_path / "whole", Plan(epochs=4, batch=8))
    logs = [pd.read_csv(tmp_path / name / "log.csv")[["epoch", "step", "loss"]] for name in ("whole", "parts")]
    pd.testing.assert_frame_equal(*logs)


def test_the_clock_may_jump(tmp_path, monkeypatch):
    import time

    days = iter(np.random.default_rng(0).integers(-400, 400, 100_000).tolist())
    monkeypatch.setattr(time, "time", lambda: 1.7e9 + 86400 * next(days))
    jumping, outcome = trained(tmp_path / "jumping", Plan(epochs=3, batch=8, minutes=0.0))
    monkeypatch.undo()
    steady, _ = trained(tmp_path / "steady", Plan(epochs=3, batch=8, minutes=0.0))
    assert torch.equal(jumping.weights(), steady.weights()) and 0 <= outcome.seconds < 600
    assert pd.read_csv(tmp_path / "jumping/log.csv")["seconds"].is_monotonic_increasing


def test_a_batch_in_parts_is_the_same_step(tmp_path):
    whole, _ = trained(tmp_path / "a", Plan(epochs=4, batch=12))
    parts, _ = trained(tmp_path / "b", Plan(epochs=4, batch=12, accumulate=5))
    torch.testing.assert_close(parts.weights(), whole.weights(), rtol=1e-5, atol=1e-6)
    assert not torch.equal(parts.weights(), whole.weights())


def test_what_is_learned_is_the_line(tmp_path):
    task, _ = trained(tmp_path / "a", Plan(epochs=60, batch=8))
    torch.testing.assert_close(task.weights(), torch.tensor([1.0, 2, 3, 4, 0]), atol=0.15, rtol=0)
    log = pd.read_csv(tmp_path / "a/log.csv")
    assert log["held_out"].dropna().iloc[-1] < 0.01 * log["held_out"].dropna().iloc[0]
    np.testing.assert_allclose(log["twice"], 2 * log["loss"], rtol=1e-5)


def test_no_number_stops_the_training_with_the_last_good_weights(tmp_path):
    good, _ = trained(tmp_path / "good", Plan(epochs=3, batch=8))
    task, outcome = trained(tmp_path / "bad", Plan(epochs=9, batch=8), poison=4)
    assert outcome.reason == "the loss became NaN in epoch 4, step 1; the weights of epoch 3 were kept"
    assert outcome.epoch == 3 and torch.equal(task.weights(), good.weights())
    again, outcome = trained(tmp_path / "bad", Plan(epochs=9, batch=8), poison=4)
    assert "became NaN" in outcome.reason and torch.equal(again.weights(), good.weights())
    mended, outcome = trained(tmp_path / "bad", Plan(epochs=9, batch=8))  # the images were to blame
    whole, _ = trained(tmp_path / "whole", Plan(epochs=9, batch=8))
    assert outcome.reason == "all 9 epochs are done" and torch.equal(mended.weights(), whole.weights())


def test_a_held_out_loss_that_no_longer_falls_stops_it(tmp_path):
    _, outcome = trained(tmp_path / "a", Plan(epochs=200, batch=8, patience=4), useless=True)
    log = pd.read_csv(tmp_path / "a/log.csv").dropna(subset="held_out")
    best = int(log["epoch"][log["held_out"].idxmin()])
    assert outcome.epoch == best + 4 < 200
    assert f"in 4 epochs, after epoch {best}" in outcome.reason


def test_pieces_have_the_value_and_gradient_of_the_whole():
    layer = torch.nn.Linear(5, 3, dtype=torch.float64)
    x = torch.randn(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)

    def function(rows, x):
        return (torch.tanh(layer(x[rows])) ** 2).sum()

    rows = [slice(0, 3), slice(3, 4), slice(4, 7)]
    pieces = sum_in_pieces(function, rows, (x,), tuple(layer.parameters()))
    whole = function(slice(0, 7), x)
    wanted = (x, *layer.parameters())
    assert pieces.item() == pytest.approx(whole.item(), rel=1e-12)
    for one, other in zip(torch.autograd.grad(3 * pieces, wanted), torch.autograd.grad(3 * whole, wanted), strict=True):
        torch.testing.assert_close(one, other)
    with torch.no_grad():
        assert sum_in_pieces(function, rows, (x,), ()).item() == pytest.approx(whole.item(), rel=1e-12)


def test_stages_share_the_epochs():
    shares = (0.6, 0.2, 0.2)
    assert [stage_of(epoch, 10, shares) for epoch in range(1, 13)] == [0] * 6 + [1] * 2 + [2] * 4
    assert [stage_of(epoch, 1, shares) for epoch in (1, 2)] == [2, 2]


def test_nonsense_is_refused():
    with pytest.raises(HeteroError, match="'epochs' of a training is 0"):
        Plan(epochs=0, batch=1)
    with pytest.raises(HeteroError, match=r"The device is 'tpu'; this machine has .*cpu"), join_team("tpu"):
        pass
