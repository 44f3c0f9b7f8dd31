// Which of the processes on this node this one is, and how many cores are its share.
#pragma once

namespace torchml {

struct NodeRanks {
  int local_rank = 0;  ///< 0-based among the ranks of this job on this node
  int local_size = 1;  ///< ranks of this job on this node
};

/// From the launcher's variables (Open MPI, MPICH and Intel MPI, Slurm, MVAPICH, PALS), which are
/// exact; where none is set and the driver was built MPI-aware, the rank and size of
/// MPI_COMM_WORLD. Only local calls: a collective would deadlock when some ranks alone create a
/// model.
NodeRanks node_ranks();

/// Ranks of this job on all nodes, from the same places; 1 where nothing says more.
int job_size();

/// OMP_NUM_THREADS where it is set; else the cores the launcher may use on this node divided by
/// the ranks there, at most the cores this process is bound to, at least 1.
int default_threads(NodeRanks const& ranks);

/// default_threads, but no more than the ranks of this node have cores for, whatever
/// OMP_NUM_THREADS says: OpenMP's threads spin while they wait, and on a core that they share each
/// of them waits for another that does not run (two ranks of two threads on two cores take 2 to 9
/// times as long as with one each). How they wait was settled before this library was loaded.
int threads_that_fit(NodeRanks const& ranks);

}  // namespace torchml
