"""numgrad: PyTorch's front door, with every kernel behind it a Python function.

>>> import numgrad as torch
>>> torch.tensor([1., 2.]) + 1
tensor([2., 3.])
"""

from math import e as e
from math import inf as inf
from math import nan as nan
from math import pi as pi

from ._version import __version__ as __version__
from .dtypes import Size as Size
from .dtypes import bool_ as bool
from .dtypes import can_cast as can_cast
from .dtypes import contiguous_format as contiguous_format
from .dtypes import double as double
from .dtypes import dtype as dtype
from .dtypes import finfo as finfo
from .dtypes import float as float
from .dtypes import float32 as float32
from .dtypes import float64 as float64
from .dtypes import get_default_dtype as get_default_dtype
from .dtypes import iinfo as iinfo
from .dtypes import int as int
from .dtypes import int8 as int8
from .dtypes import int16 as int16
from .dtypes import int32 as int32
from .dtypes import int64 as int64
from .dtypes import long as long
from .dtypes import preserve_format as preserve_format
from .dtypes import promote_types as promote_types
from .dtypes import set_default_dtype as set_default_dtype
from .dtypes import short as short
from .dtypes import strided as strided
from .dtypes import uint8 as uint8

# The class first: its module shares its name with the function `tensor` below.
from .tensor import Tensor as Tensor  # isort: skip

