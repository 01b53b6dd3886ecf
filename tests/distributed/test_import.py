"""`import numgrad` does not pay for several processes."""

import subprocess
import sys

import world


def test_modules_are_imported_when_asked_for():
    program = (
        "import sys, numgrad as torch\n"
        "heavy = ('mpi4py', 'numgrad.distributed', 'numgrad.multiprocessing', 'numgrad.nn.parallel')\n"
        "assert not [name for name in heavy if name in sys.modules]\n"
        "assert torch.distributed.is_available() and torch.multiprocessing.spawn\n"
        "assert torch.nn.parallel.DistributedDataParallel and 'mpi4py' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env=world.environment())
