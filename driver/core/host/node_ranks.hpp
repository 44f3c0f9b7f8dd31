// The rank of this process among those on its node, and its share of the cores.
#pragma once

namespace torchml {

struct NodeRanks {
  int local_rank = 0;  ///< 0-based among the ranks of this job on this node
  int local_size = 1;  ///< ranks of this job on this node
};

/// From the launcher's variables (see launchers), which are exact; where none is set and the driver
/// was built MPI-aware, the rank and size of MPI_COMM_WORLD. Only local calls: a collective would
/// deadlock when some ranks alone create a model.
NodeRanks node_ranks();

/// Ranks of this job on all nodes, from the same places; 1 where none of them has a larger number.
int job_size();

/// The rank of this process in its job, from the same places; 0 where none of them has a number.
int job_rank();

/// OMP_NUM_THREADS where it is set; else the cores the launcher may use on this node divided by
/// the ranks there, at most the cores this process is bound to, at least 1.
int default_threads(NodeRanks const& ranks);

/// default_threads, but no more than there are cores for the ranks of this node, even if
/// OMP_NUM_THREADS is larger: OpenMP's threads spin while they wait, and on a shared core each
/// waits for another that does not run (two ranks of two threads on two cores take 2 to 9 times as
/// long as with one each). How they wait is fixed before this library is loaded.
int threads_that_fit(NodeRanks const& ranks);

}  // namespace torchml
