#include "host/gil_release.hpp"

#include <dlfcn.h>

namespace torchml {
namespace {

/// A function of Python's C API, or null in a process without Python.
template <class Function>
Function* python_function(char const* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_DEFAULT, name));
}

}  // namespace

GilRelease::GilRelease() {
  auto* const is_initialized = python_function<int()>("Py_IsInitialized");
  auto* const holds_gil = python_function<int()>("PyGILState_Check");
  auto* const save_thread = python_function<void*()>("PyEval_SaveThread");
  if (is_initialized == nullptr || holds_gil == nullptr || save_thread == nullptr) return;
  // PyGILState_Check returns 1 before Python is initialised.
  if (is_initialized() != 0 && holds_gil() != 0) state_ = save_thread();
}

GilRelease::~GilRelease() {
  if (state_ != nullptr) python_function<void(void*)>("PyEval_RestoreThread")(state_);
}

}  // namespace torchml
