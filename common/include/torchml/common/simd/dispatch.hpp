// One build of each kernel per instruction set, and the choice among them at run time.
//
// A kernel is a struct of function pointers. Its source is compiled once per instruction set, with
// TORCHML_SIMD set to the name of that set (see torchml_simd_kernels in common/CMakeLists.txt), and
// defines the kernel in a namespace of that name. Such a source may use nothing but what it defines
// there, the other headers of this folder, and functions that are compiled elsewhere: an inline
// function of the standard library, built for AVX-512, might be the copy that the linker keeps for
// the whole program.
#pragma once

namespace torchml::simd {

enum class InstructionSet { baseline, avx2, avx512 };

/// The best that this processor has, or the one that the environment variable
/// TORCHML_DESCRIPTOR_SIMD names (baseline, avx2, avx512), if the processor has it. Throws Error
/// for an unknown name.
InstructionSet instruction_set();

}  // namespace torchml::simd

/// Declares, in the namespace where it stands, a kernel that is defined once per instruction set,
/// and `name()`, which picks one.
#define TORCHML_KERNEL(Kernel, name) \
  namespace baseline {               \
  extern Kernel const name;          \
  }                                  \
  namespace avx2 {                   \
  extern Kernel const name;          \
  }                                  \
  namespace avx512 {                 \
  extern Kernel const name;          \
  }                                  \
  inline Kernel const& name() {      \
    return TORCHML_PICK(name);       \
  }

#ifdef TORCHML_SIMD_X86
#define TORCHML_PICK(name)                                                                     \
  ::torchml::simd::instruction_set() == ::torchml::simd::InstructionSet::avx512 ? avx512::name \
  : ::torchml::simd::instruction_set() == ::torchml::simd::InstructionSet::avx2 ? avx2::name   \
                                                                                : baseline::name
#else
#define TORCHML_PICK(name) baseline::name
#endif
