"""`numgrad.profiler`: what is seen, that nothing stays behind, and that results are the same."""

import json

import pytest

import numgrad as ng
from numgrad.compile.function import CompiledFunction
from numgrad.device import cpu, cuda
from numgrad.kernels import _contract, elementwise
from numgrad.nn import functional as F
from numgrad.nn._hooks import HookedCall
from numgrad.ops import _core
from numgrad.profiler import ProfilerActivity, profile, record_function, schedule


def training(seed=0):
    ng.manual_seed(seed)
    model = ng.nn.Sequential(ng.nn.Linear(4, 8), ng.nn.ReLU(), ng.nn.Linear(8, 3))
    optimizer = ng.optim.SGD(model.parameters(), lr=0.1)
    x, y = ng.randn(5, 4), ng.randint(0, 3, (5,))

    def step(x, y):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step, x, y


def rows(prof, **kwargs):
    return {(row.kind, row.key): row for row in prof.key_averages(**kwargs)}


def check_times(prof):
    total = prof.total()
    assert total["wall"] == pytest.approx(
        total["kernels"] + total["python"] + total["compiling"], abs=1e-6
    )
    assert min(total.values()) >= 0
    own = sum(event.self_cpu_time_total for event in prof.events())
    assert 0 < own <= total["wall"]
    assert all(event.self_cpu_time_total >= 0 for event in prof.events())


def test_eager_step():
    step, x, y = training()
    step(x, y)
    with profile(with_modules=True) as prof:
        for _ in range(3):
            with record_function("step"):
                step(x, y)
    found = rows(prof)
    assert found["kernel", "relu"].count == found["kernel", "relu_backward"].count == 3
    assert found["backward", "AddmmBackward0"].count == 6
    assert found["module", "Linear"].count == 6
    assert found["range", "step"].count == 3
    step_row = found["range", "step"]
    assert step_row.self_cpu_time_total < step_row.cpu_time_total
    check_times(prof)
    operations = rows(prof, group_by_operation=True)
    assert operations["kernel", "linear"].count == 6
    assert operations["kernel", "relu"].count == operations["kernel", "ReluBackward0"].count == 3
    parents = {e.parent.name for e in prof.events() if e.name == "relu_backward"}
    assert parents == {"ReluBackward0"}


def test_compiled_program_runs_launch_by_launch_to_the_same_results():
    plain, x, y = training()
    expected = [plain(x, y).item() for _ in range(8)]
    step, x, y = training()
    step = ng.compile(step)
    found = [step(x, y).item() for _ in range(3)]
    programs = step.programs
    with profile() as prof:
        found += [step(x, y).item() for _ in range(3)]
    found += [step(x, y).item() for _ in range(2)]
    assert found == expected and step.programs == programs
    counted = rows(prof)
    assert counted["program", "step"].count == counted["kernel", "relu"].count == 3
    products = [row.count for (_, name), row in counted.items() if name.startswith("matmul")]
    assert products and sum(products) % 3 == 0
    assert not any(kind == "compile" for kind, _ in counted)
    check_times(prof)


def test_a_failed_check_in_a_program_raises_as_without_a_profiler():
    @ng.compile
    def pick(table, index):
        return table[index]

    table, index = ng.ones(4), ng.tensor([1, 2])
    for _ in range(3):
        pick(table, index)
    with profile(), pytest.raises(IndexError):
        pick(table, ng.tensor([1, 9]))


def test_recording_is_a_row():
    step, x, y = training()
    step(x, y)  # makes what the optimizer keeps
    step = ng.compile(step)
    with profile() as prof:
        step(x, y)
    assert rows(prof)["compile", "recording step"].count == 1
    assert ("kernel", "relu") in rows(prof)


def test_compiling_has_a_row_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMGRAD_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(elementwise.neg, "addresses", {})
    x = ng.ones(3, dtype=ng.float64)
    with profile() as prof:
        ng.neg(x)
    found = rows(prof)
    assert found["compile", "compiling kernels"].count == 1
    assert found["kernel", "neg"].count == 1
    assert (
        found["compile", "compiling kernels"].cpu_time_total > found["kernel", "neg"].cpu_time_total
    )
    monkeypatch.setattr(elementwise.neg, "addresses", {})
    with profile() as prof:
        ng.neg(x)
    assert rows(prof)["compile", "loading kernels"].count == 1


def test_nothing_stays_behind():
    def places():
        return (
            cpu.launch, cpu.run, cpu.empty, _core._launch, _core._empty, cuda.launch,
            HookedCall.__call__, CompiledFunction.__call__, list(_contract.listeners),
        )  # fmt: skip

    before = places()
    with pytest.raises(KeyError), profile(profile_memory=True, with_modules=True):
        raise KeyError
    assert places() == before
    assert cpu.launch is cpu.run is _core._launch


def test_memory():
    with profile(profile_memory=True) as prof:
        with record_function("two"):
            kept = ng.ones(1024) + 1
            for _ in range(4):
                kept + 1
    listener = prof._recorded
    # Two at a time: `ones` and the kept result, or that and one of the four.
    assert listener.peak == 2 * 4096
    assert rows(prof)["kernel", "add"].cpu_memory_usage == 5 * 4096
    assert rows(prof)["range", "two"].cpu_memory_usage == 6 * 4096
    assert "at most 8.00 KiB at once" in prof.key_averages().table()


