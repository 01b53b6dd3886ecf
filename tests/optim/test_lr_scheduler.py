"""Schedules: PyTorch's values, step by step, and PyTorch's errors."""

import math
import warnings

import pytest

import numgrad
from numgrad.optim import lr_scheduler

STEPS = 60

# Schedules inside schedules take steps before the optimizer does, in PyTorch too.
nested_steps = pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")


class Slope:
    """A schedule function with a state of its own."""

    def __init__(self, rate):
        self.rate = rate

    def __call__(self, epoch):
        return 1 / (1 + self.rate * epoch)


def sequential(s, o):
    parts = [s.ConstantLR(o, 0.1, 7), s.ExponentialLR(o, 0.9), s.LinearLR(o, 0.5, 1.0, 9)]
    return s.SequentialLR(o, parts, [10, 30])


def nested(s, o):
    inner = s.SequentialLR(o, [s.ConstantLR(o, 0.1, 3), s.StepLR(o, 4, 0.7)], [5])
    return s.SequentialLR(o, [inner, s.ExponentialLR(o, 0.95)], [20])


SCHEDULES = {
    "lambda": lambda s, o: s.LambdaLR(o, lambda epoch: 0.9**epoch),
    "lambdas": lambda s, o: s.LambdaLR(o, [Slope(0.5), lambda epoch: 1 / (epoch + 1)]),
    "multiplicative": lambda s, o: s.MultiplicativeLR(o, lambda epoch: 1 - 0.01 * epoch),
    "step": lambda s, o: s.StepLR(o, 7, 0.5),
    "multistep": lambda s, o: s.MultiStepLR(o, [5, 30, 30, 41], 0.5),
    "constant": lambda s, o: s.ConstantLR(o, 0.3, 11),
    "linear": lambda s, o: s.LinearLR(o, 0.2, 0.9, 13),
    "linear to zero": lambda s, o: s.LinearLR(o, 1.0, 0.0, 20),
    "exponential": lambda s, o: s.ExponentialLR(o, 0.93),
    "polynomial": lambda s, o: s.PolynomialLR(o, 37, 2.0),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, 17, 0.01),
    "cosine once": lambda s, o: s.CosineAnnealingLR(o, STEPS),
    "restarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 11),
    "growing restarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 4, 2, 0.02),
    "one cycle": lambda s, o: s.OneCycleLR(o, 0.8, total_steps=STEPS),
    "one cycle, linear": lambda s, o: s.OneCycleLR(
        o, [0.8, 0.3], epochs=6, steps_per_epoch=11, anneal_strategy="linear", pct_start=0.1
    ),
    "one cycle, three phases": lambda s, o: s.OneCycleLR(
        o, 0.8, STEPS, three_phase=True, base_momentum=[0.6, 0.5], max_momentum=0.9
    ),
    "one cycle, no momentum": lambda s, o: s.OneCycleLR(o, 0.8, STEPS, cycle_momentum=False),
    "sequential": sequential,
    "nested": nested,
    "chained": lambda s, o: s.ChainedScheduler(
        [s.ConstantLR(o, 0.5, 9), s.ExponentialLR(o, 0.95), s.StepLR(o, 10)]
    ),
}


def make_optimizer(library, kind="SGD", **options):
    if kind == "SGD":
        options.setdefault("momentum", 0.9)
    params = [{"params": [library.zeros(1)], "lr": 0.5}, {"params": [library.zeros(1)]}]
    return getattr(library.optim, kind)(params, lr=0.05, **options)


def rates(library, make, kind="SGD", steps=STEPS, resume=None):
    """Learning rates and momenta, step by step; at step `resume` through saving and loading."""
    optimizer = make_optimizer(library, kind)
    schedule = make(library.optim.lr_scheduler, optimizer)
    history = []
    for step in range(steps):
        if step == resume:
            saved = optimizer.state_dict(), schedule.state_dict()
            optimizer = make_optimizer(library, kind)
            schedule = make(library.optim.lr_scheduler, optimizer)
            optimizer.load_state_dict(saved[0])
            schedule.load_state_dict(saved[1])
        history.append(
            [[group["lr"], group.get("momentum"), group.get("betas")]
             for group in optimizer.param_groups]
        )  # fmt: skip
        assert schedule.get_last_lr() == [group["lr"] for group in optimizer.param_groups]
        optimizer.step()
        schedule.step()
    return history


