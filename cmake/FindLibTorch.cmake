# Finds libtorch and defines the target LibTorch::LibTorch, LibTorch_VERSION (three numbers),
# LibTorch_BUILD (with the build, such as 2.13.0+cpu) and LibTorch_LIBRARY_DIR.
#
# Looked for in TORCH_ROOT (a libtorch folder or a Python package's torch folder, given to CMake or
# in the environment), else in the torch that the active Python imports. TorchConfig.cmake is not
# used: with a CUDA build it demands the CUDA toolkit, which a program that only links libtorch
# does not need.

if(NOT TORCH_ROOT AND DEFINED ENV{TORCH_ROOT})
  set(TORCH_ROOT "$ENV{TORCH_ROOT}")
endif()
# pip hides the packages of an environment from the builds that it isolates, by variables that -E
# ignores; other tools build in an environment of their own, and VIRTUAL_ENV names the user's.
find_program(TORCHML_PYTHON NAMES python3 python)
foreach(python "${Python_EXECUTABLE}" "${TORCHML_PYTHON}" "$ENV{VIRTUAL_ENV}/bin/python")
  foreach(options "" "-E")
    if(NOT TORCH_ROOT AND EXISTS "${python}")
      execute_process(
        COMMAND "${python}" ${options} -c
          "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])"
        OUTPUT_VARIABLE TORCH_ROOT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    endif()
  endforeach()
endforeach()

find_path(LibTorch_INCLUDE_DIR torch/script.h
  PATHS "${TORCH_ROOT}/include" NO_DEFAULT_PATH)
foreach(library torch torch_cpu c10 torch_cuda c10_cuda)
  find_library(LibTorch_${library}_LIBRARY ${library} PATHS "${TORCH_ROOT}/lib" NO_DEFAULT_PATH)
  mark_as_advanced(LibTorch_${library}_LIBRARY)
endforeach()
mark_as_advanced(LibTorch_INCLUDE_DIR TORCHML_PYTHON)

if(LibTorch_INCLUDE_DIR)
  foreach(header torch/headeronly/version.h torch/csrc/api/include/torch/version.h)
    if(NOT LibTorch_VERSION AND EXISTS "${LibTorch_INCLUDE_DIR}/${header}")
      file(STRINGS "${LibTorch_INCLUDE_DIR}/${header}" lines REGEX "TORCH_VERSION_(MAJOR|MINOR|PATCH) [0-9]")
      string(REGEX REPLACE "[^0-9;]" "" lines "${lines}")
      string(REPLACE ";" "." LibTorch_VERSION "${lines}")
    endif()
  endforeach()
endif()

# A Python package says which build it is in version.py, libtorch on its own in build-version.
set(LibTorch_BUILD "${LibTorch_VERSION}")
get_filename_component(LibTorch_ROOT "${LibTorch_INCLUDE_DIR}" DIRECTORY)
if(EXISTS "${LibTorch_ROOT}/version.py")
  file(STRINGS "${LibTorch_ROOT}/version.py" line REGEX "^__version__ = ")
  string(REGEX REPLACE "^[^']*'([^']*)'.*" "\\1" LibTorch_BUILD "${line}")
elseif(EXISTS "${LibTorch_ROOT}/build-version")
  file(STRINGS "${LibTorch_ROOT}/build-version" LibTorch_BUILD LIMIT_COUNT 1)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch
  REQUIRED_VARS LibTorch_torch_LIBRARY LibTorch_torch_cpu_LIBRARY LibTorch_c10_LIBRARY LibTorch_INCLUDE_DIR
  VERSION_VAR LibTorch_VERSION
  REASON_FAILURE_MESSAGE
    "looked in TORCH_ROOT='${TORCH_ROOT}', install torch first (pip install torch), activate the Python that has it, or set TORCH_ROOT to a libtorch folder")

if(LibTorch_FOUND AND NOT TARGET LibTorch::LibTorch)
  get_filename_component(LibTorch_LIBRARY_DIR "${LibTorch_torch_LIBRARY}" DIRECTORY)
  add_library(LibTorch::LibTorch INTERFACE IMPORTED)
  set(libraries "${LibTorch_torch_LIBRARY}" "${LibTorch_torch_cpu_LIBRARY}" "${LibTorch_c10_LIBRARY}")
  if(LibTorch_torch_cuda_LIBRARY)
    # Registers the CUDA kernels when it is loaded; no symbol of ours refers to it.
    list(PREPEND libraries "-Wl,--no-as-needed" "${LibTorch_torch_cuda_LIBRARY}"
      "${LibTorch_c10_cuda_LIBRARY}" "-Wl,--as-needed")
  endif()
  target_link_libraries(LibTorch::LibTorch INTERFACE ${libraries})
  target_include_directories(LibTorch::LibTorch SYSTEM INTERFACE
    "${LibTorch_INCLUDE_DIR}" "${LibTorch_INCLUDE_DIR}/torch/csrc/api/include")
  target_compile_features(LibTorch::LibTorch INTERFACE cxx_std_20)
  # Old builds use the pre-C++11 ABI of libstdc++ and declare it here.
  set(LibTorch_CXX11_ABI 1)
  set(config "${LibTorch_ROOT}/share/cmake/Torch/TorchConfig.cmake")
  if(EXISTS "${config}")
    file(STRINGS "${config}" abi REGEX "_GLIBCXX_USE_CXX11_ABI=0")
    if(abi)
      set(LibTorch_CXX11_ABI 0)
      target_compile_definitions(LibTorch::LibTorch INTERFACE _GLIBCXX_USE_CXX11_ABI=0)
    endif()
  endif()
endif()
