"""torch.linalg, as far as it needs no decomposition: norms of vectors, chains of products."""

from .ops import multi_dot as multi_dot
from .ops import vector_norm as vector_norm
