// Living inside a Python process without linking to Python.
#pragma once

namespace torchml {

/// Gives up Python's global interpreter lock while it lives, if this thread holds it. libtorch's
/// autograd engine refuses to run under the lock, which simulators in Python (ASE through kimpy)
/// keep while they call a model. Python is found at run time; without it nothing happens.
class PythonLockRelease {
 public:
  PythonLockRelease();
  ~PythonLockRelease();
  PythonLockRelease(PythonLockRelease const&) = delete;
  PythonLockRelease& operator=(PythonLockRelease const&) = delete;

 private:
  void* state_ = nullptr;
};

}  // namespace torchml
