// The threads of one evaluation.
#pragma once

namespace torchml {

/// Whether this process was forked from the one that loaded this library. The threads of OpenMP do
/// not follow into such a child, so that a parallel region waits for them without end.
bool is_forked_child();

/// libtorch's number of threads while it lives, one in a forked child; the program's own setting
/// comes back afterwards.
class ThreadScope {
 public:
  explicit ThreadScope(int threads);
  ~ThreadScope();
  ThreadScope(ThreadScope const&) = delete;
  ThreadScope& operator=(ThreadScope const&) = delete;

 private:
  int before_;
  bool changed_;
};

}  // namespace torchml
