# cmake -D nm=<nm> -D set=<instruction set> -D library=<archive> -P check_kernel_symbols.cmake
#
# Kernels define nothing but symbols of their own namespace: the linker keeps one copy of a function
# that several objects define, and it must not be one built for a processor that is not there.
string(LENGTH "${set}" length)
set(own "^_Z[A-Z]*NK?7torchml(4simd|9operators|10descriptor)${length}${set}[0-9E]")
execute_process(COMMAND "${nm}" --defined-only --extern-only --format=posix "${library}"
  OUTPUT_VARIABLE listing COMMAND_ERROR_IS_FATAL ANY)
# The lines of a member follow its name, "LIBRARY[NAME]:" of GNU's nm and "NAME:" of LLVM's; members
# of the three sets share names.
string(REGEX REPLACE "([^\n]*\\[)?([^]\n]+)\\]?:" "<\\2>" listing "${listing}")
string(REGEX MATCHALL "<[^>]*>[^<]*" members "${listing}")
set(checked 0)
foreach(member ${members})
  string(REGEX MATCHALL "\n[^ \n]+" symbols "${member}")
  list(TRANSFORM symbols STRIP)
  set(others "${symbols}")
  list(FILTER others EXCLUDE REGEX "${own}")
  if(symbols STREQUAL others)
    continue()  # a member without symbols of this set
  endif()
  list(FILTER others EXCLUDE REGEX "^DW\\.ref\\.")
  if(others)
    string(REGEX MATCH "<[^>]*>" name "${member}")
    message(SEND_ERROR "${name} of ${library} defines ${others}, expected symbols of ${set} alone")
  endif()
  math(EXPR checked "${checked} + 1")
endforeach()
if(checked EQUAL 0)
  message(FATAL_ERROR "no object of ${set} was found in '${library}'")
endif()
message("${checked} objects of ${set}")
