"""torch's `distributed`: several processes that compute together.

MPI carries the data between CPUs, NCCL between GPUs. Install with `pip install "numgrad[distributed]"`;
start the processes with `multiprocessing.spawn`, `python -m numgrad.run`, `mpiexec` or Slurm.
"""

from ._collectives import P2POp as P2POp
from ._collectives import all_gather as all_gather
from ._collectives import all_gather_into_tensor as all_gather_into_tensor
from ._collectives import all_reduce as all_reduce
from ._collectives import all_to_all as all_to_all
from ._collectives import all_to_all_single as all_to_all_single
from ._collectives import barrier as barrier
from ._collectives import batch_isend_irecv as batch_isend_irecv
from ._collectives import broadcast as broadcast
from ._collectives import gather as gather
from ._collectives import irecv as irecv
from ._collectives import isend as isend
from ._collectives import monitored_barrier as monitored_barrier
from ._collectives import recv as recv
from ._collectives import reduce as reduce
from ._collectives import reduce_scatter as reduce_scatter
from ._collectives import reduce_scatter_tensor as reduce_scatter_tensor
from ._collectives import scatter as scatter
from ._collectives import send as send
from ._errors import DistBackendError as DistBackendError
from ._errors import DistError as DistError
from ._errors import DistNetworkError as DistNetworkError
from ._errors import DistStoreError as DistStoreError
from ._group import ProcessGroup as ProcessGroup
from ._group import Work as Work
from ._objects import all_gather_object as all_gather_object
from ._objects import broadcast_object_list as broadcast_object_list
from ._objects import gather_object as gather_object
from ._objects import scatter_object_list as scatter_object_list
from ._reduce_op import ReduceOp as ReduceOp
from ._state import Backend as Backend
from ._state import GroupMember as GroupMember
from ._state import abort_process_group as abort_process_group
from ._state import default_pg_timeout as default_pg_timeout
from ._state import destroy_process_group as destroy_process_group
from ._state import get_backend as get_backend
from ._state import get_global_rank as get_global_rank
from ._state import get_group_rank as get_group_rank
from ._state import get_node_local_rank as get_node_local_rank
from ._state import get_process_group_ranks as get_process_group_ranks
from ._state import get_rank as get_rank
from ._state import get_world_size as get_world_size
from ._state import init_process_group as init_process_group
from ._state import is_available as is_available
from ._state import is_gloo_available as is_gloo_available
from ._state import is_initialized as is_initialized
from ._state import is_mpi_available as is_mpi_available
from ._state import is_nccl_available as is_nccl_available
from ._state import is_torchelastic_launched as is_torchelastic_launched
from ._state import new_group as new_group
