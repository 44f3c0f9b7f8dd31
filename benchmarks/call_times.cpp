// Notes what a simulator's steps consist of, in a program that knows nothing of it: preloaded
// (LD_PRELOAD), the functions here stand before KIM-API's and libtorch's own.
// At its end each process writes to the file CALL_TIMES.PID one line for each call,
//   compute|forward|backward|package CPU_BEGIN CPU_END WALL_BEGIN WALL_END          (ms)
// where compute is KIM-API's call of the driver, and the others are calls of the model within it:
// of a TorchScript model, of libtorch's backward, and of an AOTInductor package; and a last line
//   peak KIB                                                       (of resident memory)
#include <dlfcn.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/script.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "cpu_time.hpp"

namespace {

using benchmark::now;

/// Time since some moment, ms.
double wall() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return 1e3 * static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_nsec);
}

/// Most memory that was resident so far, KiB. getrusage() would count what the program that started
/// this one held.
long peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::atol(line.c_str() + 6);
  return 0;
}

struct Call {
  char const* kind;
  double cpu[2];
  double wall[2];
};

class Calls {
 public:
  ~Calls() {
    if (calls_.empty()) return;  // a helper that the program started, such as MPI's daemon
    char const* const path = std::getenv("CALL_TIMES");
    if (path == nullptr) return;
    auto const name = std::string(path) + "." + std::to_string(getpid());
    std::FILE* const file = std::fopen(name.c_str(), "w");
    if (file == nullptr) return;
    for (auto const& [kind, cpu, wall] : calls_)
      std::fprintf(file, "%s %.6f %.6f %.6f %.6f\n", kind, cpu[0], cpu[1], wall[0], wall[1]);
    std::fprintf(file, "peak %ld\n", peak_memory());
    std::fclose(file);
  }
  void add(Call const& call) { calls_.push_back(call); }

  int models = 0;  ///< calls of models that have begun: one may call another

 private:
  std::vector<Call> calls_;
};

Calls calls;  // of one thread: LAMMPS calls its model from no other

/// Notes one call, from its construction to its end.
class Noted {
 public:
  explicit Noted(char const* kind) : call_{kind, {now(), 0.0}, {wall(), 0.0}} {}
  ~Noted() {
    call_.cpu[1] = now();
    call_.wall[1] = wall();
    calls.add(call_);
  }
  Noted(Noted const&) = delete;
  Noted& operator=(Noted const&) = delete;

 private:
  Call call_;
};

/// The outermost call of a model; what that calls itself is part of it.
template <class Work>
auto noted_model(char const* kind, Work const& work) {
  struct Depth {
    Depth() { ++calls.models; }
    ~Depth() { --calls.models; }
  } const depth;
  if (calls.models > 1) return work();
  Noted const noted(kind);
  return work();
}

/// The function of this (mangled) name that stands behind ours.
template <class Function>
Function* next_function(char const* name) {
  void* const address = dlsym(RTLD_NEXT, name);
  if (address == nullptr) {
    std::fprintf(stderr, "call_times: there is no function %s behind ours\n", name);
    std::abort();
  }
  return reinterpret_cast<Function*>(address);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int KIM_Model_Compute(void const* model,
                                                                        void const* arguments) {
  static auto* const kim = next_function<int(void const*, void const*)>("KIM_Model_Compute");
  Noted const noted("compute");
  return kim(model, arguments);
}

namespace torch::jit {

__attribute__((visibility("default"))) c10::IValue Method::operator()(
    std::vector<c10::IValue> stack, Kwargs const& kwargs) const {
  // A member function is called like a free one that takes `this` first.
  using Function = c10::IValue(Method const*, std::vector<c10::IValue>, Kwargs const&);
  static auto* const libtorch = next_function<Function>(
      "_ZNK5torch3jit6MethodclESt6vectorIN3c106IValueESaIS4_EERKSt13unordered_mapINSt7__cxx1112"
      "basic_stringIcSt11char_traitsIcESaIcEEES4_St4hashISD_ESt8equal_toISD_ESaISt4pairIKSD_S4_"
      "EEE");
  return noted_model("forward", [&] { return libtorch(this, std::move(stack), kwargs); });
}

}  // namespace torch::jit

namespace torch::autograd {

__attribute__((visibility("default"))) variable_list grad(variable_list const& outputs,
                                                          variable_list const& inputs,
                                                          variable_list const& grad_outputs,
                                                          std::optional<bool> retain_graph,
                                                          bool create_graph, bool allow_unused) {
  static auto* const libtorch = next_function<decltype(grad)>(
      "_ZN5torch8autograd4gradERKSt6vectorIN2at6TensorESaIS3_EES7_S7_St8optionalIbEbb");
  return noted_model("backward", [&] {
    return libtorch(outputs, inputs, grad_outputs, retain_graph, create_graph, allow_unused);
  });
}

}  // namespace torch::autograd

namespace torch::inductor {

__attribute__((visibility("default"))) std::vector<at::Tensor> AOTIModelPackageLoader::run(
    std::vector<at::Tensor> const& inputs, void* stream) {
  using Function =
      std::vector<at::Tensor>(AOTIModelPackageLoader*, std::vector<at::Tensor> const&, void*);
  static auto* const libtorch = next_function<Function>(
      "_ZN5torch8inductor22AOTIModelPackageLoader3runERKSt6vectorIN2at6TensorESaIS4_EEPv");
  return noted_model("package", [&] { return libtorch(this, inputs, stream); });
}

}  // namespace torch::inductor