def test_shapes_lines_and_the_table():
    x, y = ng.ones(2, 3), ng.ones(7)
    x * x
    with profile(record_shapes=True, with_stack=True) as prof:
        x * x
        y * y
        y * y
    by_shape = prof.key_averages(group_by_input_shape=True)
    assert sorted(row.count for row in by_shape) == [1, 2]
    by_line = prof.key_averages(group_by_stack_n=1)
    assert [row.count for row in by_line] == [1, 1, 1]
    assert all(f"{__file__}:" in row.line for row in by_line)
    table = by_shape.table(sort_by="count", row_limit=1)
    assert "[[7], [7], [7]]" in table and "… and 1 rows more" in table
    assert "Wall time" in table and "compiling 0.000us" in table
    with pytest.raises(AttributeError, match="sort_by='speed' is not one of"):
        by_shape.table(sort_by="speed")


def test_chrome_trace(tmp_path):
    step, x, y = training()
    with profile(profile_memory=True) as prof:
        step(x, y)
    prof.export_chrome_trace(tmp_path / "trace.json")
    entries = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    slices = [e for e in entries if e["ph"] == "X"]
    assert {"kernel", "backward"} <= {e["cat"] for e in slices}
    assert all(e["ts"] >= 0 and e["dur"] >= 0 for e in slices)
    outer = next(e for e in slices if e["name"] == "backward()")
    inner = next(e for e in slices if e["name"] == "relu_backward")
    assert outer["ts"] <= inner["ts"] <= inner["ts"] + inner["dur"] <= outer["ts"] + outer["dur"]
    assert {e["name"] for e in entries if e["ph"] == "C"} == {"memory of tensors"}


def test_schedule():
    ready = []
    plan = schedule(wait=1, warmup=1, active=2, repeat=2)
    names = [plan(k).name[:6] for k in range(9)]
    assert names == ["NONE", "WARMUP", "RECORD", "RECORD"] * 2 + ["NONE"]
    with profile(schedule=plan, on_trace_ready=lambda p: ready.append(rows(p))) as prof:
        for k in range(9):
            ng.ones(2) * k
            prof.step()
    assert len(ready) == 2
    assert [row["kernel", "mul"].count for row in ready] == [2, 2]
    assert ("range", "ProfilerStep#6") in ready[1]
    with pytest.raises(ValueError, match="active=0"):
        schedule(wait=0, warmup=0, active=0)


def test_one_at_a_time_and_not_before_the_end():
    with profile() as prof:
        with pytest.raises(RuntimeError, match="one at a time"):
            profile().start()
        with pytest.raises(RuntimeError, match="its block has to end first"):
            prof.events()


def test_record_function_without_a_profiler_and_as_a_decorator():
    @record_function("twice")
    def twice(x):
        return x * 2

    assert twice(ng.ones(1)).item() == 2
    with profile() as prof:
        twice(ng.ones(1))
    assert rows(prof)["range", "twice"].count == 1


def test_kernels_on_a_gpu():
    pytest.importorskip("greenlet", reason="the CUDA simulator needs greenlet")
    from numgrad.device._simulator import Simulator

    old = cuda.use(Simulator())
    try:
        x = ng.ones(4, device="cuda")
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as prof:
            x + x
        with profile(activities=[ProfilerActivity.CPU]) as without:
            x + x
    finally:
        cuda.use(old)
    row = rows(prof)["launch", "add"]
    assert row.device_time_total > 0
    assert "GPU total" in prof.key_averages().table()
    assert rows(without)["launch", "add"].device_time_total == 0
    assert cuda.launch is cuda.run and cuda.run.__module__ == "numgrad.device.cuda"


def test_a_program_on_a_gpu_is_one_launch():
    pytest.importorskip("greenlet", reason="the CUDA simulator needs greenlet")
    from numgrad.device._simulator import Simulator

    old = cuda.use(Simulator())
    try:
        x = ng.ones(4, device="cuda")
        function = ng.compile(lambda x: (x + x) * x)
        for _ in range(3):
            function(x)
        with profile(profile_memory=True) as prof:
            result = function(x)
        assert result.cpu().tolist() == [2.0] * 4
    finally:
        cuda.use(old)
    (row,) = [row for (kind, _), row in rows(prof).items() if kind == "launch"]
    assert row.key.startswith("graph of ") and row.device_time_total > 0
    assert "Memory of GPU 0" in prof.key_averages().table()


def test_a_profiler_inside_a_compiled_function_and_one_that_ends_there():
    @ng.compile
    def inside(x):
        with profile():
            return x * 2

    x = ng.ones(2)
    for _ in range(3):
        assert inside(x).sum().item() == 4
    assert "starting a profiler" in inside.reason
    prof = profile()

    @ng.compile
    def ends(x):
        prof.stop()
        return x * 2

    prof.start()
    with pytest.raises(RuntimeError, match="cannot stop in it"):
        ends(x)
    assert ng.profiler.listen.active is not None
    prof.stop()
    assert ng.profiler.listen.active is None
    assert cpu.launch is cpu.run is _core._launch and cuda.launch is cuda.run
