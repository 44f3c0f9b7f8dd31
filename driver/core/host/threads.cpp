#include "host/threads.hpp"

#include <ATen/Parallel.h>
#include <unistd.h>

namespace torchml {
namespace {

pid_t const loading_process = getpid();

}  // namespace

bool is_forked_child() {
  return getpid() != loading_process;
}

ThreadScope::ThreadScope(int threads) : before_(at::get_num_threads()) {
  int const fitting = is_forked_child() ? 1 : threads;
  changed_ = fitting != before_;
  if (changed_) at::set_num_threads(fitting);
}

ThreadScope::~ThreadScope() {
  if (changed_) at::set_num_threads(before_);
}

}  // namespace torchml
