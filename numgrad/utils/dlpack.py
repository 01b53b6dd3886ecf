"""`from_dlpack` and `to_dlpack` under PyTorch's other name for them.

>>> numgrad.utils.dlpack.from_dlpack(numgrad.utils.dlpack.to_dlpack(numgrad.ones(2)))
tensor([1., 1.])
"""

from ..ops import from_dlpack as from_dlpack
from ..ops import to_dlpack as to_dlpack
