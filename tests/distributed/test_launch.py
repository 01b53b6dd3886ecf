"""The seed's script, started in every way; the launcher."""

import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import world

from numgrad import run as launcher

SCRIPT = world.ROOT / "notebooks" / "ddp_script.py"


def output_of(command, **more):
    port = world.free_port()
    done = subprocess.run(
        command,
        env=world.environment(**({"MASTER_PORT": port} | more)),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert world.leftovers(port) == []
    return lines(done.stdout)


def lines(text):
    """What ranks print. They write at the same time: a line may end in another's."""
    return sorted(re.findall(r"\[GPU\d.*?(?=\n|\[GPU|$)", text))


@pytest.fixture(scope="module")
def spawned():
    return output_of([sys.executable, str(SCRIPT), "2"])


def test_the_script(spawned):
    assert len(spawned) == 2 * 5
    assert [line for line in spawned if "Training accuracy" in line] == [
        "[GPU0] Training accuracy 1.0",
        "[GPU1] Training accuracy 1.0",
    ]


def test_the_script_in_torch(torch, spawned, tmp_path):
    """The same file with the imports changed back prints the same losses."""
    text = SCRIPT.read_text().replace("import numgrad as torch", "import torch")
    path = tmp_path / "ddp_script.py"
    path.write_text(re.sub(r"(import|from) numgrad\.", r"\1 torch.", text))
    assert not re.search("^(import|from) numgrad", path.read_text(), re.MULTILINE)
    assert output_of([sys.executable, str(path), "2"]) == spawned


def test_the_script_under_the_launcher(spawned, tmp_path):
    command = [
        sys.executable,
        "-m",
        "numgrad.run",
        "--nproc_per_node=2",
        "--log-dir",
        str(tmp_path),
    ]
    output_of([*command, str(SCRIPT)])
    logs = [path.read_text() for path in sorted(tmp_path.iterdir())]
    assert len(logs) == 2 and lines("".join(logs)) == spawned


@pytest.mark.skipif(
    shutil.which("mpiexec", path=sys.exec_prefix + "/bin") is None, reason="no mpiexec"
)
def test_the_script_under_mpiexec(spawned):
    command = [launcher.find_mpiexec(), "-n", "2", sys.executable, str(SCRIPT)]
    assert output_of(command) == spawned


@pytest.mark.skipif(
    shutil.which("mpiexec", path=sys.exec_prefix + "/bin") is None, reason="no mpiexec"
)
def test_the_script_through_the_launcher_and_mpiexec(spawned):
    command = [sys.executable, "-m", "numgrad.run", "--hosts", "localhost", "--nproc-per-node", "2"]
    assert output_of([*command, str(SCRIPT)]) == spawned


def start(*arguments):
    command = [sys.executable, "-m", "numgrad.run", *map(str, arguments)]
    return subprocess.Popen(
        command,
        env=world.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    output, errors = process.communicate(timeout=60)
    return process.returncode, output, errors


def program(tmp_path, text):
    path = tmp_path / "program.py"
    path.write_text("import os, signal, sys, time\nrank = os.environ['RANK']\n" + text)
    return path


def test_what_processes_are_told(tmp_path):
    path = program(
        tmp_path,
        "names = 'RANK LOCAL_RANK WORLD_SIZE LOCAL_WORLD_SIZE GROUP_RANK MASTER_ADDR'.split()\n"
        "print(*[os.environ[n] for n in names], *sys.argv[1:], flush=True)\n",
    )
    options = ["--nnodes=2", "--node-rank=1", "--master-addr=host0", "--nproc-per-node=2"]
    logs = tmp_path / "logs"
    status, _, errors = finish(start(*options, "--log-dir", logs, path, "--its", "own"))
    assert status == 0, errors
    assert [(logs / f"rank{r}.log").read_text() for r in (2, 3)] == [
        "2 0 4 2 1 host0 --its own\n",
        "3 1 4 2 1 host0 --its own\n",
    ]


@pytest.mark.parametrize(
    "end, text",
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "was ended by SIGKILL"),
        ("sys.exit(5)", "failed with exit code 5"),
    ],
)
def test_a_failure_ends_all(tmp_path, end, text):
    path = program(tmp_path, f"if rank == '1':\n    {end}\ntime.sleep(60)\n")
    status, _, errors = finish(start("--nproc-per-node=2", path))
    assert status == 1 and "rank 1 (local rank 1, pid" in errors and text in errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_processes_end_with_the_launcher(tmp_path, number):
    path = program(tmp_path, "print(f'{os.getpid()}\\n', end='', flush=True)\ntime.sleep(60)\n")
    process = start("--nproc-per-node=2", path)
    pids = [int(process.stdout.readline()) for _ in range(2)]
    process.send_signal(number)
    finish(process)
    until = time.monotonic() + 10
    alive = pids
    while (alive := [pid for pid in alive if world.is_alive(pid)]) and time.monotonic() < until:
        time.sleep(0.02)
    assert not alive


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["--nnodes=2", "x.py"], "--master-addr"),
        (["--nnodes=1:2", "x.py"], "a number of hosts"),
        (["--max-restarts=1", "x.py"], "not restarted"),
        (["--node-rank=1", "x.py"], "not one of 1 hosts"),
        ([], "script"),
    ],
)
def test_wrong_options(arguments, text, capsys):
    with pytest.raises(SystemExit):
        launcher.main(arguments)
    assert text in capsys.readouterr().err


def test_the_number_of_processes():
    assert launcher.processes_per_node("3") == 3
    assert launcher.processes_per_node("cpu") >= 1 and launcher.processes_per_node("auto") >= 1
    with pytest.raises(SystemExit):
        launcher.processes_per_node("many")
    chosen = launcher.parse(["--rdzv-endpoint=h:12", "--nnodes=2", "x.py"])
    assert (chosen.master_addr, chosen.master_port) == ("h", 12)
