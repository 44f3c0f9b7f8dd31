# Settings shared by all targets of this project.

# torchml_option(<name>): an option from -D or from the environment, since KIM-API's installer
# passes no -D on.
macro(torchml_option name description)
  if(DEFINED ENV{${name}} AND NOT DEFINED ${name})
    set(${name} "$ENV{${name}}")
  endif()
  option(${name} "${description}" OFF)
endmacro()

torchml_option(TORCHML_WARNINGS_AS_ERRORS "Compiler warnings are errors")
# -O1 for sanitizers, with which optimised kernels take long to compile.
set(TORCHML_OPTIMIZATION -O3 CACHE STRING "How far the compiler optimises")

# torchml_target_defaults(<target>): C++20, warnings (errors with TORCHML_WARNINGS_AS_ERRORS, as in
# `make test`; a user's compiler may know warnings that ours does not), optimised whatever the build
# type.
# KIM-API passes its own build type (None on Debian, so no -O flag at all), so the flags belong to
# the targets.
# From GCC 14 on, bounds of arrays stay warnings: it finds an access outside of them in the
# vector<bool> of its own library, where torch's Function::apply is inlined into our operators.
function(torchml_target_defaults target)
  set_target_properties(${target} PROPERTIES
    CXX_STANDARD 20
    CXX_STANDARD_REQUIRED ON
    CXX_EXTENSIONS OFF
    POSITION_INDEPENDENT_CODE ON
    CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON)
  target_compile_options(${target} PRIVATE ${TORCHML_OPTIMIZATION} -Wall -Wextra
    $<$<BOOL:${TORCHML_WARNINGS_AS_ERRORS}>:-Werror>)
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 14)
    target_compile_options(${target} PRIVATE -Wno-error=array-bounds)
  endif()
  if(TORCHML_SANITIZE)
    target_compile_options(${target} PRIVATE -g -fno-omit-frame-pointer -fsanitize=${TORCHML_SANITIZE}
      -fno-sanitize=vptr)  # libtorch hides the type information of some classes
    target_link_options(${target} PUBLIC -fsanitize=${TORCHML_SANITIZE})
  else()
    target_compile_definitions(${target} PRIVATE NDEBUG)
  endif()
endfunction()

# torchml_simd_kernels(<target> <source>...): compiles each source once per instruction set (see
# torchml/common/simd/dispatch.hpp) into the target, with the include folders of the target. No
# -ffast-math: only what an error flag of a function forbids is allowed.
function(torchml_simd_kernels target)
  set(sets baseline)
  set(flags_baseline "")
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64")
    list(APPEND sets avx2 avx512)
    set(flags_avx2 -mavx2 -mfma)
    set(flags_avx512 -mavx2 -mfma -mavx512f -mavx512dq -mavx512vl -mavx512bw
      -mprefer-vector-width=512)
  endif()
  if(TORCHML_SANITIZE MATCHES "address")
    # The compiler's pass for uses after scope takes minutes with the kernels' many inlined vectors.
    set(sanitizer_flags -fno-sanitize-address-use-after-scope)
  endif()
  foreach(set ${sets})
    add_library(${target}_${set} OBJECT ${ARGN})
    target_link_libraries(${target}_${set} PRIVATE TorchML::common)
    target_include_directories(${target}_${set}
      PRIVATE $<TARGET_PROPERTY:${target},INCLUDE_DIRECTORIES>)
    torchml_target_defaults(${target}_${set})
    target_compile_definitions(${target}_${set} PRIVATE TORCHML_SIMD=${set})
    target_compile_options(${target}_${set} PRIVATE
      ${flags_${set}} ${sanitizer_flags} -fno-math-errno -fno-trapping-math -ffp-contract=fast)
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:${target}_${set}>)
  endforeach()
endfunction()
