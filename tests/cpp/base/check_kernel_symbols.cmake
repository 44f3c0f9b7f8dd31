# cmake -D nm=<nm> -D set=<instruction set> -D objects=<object files> -P check_kernel_symbols.cmake
#
# Kernels define nothing but symbols of their own namespace: the linker keeps one copy of a function
# that several objects define, and it must not be one built for a processor that is not there.
string(LENGTH "${set}" length)
set(own "^_Z[A-Z]*NK?7torchml(4simd|9operators|10descriptor)${length}${set}[0-9E]")
set(checked 0)
foreach(object ${objects})
  execute_process(COMMAND "${nm}" --defined-only --extern-only --format=posix "${object}"
    OUTPUT_VARIABLE listing COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "[^\n]+" lines "${listing}")
  foreach(line ${lines})
    string(REGEX REPLACE " .*" "" symbol "${line}")
    math(EXPR checked "${checked} + 1")
    if(NOT symbol MATCHES "${own}" AND NOT symbol MATCHES "^DW\\.ref\\.")
      message(SEND_ERROR "${object} defines ${symbol}, expected symbols of ${set} alone")
    endif()
  endforeach()
endforeach()
if(checked EQUAL 0)
  message(FATAL_ERROR "no symbols were found in '${objects}'")
endif()
message("${checked} symbols of ${set}")
