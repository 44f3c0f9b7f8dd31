# The engine (common, descriptor and driver/core) as the targets TorchML::common,
# TorchML::descriptor and TorchML::core: compiled here, or taken from a folder that the Python
# package ships. One compilation serves the package, the KIM driver and the test programs.

torchml_option(KIM_MODEL_MPI_AWARE "Ask MPI for the rank where the launcher does not set it")

# Folders searched for operator libraries of models that need them; nothing is linked.
set(TORCHML_EXTENSION_ROOTS "")
foreach(extension TorchScatter_ROOT TorchSparse_ROOT)
  if(DEFINED ENV{${extension}} AND NOT DEFINED ${extension})
    set(${extension} "$ENV{${extension}}")
  endif()
  if(${extension})
    string(APPEND TORCHML_EXTENSION_ROOTS "${${extension}}:")
  endif()
endforeach()

set(TORCHML_SOURCE_ROOT "${CMAKE_CURRENT_LIST_DIR}/..")
set(TORCHML_ENGINE_SOURCES cmake common descriptor driver/core)

# torchml_add_engine([<folder>...]): the compiled engine of the first folder in which it fits, else
# from the sources beside this file.
function(torchml_add_engine)
  torchml_add_mpi_world()
  torchml_engine_facts(wanted)
  foreach(folder ${ARGN})
    torchml_compare_engine("${folder}" "${wanted}" obstacle)
    if(NOT obstacle)
      message(STATUS "TorchML engine: compiled already, in ${folder}")
      include("${folder}/targets.cmake")
      target_link_libraries(TorchML::core INTERFACE torchml_mpi_world)
      return()
    endif()
    message(STATUS "TorchML engine: not the compiled one in ${folder}, since ${obstacle}")
  endforeach()
  message(STATUS "TorchML engine: compiled from its sources")
  foreach(part common descriptor driver/core)
    add_subdirectory("${TORCHML_SOURCE_ROOT}/${part}" "${CMAKE_CURRENT_BINARY_DIR}/${part}")
  endforeach()
  target_link_libraries(torchml_core INTERFACE $<BUILD_INTERFACE:torchml_mpi_world>)
endfunction()

# torchml_add_mpi_world(): the part of the engine that depends on the MPI of this machine, as a
# library of its own, so that a compiled engine serves drivers with and without KIM_MODEL_MPI_AWARE.
function(torchml_add_mpi_world)
  add_library(torchml_mpi_world STATIC "${TORCHML_SOURCE_ROOT}/driver/core/host/mpi_world.cpp")
  target_include_directories(torchml_mpi_world PRIVATE "${TORCHML_SOURCE_ROOT}/driver/core")
  torchml_target_defaults(torchml_mpi_world)
  if(KIM_MODEL_MPI_AWARE)
    set(MPI_CXX_SKIP_MPICXX ON)  # the C functions alone
    find_package(MPI REQUIRED COMPONENTS CXX)
    target_link_libraries(torchml_mpi_world PRIVATE MPI::MPI_CXX)
    target_compile_definitions(torchml_mpi_world PRIVATE TORCHML_WITH_MPI)
  endif()
endfunction()

# torchml_engine_facts(<variable>): what a compiled engine depends on, a list of "name=value".
function(torchml_engine_facts variable)
  set(digests "")
  foreach(part ${TORCHML_ENGINE_SOURCES})
    file(GLOB_RECURSE files RELATIVE "${TORCHML_SOURCE_ROOT}"
      "${TORCHML_SOURCE_ROOT}/${part}/*.[ch]pp" "${TORCHML_SOURCE_ROOT}/${part}/CMakeLists.txt"
      "${TORCHML_SOURCE_ROOT}/${part}/*.cmake")
    foreach(file ${files})
      file(SHA256 "${TORCHML_SOURCE_ROOT}/${file}" digest)
      string(APPEND digests "${file} ${digest}\n")
    endforeach()
  endforeach()
  string(SHA256 digest "${digests}")
  string(REPLACE ";" ":" extensions "${TORCHML_EXTENSION_ROOTS}")
  set(${variable}
    "sources=${digest}"
    "torch=${LibTorch_BUILD}"
    "CXX11 ABI=${LibTorch_CXX11_ABI}"
    "processor=${CMAKE_SYSTEM_PROCESSOR}"
    "folders of operator libraries=${extensions}"
    PARENT_SCOPE)
