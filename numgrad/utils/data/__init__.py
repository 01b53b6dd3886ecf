"""`numgrad.data` under PyTorch's module path."""

from ...data import *  # noqa: F403
from ...data import __all__ as __all__
from . import distributed as distributed
