// Tells ThreadSanitizer where OpenMP orders the work of threads.
//
// libgomp is not instrumented and waits without pthread: without this file, data that are written
// before a parallel region and read in it are reported as a race. The functions here replace those
// of libgomp, call them, and announce the order that they make: begin and end of a region, end of a
// loop, `critical` and `ordered`. All other sharing of data between threads is still reported.
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

namespace {

/// The function of libgomp, which the one of the same name in this file hides.
template <class Function>
Function* next(char const* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

/// A parallel region; its address stands for its begin and end.
struct Region {
  void (*work)(void*);
  void* data;
};

thread_local Region* region_of_thread = nullptr;

void work_in_region(void* data) {
  auto& region = *static_cast<Region*>(data);
  auto* const outer = region_of_thread;
  region_of_thread = &region;
  __tsan_acquire(&region);
  region.work(region.data);
  __tsan_release(&region);
  region_of_thread = outer;
}

int order_of_loops = 0;  ///< its address stands for the order of all loops

}  // namespace

extern "C" {

void GOMP_parallel(void (*work)(void*), void* data, unsigned threads, unsigned flags) {
  static auto* const libgomp = next<decltype(GOMP_parallel)>("GOMP_parallel");
  Region region{work, data};
  __tsan_release(&region);
  libgomp(work_in_region, &region, threads, flags);
  __tsan_acquire(&region);
}

void GOMP_loop_end() {
  static auto* const libgomp = next<decltype(GOMP_loop_end)>("GOMP_loop_end");
  if (region_of_thread != nullptr) __tsan_release(region_of_thread);
  libgomp();
  if (region_of_thread != nullptr) __tsan_acquire(region_of_thread);
}

void GOMP_critical_name_start(void** name) {
  static auto* const libgomp = next<decltype(GOMP_critical_name_start)>("GOMP_critical_name_start");
  libgomp(name);
  __tsan_acquire(name);
}

void GOMP_critical_name_end(void** name) {
  static auto* const libgomp = next<decltype(GOMP_critical_name_end)>("GOMP_critical_name_end");
  __tsan_release(name);
  libgomp(name);
}

void GOMP_ordered_start() {
  static auto* const libgomp = next<decltype(GOMP_ordered_start)>("GOMP_ordered_start");
  libgomp();
  __tsan_acquire(&order_of_loops);
}

void GOMP_ordered_end() {
  static auto* const libgomp = next<decltype(GOMP_ordered_end)>("GOMP_ordered_end");
  __tsan_release(&order_of_loops);
  libgomp();
}

}  // extern "C"
