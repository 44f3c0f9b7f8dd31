// A clock that does not tick while other programs have the core.
#pragma once

#include <ctime>

namespace benchmark {

/// CPU time of this process so far, ms.
inline double now() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return 1e3 * static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_nsec);
}

/// CPU time that `work` takes, ms.
template <class Work>
double cpu_time(Work const& work) {
  double const start = now();
  work();
  return now() - start;
}

}  // namespace benchmark
