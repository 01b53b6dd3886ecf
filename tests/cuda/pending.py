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
    "optimizer": """
        adagrad adam adam_amsgrad advance rmsprop
        rmsprop_centered rmsprop_centered_momentum rmsprop_momentum sgd sgd_momentum
        survey
    """,
    "random": """
        bernoulli bernoulli_float32 bernoulli_float64 cauchy exponential
        geometric integers log_normal multinomial normal_float32
        normal_float64 normal_one_by_one permutation seed uniform_float32
        uniform_float64 wide_integers
    """,
    "sorting": """
        coordinates count_in_bins count_true count_values leading order
        search sum_weights true_positions
    """,
}
PENDING = {name for names in FILES.values() for name in names.split()}
