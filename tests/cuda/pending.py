"""The kernels that have no CUDA form yet, by file."""

FILES = {
    "matmul": """
        matmul_packed matmul_small matmul_thin matmul_tiny
    """,
}
#: Kernels that run on the host alone, wherever the tensors are.
HOST = {
    "survey",  # reads the headers of NumPy's arrays
    "sum_weights",  # adds in order, one by one; on a GPU `add_rows` adds
    # The Mersenne Twister is one sequence; on a GPU `kernels/philox.py` draws.
    *"""
    bernoulli bernoulli_float32 bernoulli_float64 cauchy exponential
    geometric integers log_normal multinomial normal_float32
    normal_float64 normal_one_by_one permutation seed uniform_float32
    uniform_float64 wide_integers
    """.split(),
}
PENDING = {name for names in FILES.values() for name in names.split()}
