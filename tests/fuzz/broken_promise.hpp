// The end of a program that broke a promise, which libFuzzer and the tests notice.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace torchml::fuzz {

[[noreturn]] inline void break_promise(char const* what) {
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

}  // namespace torchml::fuzz
