// Notes when the calls of a model's forward and of libtorch's backward begin and end in a program
// that knows nothing of it: preloaded (LD_PRELOAD), the two functions here stand before libtorch's.
// At its end the program writes one line for each call to the file that CALL_TIMES names:
//   forward|backward BEGIN END          (CPU time of the program, ms)
#include <dlfcn.h>
#include <torch/script.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "cpu_time.hpp"

namespace {

using benchmark::now;

struct Call {
  char const* kind;
  double begin;
  double end;
};

class Calls {
 public:
  ~Calls() {
    if (calls_.empty()) return;  // a helper that the program started, such as MPI's daemon
    char const* const path = std::getenv("CALL_TIMES");
    std::FILE* const file = path == nullptr ? nullptr : std::fopen(path, "w");
    if (file == nullptr) return;
    for (auto const& [kind, begin, end] : calls_)
      std::fprintf(file, "%s %.6f %.6f\n", kind, begin, end);
    std::fclose(file);
  }
  void add(Call const& call) { calls_.push_back(call); }

 private:
  std::vector<Call> calls_;
};

Calls calls;  // of one thread: LAMMPS calls its model from no other

/// libtorch's own function of this (mangled) name.
template <class Function>
Function* libtorch_function(char const* name) {
  void* const address = dlsym(RTLD_NEXT, name);
  if (address == nullptr) {
    std::fprintf(stderr, "call_times: libtorch has no function %s\n", name);
    std::abort();
  }
  return reinterpret_cast<Function*>(address);
}

}  // namespace

namespace torch::jit {

__attribute__((visibility("default"))) c10::IValue Method::operator()(
    std::vector<c10::IValue> stack, Kwargs const& kwargs) const {
  // A member function is called like a free one that takes `this` first.
  using Function = c10::IValue(Method const*, std::vector<c10::IValue>, Kwargs const&);
  static auto* const libtorch = libtorch_function<Function>(
      "_ZNK5torch3jit6MethodclESt6vectorIN3c106IValueESaIS4_EERKSt13unordered_mapINSt7__cxx1112"
      "basic_stringIcSt11char_traitsIcESaIcEEES4_St4hashISD_ESt8equal_toISD_ESaISt4pairIKSD_S4_"
      "EEE");
  double const begin = now();
  auto result = libtorch(this, std::move(stack), kwargs);
  calls.add({"forward", begin, now()});
  return result;
}

}  // namespace torch::jit

namespace torch::autograd {

__attribute__((visibility("default"))) variable_list grad(variable_list const& outputs,
                                                          variable_list const& inputs,
                                                          variable_list const& grad_outputs,
                                                          std::optional<bool> retain_graph,
                                                          bool create_graph, bool allow_unused) {
  static auto* const libtorch = libtorch_function<decltype(grad)>(
      "_ZN5torch8autograd4gradERKSt6vectorIN2at6TensorESaIS3_EES7_S7_St8optionalIbEbb");
  double const begin = now();
  auto result = libtorch(outputs, inputs, grad_outputs, retain_graph, create_graph, allow_unused);
  calls.add({"backward", begin, now()});
  return result;
}

}  // namespace torch::autograd
