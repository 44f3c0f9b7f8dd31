// Running inside a Python process without linking to Python.
#pragma once

namespace torchml {

/// Releases Python's global interpreter lock (GIL) while it lives, if this thread holds it.
/// libtorch's autograd engine refuses to run under the GIL, which simulators in Python (ASE through
/// kimpy) keep while they call a model. Python is found at run time; without it nothing happens.
class GilRelease {
 public:
  GilRelease();
  ~GilRelease();
  GilRelease(GilRelease const&) = delete;
  GilRelease& operator=(GilRelease const&) = delete;

 private:
  void* state_ = nullptr;
};

}  // namespace torchml
