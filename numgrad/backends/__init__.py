"""What PyTorch programs ask about hardware back ends.

>>> numgrad.backends.mps.is_available()
False
"""

from . import cpu as cpu
from . import mps as mps
