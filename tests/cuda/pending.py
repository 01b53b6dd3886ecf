"""The kernels that have no CUDA form yet, by file."""

FILES = {
    "indexing": """
        add_along add_rows check_index combine_indices gather_along
        join largest_along limit_rows multiply_along multiply_rows
        put_along put_rows smallest_along take_rows triangle
    """,
    "matmul": """
        matmul_packed matmul_small matmul_thin
    """,
    "normalization": """
        batch_norm_apply batch_norm_backward batch_norm_stats batch_norm_sums layer_norm_backward
        layer_norm_forward
    """,
    "sorting": """
        coordinates count_in_bins count_true count_values leading order
        search sum_weights true_positions
    """,
}
#: Kernels that run on the host alone, wherever the tensors are.
HOST = {
    "survey",  # reads the headers of NumPy's arrays
    # The Mersenne Twister is one sequence; on a GPU `kernels/philox.py` draws.
    *"""
    bernoulli bernoulli_float32 bernoulli_float64 cauchy exponential
    geometric integers log_normal multinomial normal_float32
    normal_float64 normal_one_by_one permutation seed uniform_float32
    uniform_float64 wide_integers
    """.split(),
}
PENDING = {name for names in FILES.values() for name in names.split()}