# OPS (generated from numgrad.ops)
from .ops import arccos_ as arccos_
from .ops import arcsin_ as arcsin_
from .ops import arctan_ as arctan_
from .ops import fix_ as fix_
from .ops import frac_ as frac_
from .ops import xlogy_ as xlogy_
from .ops import abs as abs
from .ops import abs_ as abs_
from .ops import absolute as absolute
from .ops import acos as acos
from .ops import acos_ as acos_
from .ops import add as add
from .ops import addcdiv as addcdiv
from .ops import addcmul as addcmul
from .ops import allclose as allclose
from .ops import arccos as arccos
from .ops import arcsin as arcsin
from .ops import arctan as arctan
from .ops import arctan2 as arctan2
from .ops import asin as asin
from .ops import asin_ as asin_
from .ops import atan as atan
from .ops import atan2 as atan2
from .ops import atan_ as atan_
from .ops import bitwise_and as bitwise_and
from .ops import bitwise_left_shift as bitwise_left_shift
from .ops import bitwise_not as bitwise_not
from .ops import bitwise_or as bitwise_or
from .ops import bitwise_right_shift as bitwise_right_shift
from .ops import bitwise_xor as bitwise_xor
from .ops import ceil as ceil
from .ops import ceil_ as ceil_
from .ops import celu as celu
from .ops import clamp as clamp
from .ops import clamp_ as clamp_
from .ops import clamp_max as clamp_max
from .ops import clamp_max_ as clamp_max_
from .ops import clamp_min as clamp_min
from .ops import clamp_min_ as clamp_min_
from .ops import clip as clip
from .ops import clip_ as clip_
from .ops import copysign as copysign
from .ops import cos as cos
from .ops import cos_ as cos_
from .ops import cosh as cosh
from .ops import cosh_ as cosh_
from .ops import div as div
from .ops import divide as divide
from .ops import eq as eq
from .ops import equal as equal
from .ops import erf as erf
from .ops import erf_ as erf_
from .ops import exp as exp
from .ops import exp2 as exp2
from .ops import exp2_ as exp2_
from .ops import exp_ as exp_
from .ops import expm1 as expm1
from .ops import expm1_ as expm1_
from .ops import fix as fix
from .ops import floor as floor
from .ops import floor_ as floor_
from .ops import floor_divide as floor_divide
from .ops import fmax as fmax
from .ops import fmin as fmin
from .ops import fmod as fmod
from .ops import frac as frac
from .ops import ge as ge
from .ops import greater as greater
from .ops import greater_equal as greater_equal
from .ops import gt as gt
from .ops import hardshrink as hardshrink
from .ops import isclose as isclose
from .ops import isfinite as isfinite
from .ops import isinf as isinf
from .ops import isnan as isnan
from .ops import le as le
from .ops import lerp as lerp
from .ops import less as less
from .ops import less_equal as less_equal
from .ops import log as log
from .ops import log10 as log10
from .ops import log10_ as log10_
from .ops import log1p as log1p
from .ops import log1p_ as log1p_
from .ops import log2 as log2
from .ops import log2_ as log2_
from .ops import log_ as log_
from .ops import logaddexp as logaddexp
from .ops import logical_and as logical_and
from .ops import logical_not as logical_not
from .ops import logical_or as logical_or
from .ops import logical_xor as logical_xor
from .ops import lt as lt
from .ops import maximum as maximum
from .ops import minimum as minimum
from .ops import mul as mul
from .ops import multiply as multiply
from .ops import ne as ne
from .ops import neg as neg
from .ops import neg_ as neg_
from .ops import negative as negative
from .ops import negative_ as negative_
from .ops import not_equal as not_equal
from .ops import positive as positive
from .ops import pow as pow
from .ops import reciprocal as reciprocal
from .ops import reciprocal_ as reciprocal_
from .ops import relu as relu
from .ops import relu_ as relu_
from .ops import remainder as remainder
from .ops import round as round
from .ops import round_ as round_
from .ops import rsqrt as rsqrt
from .ops import rsqrt_ as rsqrt_
from .ops import rsub as rsub
from .ops import selu as selu
from .ops import sigmoid as sigmoid
from .ops import sigmoid_ as sigmoid_
from .ops import sign as sign
from .ops import sin as sin
from .ops import sin_ as sin_
from .ops import sinh as sinh
from .ops import sinh_ as sinh_
from .ops import sqrt as sqrt
from .ops import sqrt_ as sqrt_
from .ops import square as square
from .ops import square_ as square_
from .ops import sub as sub
from .ops import subtract as subtract
from .ops import tan as tan
from .ops import tan_ as tan_
from .ops import tanh as tanh
from .ops import tanh_ as tanh_
from .ops import threshold as threshold
from .ops import trace as trace
from .ops import true_divide as true_divide
from .ops import trunc as trunc
from .ops import trunc_ as trunc_
from .ops import where as where
from .ops import xlogy as xlogy
from .ops import arange as arange
from .ops import as_tensor as as_tensor
from .ops import from_dlpack as from_dlpack
from .ops import to_dlpack as to_dlpack
from .ops import asarray as asarray
from .ops import empty as empty
from .ops import empty_like as empty_like
from .ops import eye as eye
from .ops import from_numpy as from_numpy
from .ops import full as full
from .ops import full_like as full_like
from .ops import is_floating_point as is_floating_point
from .ops import is_nonzero as is_nonzero
from .ops import is_tensor as is_tensor
from .ops import linspace as linspace
from .ops import logspace as logspace
from .ops import numel as numel
from .ops import ones as ones
from .ops import ones_like as ones_like
from .ops import scalar_tensor as scalar_tensor
from .ops import tensor as tensor
from .ops import zeros as zeros
from .ops import zeros_like as zeros_like
from .ops import adjoint as adjoint
from .ops import as_strided as as_strided
from .ops import broadcast_tensors as broadcast_tensors
from .ops import broadcast_to as broadcast_to
from .ops import chunk as chunk
from .ops import clone as clone
from .ops import detach as detach
from .ops import diagonal as diagonal
from .ops import flatten as flatten
from .ops import moveaxis as moveaxis
from .ops import movedim as movedim
from .ops import narrow as narrow
from .ops import permute as permute
from .ops import ravel as ravel
from .ops import reshape as reshape
from .ops import select as select
from .ops import split as split
from .ops import squeeze as squeeze
from .ops import swapaxes as swapaxes
from .ops import swapdims as swapdims
from .ops import t as t
from .ops import tensor_split as tensor_split
from .ops import transpose as transpose
from .ops import unbind as unbind
from .ops import unflatten as unflatten
from .ops import unsqueeze as unsqueeze
from .ops import fill as fill
from .ops import fill_ as fill_
from .ops import zero_ as zero_
from .ops import atleast_1d as atleast_1d
from .ops import atleast_2d as atleast_2d
from .ops import atleast_3d as atleast_3d
from .ops import block_diag as block_diag
from .ops import cartesian_prod as cartesian_prod
from .ops import cat as cat
from .ops import column_stack as column_stack
from .ops import concat as concat
from .ops import concatenate as concatenate
from .ops import dstack as dstack
from .ops import hstack as hstack
from .ops import meshgrid as meshgrid
from .ops import row_stack as row_stack
from .ops import stack as stack
from .ops import tile as tile
from .ops import vstack as vstack
from .ops import index_put as index_put
from .ops import index_put_ as index_put_
from .ops import gather as gather
from .ops import scatter as scatter
from .ops import scatter_add as scatter_add
from .ops import scatter_reduce as scatter_reduce
from .ops import take_along_dim as take_along_dim
from .ops import argsort as argsort
from .ops import kthvalue as kthvalue
from .ops import median as median
from .ops import mode as mode
from .ops import msort as msort
from .ops import nanmedian as nanmedian
from .ops import nanquantile as nanquantile
from .ops import quantile as quantile
from .ops import sort as sort
from .ops import topk as topk
from .ops import all as all
from .ops import amax as amax
from .ops import amin as amin
from .ops import any as any
from .ops import count_nonzero as count_nonzero
from .ops import mean as mean
from .ops import nanmean as nanmean
from .ops import nansum as nansum
from .ops import prod as prod
from .ops import sum as sum
from .ops import cummax as cummax
from .ops import cummin as cummin
from .ops import cumprod as cumprod
from .ops import cumsum as cumsum
from .ops import diff as diff
from .ops import logcumsumexp as logcumsumexp
from .ops import bmm as bmm
from .ops import dot as dot
from .ops import ger as ger
from .ops import matmul as matmul
from .ops import mm as mm
from .ops import mv as mv
from .ops import outer as outer
from .ops import vdot as vdot
from .ops import log_softmax as log_softmax
from .ops import logsumexp as logsumexp
from .ops import softmax as softmax
from .ops import batch_norm as batch_norm
from .ops import group_norm as group_norm
from .ops import instance_norm as instance_norm
from .ops import layer_norm as layer_norm
from .ops import rms_norm as rms_norm
from .ops import binary_cross_entropy_with_logits as binary_cross_entropy_with_logits
from .ops import cosine_embedding_loss as cosine_embedding_loss
from .ops import hinge_embedding_loss as hinge_embedding_loss
from .ops import kl_div as kl_div
from .ops import margin_ranking_loss as margin_ranking_loss
from .ops import poisson_nll_loss as poisson_nll_loss
from .ops import triplet_margin_loss as triplet_margin_loss
from .ops import bernoulli as bernoulli
from .ops import dropout as dropout
from .ops import dropout_ as dropout_
from .ops import multinomial as multinomial
from .ops import normal as normal
from .ops import rand as rand
from .ops import rand_like as rand_like
from .ops import randint as randint
from .ops import randint_like as randint_like
from .ops import randn as randn
from .ops import randn_like as randn_like
from .ops import randperm as randperm
from .ops import addbmm as addbmm
from .ops import addmm as addmm
from .ops import addmv as addmv
from .ops import addmv_ as addmv_
from .ops import addr as addr
from .ops import baddbmm as baddbmm
from .ops import diag as diag
from .ops import diag_embed as diag_embed
from .ops import diagflat as diagflat
from .ops import flip as flip
from .ops import fliplr as fliplr
from .ops import flipud as flipud
from .ops import repeat_interleave as repeat_interleave
from .ops import roll as roll
from .ops import rot90 as rot90
from .ops import tril as tril
from .ops import tril_indices as tril_indices
from .ops import triu as triu
from .ops import triu_indices as triu_indices
from .ops import bincount as bincount
from .ops import bucketize as bucketize
from .ops import histc as histc
from .ops import searchsorted as searchsorted
from .ops import unique as unique
from .ops import unique_consecutive as unique_consecutive
from .ops import chain_matmul as chain_matmul
from .ops import einsum as einsum
from .ops import inner as inner
from .ops import kron as kron
from .ops import tensordot as tensordot
from .ops import embedding as embedding
from .ops import aminmax as aminmax
from .ops import argmax as argmax
from .ops import argmin as argmin
from .ops import max as max
from .ops import min as min
from .ops import Generator as Generator
from .ops import default_generator as default_generator
from .ops import get_rng_state as get_rng_state
from .ops import initial_seed as initial_seed
from .ops import manual_seed as manual_seed
from .ops import seed as seed
from .ops import set_rng_state as set_rng_state
from .ops import argwhere as argwhere
from .ops import masked_fill as masked_fill
from .ops import masked_scatter as masked_scatter
from .ops import masked_select as masked_select
from .ops import nonzero as nonzero
from .ops import cosine_similarity as cosine_similarity
from .ops import dist as dist
from .ops import norm as norm
from .ops import pairwise_distance as pairwise_distance
from .ops import index_add as index_add
from .ops import index_copy as index_copy
from .ops import index_fill as index_fill
from .ops import index_select as index_select
from .ops import put as put
from .ops import take as take
from .ops import std as std
from .ops import std_mean as std_mean
from .ops import var as var
from .ops import var_mean as var_mean

