#include "torchml/common/simd/dispatch.hpp"

#include <cstdlib>
#include <string>

#include "torchml/common/error.hpp"

namespace torchml::simd {
namespace {

InstructionSet best() {
#ifdef TORCHML_SIMD_X86
  __builtin_cpu_init();
  bool const avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  bool const avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512bw");
  if (avx512) return InstructionSet::avx512;
  if (avx2) return InstructionSet::avx2;
#endif
  return InstructionSet::baseline;
}

InstructionSet choose() {
  auto const available = best();
  char const* const name = std::getenv("TORCHML_DESCRIPTOR_SIMD");
  if (name == nullptr || *name == '\0') return available;
  std::string const requested = name;
  for (auto const& [known, set] :
       {std::pair{"baseline", InstructionSet::baseline}, std::pair{"avx2", InstructionSet::avx2},
        std::pair{"avx512", InstructionSet::avx512}})
    if (requested == known) return set < available ? set : available;
  throw Error("TORCHML_DESCRIPTOR_SIMD is '" + requested + "', expected baseline, avx2 or avx512");
}

}  // namespace

InstructionSet instruction_set() {
  static InstructionSet const chosen = choose();
  return chosen;
}

}  // namespace torchml::simd
