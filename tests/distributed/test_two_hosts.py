"""Ranks on two hosts: network namespaces that `two_hosts` joins by a virtual cable."""

import os
import signal
import subprocess
import sys

import pytest
import world

from numgrad import run as launcher

TOOL = str(world.FOLDER / "two_hosts")
SCRIPT = str(world.ROOT / "notebooks" / "ddp_script.py")
#: The two share memory, which hosts do not: what goes from one to the other goes through the cable.
CABLE = {"UCX_TLS": "tcp,self", "FI_PROVIDER": "tcp", "MASTER_PORT": 29555}


@pytest.fixture(scope="module")
def hosts():
    name = f"numgrad{os.getpid()}"
    made = subprocess.run([TOOL, "up", name], capture_output=True, text=True)
    if made.returncode:
        subprocess.run([TOOL, "down", name], capture_output=True)
        pytest.skip(f"needs root and iproute2: {made.stderr.strip().splitlines()[-1:]}")
    yield name
    subprocess.run([TOOL, "down", name], check=True)


def on_both(hosts, *arguments, script=SCRIPT):
    """The launcher on both hosts, two processes on each."""
    options = ["--nnodes=2", "--nproc-per-node=2", "--master-addr=10.77.0.1", "--master-port=29555"]
    return [
        subprocess.Popen(
            [TOOL, "on", f"{hosts}-{end}", sys.executable, "-m", "numgrad.run", *options]
            + [f"--node-rank={k}", script, *arguments],
            env=world.environment(**CABLE),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for k, end in enumerate("ab")
    ]


def test_the_script_on_two_hosts(hosts):
    for process in on_both(hosts):
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert output.count("Training accuracy") == 2
    assert world.leftovers(29555) == []


def test_the_script_through_mpiexec(hosts):
    command = [sys.executable, "-m", "numgrad.run", "--hosts", "10.77.0.1,10.77.0.2"]
    command += ["--launcher", "ssh", "--launcher-exec", str(world.FOLDER / "ssh_between_hosts")]
    launcher.find_mpiexec()
    done = subprocess.run(
        [TOOL, "on", f"{hosts}-a", *command, SCRIPT],
        env=world.environment(TWO_HOSTS=hosts, **CABLE),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Training accuracy") == 2


def test_a_rank_that_is_lost_on_the_other_host(hosts, tmp_path):
    script = tmp_path / "program.py"
    script.write_text(
        "import os, numgrad, numgrad.distributed as dist\n"
        "dist.init_process_group('gloo')\n"
        "if dist.get_rank() == 2:\n"
        "    print(os.getpid(), flush=True)\n"
        "while True:\n"
        "    dist.all_reduce(numgrad.ones(1000))\n"
    )
    here, there = on_both(hosts, script=str(script))
    os.kill(int(there.stdout.readline()), signal.SIGKILL)
    _, errors = here.communicate(timeout=10)
    assert here.returncode == 1 and "rank 2 (pid" in errors and "was lost" in errors, errors
    _, errors = there.communicate(timeout=10)
    assert there.returncode == 1 and "rank 2 (local rank 0" in errors and "SIGKILL" in errors
    assert world.leftovers(29555) == []