endfunction()

# torchml_compare_engine(<folder> <facts> <variable>): why the compiled engine in the folder cannot
# be used; empty where it can.
function(torchml_compare_engine folder wanted variable)
  set(${variable} "" PARENT_SCOPE)
  if(NOT EXISTS "${folder}/facts.txt")
    set(${variable} "there is none" PARENT_SCOPE)
    return()
  endif()
  file(STRINGS "${folder}/facts.txt" facts)
  foreach(fact ${wanted})
    if(NOT fact IN_LIST facts)
      string(REGEX REPLACE "=.*" "" name "${fact}")
      string(REGEX REPLACE "[^=]*=" "" value "${fact}")
      string(REGEX MATCH "(^|;)${name}=([^;]*)" line "${facts}")
      set(${variable} "${name} is '${CMAKE_MATCH_2}' there and '${value}' here" PARENT_SCOPE)
      return()
    endif()
  endforeach()
  # Older compilers may lack functions of the standard library that the engine calls.
  string(REGEX MATCH "compiler=GNU ([0-9]+)" line "${facts}")
  if(NOT line OR NOT CMAKE_CXX_COMPILER_ID STREQUAL GNU
      OR CMAKE_CXX_COMPILER_VERSION VERSION_LESS CMAKE_MATCH_1)
    if(NOT "compiler=${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}" IN_LIST facts)
      set(${variable} "its compiler does not fit ${CMAKE_CXX_COMPILER_ID} \
${CMAKE_CXX_COMPILER_VERSION}" PARENT_SCOPE)
    endif()
  endif()
endfunction()

# torchml_find_packaged_engine(<variable>): the engine folder of the torchml package that the active
# Python imports; empty where there is none.
function(torchml_find_packaged_engine variable)
  set(folder "")
  if(TORCHML_PYTHON AND NOT TORCHML_SANITIZE)
    execute_process(
      COMMAND "${TORCHML_PYTHON}" -c "import importlib.util as u, pathlib as p
print(p.Path(u.find_spec('torchml').origin).parent / 'driver' / 'engine')"
      OUTPUT_VARIABLE folder OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  endif()
  set(${variable} "${folder}" PARENT_SCOPE)
endfunction()

# torchml_install_driver_item(): the KIM item (its sources, and the engine as compiled here), from
# which an installed package builds the driver. The install prefix is the item, so that the item can
# be copied and renamed.
function(torchml_install_driver_item)
  foreach(target_and_headers
      "torchml_common;common/include" "torchml_descriptor;descriptor/include"
      "torchml_core;driver/core")
    list(GET target_and_headers 0 target)
    list(GET target_and_headers 1 headers)
    install(TARGETS ${target} EXPORT TorchMLEngine
      ARCHIVE DESTINATION engine INCLUDES DESTINATION ${headers})
  endforeach()
  install(EXPORT TorchMLEngine NAMESPACE TorchML:: FILE targets.cmake DESTINATION engine)
  torchml_engine_facts(facts)
  list(APPEND facts "compiler=${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")
  list(JOIN facts "\n" facts)
  file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/facts.txt" "${facts}\n")
  install(FILES "${CMAKE_CURRENT_BINARY_DIR}/facts.txt" DESTINATION engine)
  install(FILES CMakeLists.txt kimspec.edn LICENSE DESTINATION .)
  install(DIRECTORY cmake common descriptor driver DESTINATION .
    FILES_MATCHING PATTERN "*.[ch]pp" PATTERN "CMakeLists.txt" PATTERN "*.cmake*")
endfunction()