# END OPS
from . import autograd as autograd
from .autograd import enable_grad as enable_grad
from .autograd import inference_mode as inference_mode
from .autograd import is_grad_enabled as is_grad_enabled
from .autograd import is_inference_mode_enabled as is_inference_mode_enabled
from .autograd import no_grad as no_grad
from .autograd import set_grad_enabled as set_grad_enabled
from ._printing import set_printoptions as set_printoptions
from .device.cpu import get_num_threads as get_num_threads
from .device.cpu import set_num_threads as set_num_threads
from . import backends as backends
from . import cuda as cuda
from . import linalg as linalg
from . import random as random
from . import utils as utils
from . import progress as progress
from .random import fork_rng as fork_rng
from .serialization import load as load
from .serialization import save as save
from . import nn as nn
from . import optim as optim

from . import compiler as compiler  # isort: skip
from . import func as func  # isort: skip

# Last: subpackages have the same names.
from .compiler import compile as compile  # isort: skip
from .dtypes import device as device  # isort: skip

# Looked at seldom, and imported when they are.
from typing import TYPE_CHECKING as _TYPE_CHECKING  # isort: skip

if _TYPE_CHECKING:
    from . import distributed as distributed
    from . import multiprocessing as multiprocessing
    from . import profiler as profiler
    from . import viz as viz
    from ._summary import summary as summary
else:
    _LATE = {
        "distributed": ("distributed", None),
        "multiprocessing": ("multiprocessing", None),
        "profiler": ("profiler", None),
        "viz": ("viz", None),
        "summary": ("_summary", "summary"),
        "load_ipython_extension": ("_magics", "load"),
    }

    def __getattr__(name):
        if name not in _LATE:
            raise AttributeError(f"module 'numgrad' has no attribute {name!r}")
        import importlib

        module, attribute = _LATE[name]
        found = importlib.import_module(f"numgrad.{module}")
        return found if attribute is None else getattr(found, attribute)

    def __dir__():
        return sorted({*globals(), *_LATE})
