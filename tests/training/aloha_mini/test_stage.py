"""The stage's loop: the learning rate's schedule, and going on."""

from handover_training.aloha_mini.stage import run_stage, schedule


class Counting:
    """A stage that counts."""

    def __init__(self, steps: int) -> None:
        self.steps, self.rates, self.saved = steps, [], []

    def step(self, rate_share: float) -> None:
        self.rates.append(rate_share)
        self.steps += 1

    def describe(self) -> str:
        return f"{self.steps}"

    def save(self) -> None:
        self.saved.append(self.steps)


def test_learning_rate_rises_then_falls() -> None:
    shares = [step / 100 for step in range(101)]
    rates = [schedule(share) for share in shares]
    top = rates.index(max(rates))
    assert 0 < top < 10
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert 0 < rates[-1] < 0.05


def test_a_stage_goes_on_where_an_earlier_run_stopped() -> None:
    whole, rest, reports = Counting(0), Counting(7), []
    run_stage(whole, 10, every=4, what="test", report=reports.append)
    assert (whole.saved, reports) == ([4, 8, 10], ["4", "8", "10"])
    run_stage(rest, 10, every=4, what="test", report=reports.append)
    assert rest.rates == whole.rates[7:]
    run_stage(Counting(10), 10, every=4, what="test", report=reports.append)
    assert len(reports) == 5