@nested_steps
@pytest.mark.parametrize("name", SCHEDULES)
def test_values_are_torchs(torch, name):
    make = SCHEDULES[name]
    expected = rates(torch, make)
    assert rates(numgrad, make) == expected
    assert rates(numgrad, make, resume=23) == expected


def test_one_cycle_moves_beta1(torch):
    make = SCHEDULES["one cycle"]
    assert rates(numgrad, make, "Adam") == rates(torch, make, "Adam")


@nested_steps
@pytest.mark.parametrize("name", SCHEDULES)
def test_saved_entries_have_torchs_names(torch, name):
    def saved(library):
        schedule = SCHEDULES[name](library.optim.lr_scheduler, make_optimizer(library))
        state = schedule.state_dict()
        inner = [sorted(s) for s in state.get("_schedulers", [])]
        return sorted(state), inner

    ours, theirs = saved(numgrad), saved(torch)
    assert ours == theirs


@pytest.mark.parametrize(
    "name",
    ["step", "multistep", "constant", "linear", "exponential", "polynomial", "cosine", "lambda",
     "restarts", "growing restarts"],
)  # fmt: skip
def test_going_to_an_epoch(torch, name):
    def run(library):
        optimizer = make_optimizer(library)
        schedule = SCHEDULES[name](library.optim.lr_scheduler, optimizer)
        optimizer.step()
        found = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for epoch in (3, 40, 12, 0, 25):
                schedule.step(epoch)
                found.append(schedule.get_last_lr())
        return found

    assert run(numgrad) == run(torch)


def test_fractions_of_an_epoch(torch):
    def run(library):
        optimizer = make_optimizer(library)
        schedule = library.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 3, 2)
        found = []
        for step in range(40):
            schedule.step(step / 3)
            found.append(schedule.get_last_lr())
        return found

    assert run(numgrad) == run(torch)


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@pytest.mark.parametrize("options", [{}, {"cooldown": 2, "patience": 1}, {"min_lr": [0.1, 0.01]}])
def test_plateau_is_torchs(torch, mode, threshold_mode, options):
    metrics = [math.cos(0.3 * k) + 0.5 ** (k // 7) + 1 for k in range(STEPS)]
    options = {"patience": 2, "factor": 0.5, "threshold": 0.05, **options}

    def run(library, resume=None):
        def make():
            optimizer = make_optimizer(library)
            return library.optim.lr_scheduler.ReduceLROnPlateau(
                optimizer, mode, threshold_mode=threshold_mode, **options
            )

        schedule = make()
        found = []
        for step, metric in enumerate(metrics):
            if step == resume:
                saved = schedule.state_dict(), schedule.optimizer.state_dict()
                schedule = make()
                schedule.load_state_dict(saved[0])
                schedule.optimizer.load_state_dict(saved[1])
            schedule.step(library.tensor(metric, dtype=library.float64))
            found.append([*schedule.get_last_lr(), schedule.num_bad_epochs, schedule.in_cooldown])
        return found, sorted(schedule.state_dict())

    assert run(numgrad) == run(torch)
    assert run(numgrad, resume=30) == run(torch)


def test_a_tensor_as_learning_rate_keeps_its_identity(torch):
    def run(library):
        lr = library.tensor(0.5)
        optimizer = library.optim.SGD([library.zeros(1)], lr=lr)
        schedule = library.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        for _ in range(3):
            optimizer.step()
            schedule.step()
        assert optimizer.param_groups[0]["lr"] is lr
        assert schedule.get_last_lr()[0] is not lr
        plateau = library.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
        for loss in (1.0, 2.0):
            plateau.step(loss)
        return lr.item()

    assert run(numgrad) == pytest.approx(run(torch))


def test_a_schedule_that_is_resumed(torch):
    def run(library):
        optimizer = make_optimizer(library)
        for group in optimizer.param_groups:
            group["initial_lr"] = 1.0
        schedule = library.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10, last_epoch=4)
        found = [schedule.get_last_lr()]
        for _ in range(8):
            optimizer.step()
            schedule.step()
            found.append(schedule.get_last_lr())
        return found

    assert run(numgrad) == run(torch)


def test_resuming_needs_the_initial_rate():
    with pytest.raises(KeyError, match="'initial_lr' is not specified in param_groups"):
        lr_scheduler.StepLR(make_optimizer(numgrad), 3, last_epoch=2)


def test_the_order_of_the_steps_is_watched():
    optimizer = make_optimizer(numgrad)
    schedule = lr_scheduler.StepLR(optimizer, 3)
    with pytest.warns(UserWarning, match="`lr_scheduler.step\\(\\)` before `optimizer.step"):
        schedule.step()
    optimizer.step()
    lr_scheduler.StepLR(optimizer, 3).step()
    with pytest.warns(UserWarning, match="epoch parameter in `scheduler.step"):
        schedule.step(5)
    with pytest.warns(UserWarning, match="use `get_last_lr"):
        schedule.get_lr()


def test_one_cycle_ends():
    optimizer = make_optimizer(numgrad)
    schedule = lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=3)
    for _ in range(3):
        optimizer.step()
        schedule.step()
    with pytest.raises(ValueError, match="Tried to step 4 times. .* total steps is 3"):
        schedule.step()


