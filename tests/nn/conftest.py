import warnings

import numpy as np
import pytest


def as_array(value):
    return value.detach().numpy()


def close(ours, theirs, rtol=2e-5, atol=2e-6):
    np.testing.assert_allclose(as_array(ours), as_array(theirs), rtol=rtol, atol=atol)


def outcome(library, program):
    """What a program prints of itself in a library: the repr of its result, or its error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            text = repr(program(library))
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
    for warning in caught:
        text += f"\n{warning.category.__name__}: {warning.message}"
    return text.replace("numgrad", "torch")


@pytest.fixture
def same(torch):
    """Assert that a program gives the same text in numgrad and in torch."""
    import numgrad

    def check(program):
        assert outcome(numgrad, program) == outcome(torch, program)

    return check
