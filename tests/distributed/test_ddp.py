"""DistributedDataParallel: beside one process on all batches, and beside PyTorch's."""

import json

import numpy as np
import programs
import pytest
import world


def trained(size, library="numgrad"):
    processes, port = world.start("train", size, library=library)
    found = world.finish(processes, 120)
    assert all(status == 0 for status, _, _ in found), "\n".join(e for _, _, e in found)
    assert world.leftovers(port) == []
    results = [json.loads(output.splitlines()[-1]) for _, output, _ in found]
    assert all(result == results[0] for result in results)
    return np.array(results[0][0]), np.array(results[0][1])


def alone(size):
    losses, parameters = programs.train_alone(size)
    return np.array(losses), parameters


@pytest.mark.parametrize("size", [1, 2, 4])
def test_as_one_process_on_all_batches(size):
    losses, parameters = trained(size)
    expected_losses, expected = alone(size)
    np.testing.assert_allclose(losses, expected_losses, rtol=2e-6)
    np.testing.assert_allclose(parameters, expected, rtol=2e-5, atol=1e-6)


def test_as_in_torch(torch):
    losses, parameters = trained(2)
    expected_losses, expected = trained(2, "torch")
    np.testing.assert_allclose(losses, expected_losses, rtol=2e-6)
    np.testing.assert_allclose(parameters, expected, rtol=2e-5, atol=1e-6)


def test_features():
    assert world.run("ddp_features", 2, timeout=120) == ["done\n"] * 2