REFUSED = [
    lambda lib, s, o: s.StepLR(3, 1),
    lambda lib, s, o: s.ReduceLROnPlateau(3),
    lambda lib, s, o: s.OneCycleLR(3, 1.0, 5),
    lambda lib, s, o: s.LambdaLR(o, [abs]),
    lambda lib, s, o: s.MultiplicativeLR(o, 3),
    lambda lib, s, o: s.ConstantLR(o, 1.5),
    lambda lib, s, o: s.LinearLR(o, 0.0),
    lambda lib, s, o: s.LinearLR(o, 0.5, 1.5),
    lambda lib, s, o: s.CosineAnnealingWarmRestarts(o, 0),
    lambda lib, s, o: s.CosineAnnealingWarmRestarts(o, 3, 0),
    lambda lib, s, o: s.CosineAnnealingWarmRestarts(o, 3, 1, "low"),
    lambda lib, s, o: s.OneCycleLR(o, 1.0),
    lambda lib, s, o: s.OneCycleLR(o, 1.0, -3),
    lambda lib, s, o: s.OneCycleLR(o, 1.0, epochs=0, steps_per_epoch=3),
    lambda lib, s, o: s.OneCycleLR(o, 1.0, epochs=2, steps_per_epoch=1.5),
    lambda lib, s, o: s.OneCycleLR(o, 1.0, 5, pct_start=2),
    lambda lib, s, o: s.OneCycleLR(o, 1.0, 5, anneal_strategy="up"),
    lambda lib, s, o: s.OneCycleLR(o, [1.0], 5),
    lambda lib, s, o: s.OneCycleLR(lib.optim.Adagrad([lib.zeros(1)]), 1.0, 5),
    lambda lib, s, o: s.SequentialLR(o, [], []),
    lambda lib, s, o: s.SequentialLR(o, [s.StepLR(o, 1)], [3]),
    lambda lib, s, o: s.SequentialLR(o, [s.ReduceLROnPlateau(o)], []),
    lambda lib, s, o: s.SequentialLR(o, [3], []),
    lambda lib, s, o: s.ChainedScheduler([]),
    lambda lib, s, o: s.ChainedScheduler([s.StepLR(o, 1), s.StepLR(make_optimizer(lib), 1)]),
    lambda lib, s, o: s.ReduceLROnPlateau(o, factor=1.0),
    lambda lib, s, o: s.ReduceLROnPlateau(o, "up"),
    lambda lib, s, o: s.ReduceLROnPlateau(o, threshold_mode="up"),
    lambda lib, s, o: s.ReduceLROnPlateau(o, min_lr=[0.1]),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_torch_refuses_is_refused_likewise(torch, number):
    def refusal(library):
        with pytest.raises((ValueError, TypeError)) as caught:
            REFUSED[number](library, library.optim.lr_scheduler, make_optimizer(library))
        return caught.type, str(caught.value)

    assert refusal(numgrad) == refusal(torch)


def test_a_new_group_after_the_plateau():
    optimizer = make_optimizer(numgrad)
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, min_lr=[0.1, 0.1])
    optimizer.add_param_group({"params": [numgrad.zeros(1)]})
    schedule.step(1.0)
    with pytest.raises(RuntimeError, match="number of param groups in the `optimizer` \\(3\\)"):
        schedule.step(2.0)
