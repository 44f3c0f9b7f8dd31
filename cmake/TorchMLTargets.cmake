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

# torchml_target_defaults(<target>): C++20, warnings (errors with TORCHML_WARNINGS_AS_ERRORS, as in
# `make test`; a user's compiler may know warnings that ours does not), optimised whatever the build
# type.
# KIM-API passes its own build type (None on Debian, so no -O flag at all), so the flags belong to
# the targets.
function(torchml_target_defaults target)
  set_target_properties(${target} PROPERTIES
    CXX_STANDARD 20
    CXX_STANDARD_REQUIRED ON
    CXX_EXTENSIONS OFF
    POSITION_INDEPENDENT_CODE ON
    CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON)
  target_compile_options(${target} PRIVATE -O3 -Wall -Wextra
    $<$<BOOL:${TORCHML_WARNINGS_AS_ERRORS}>:-Werror>)
  if(TORCHML_SANITIZE)
    target_compile_options(${target} PRIVATE -g -fno-omit-frame-pointer -fsanitize=${TORCHML_SANITIZE}
      -fno-sanitize=vptr)  # libtorch hides the type information of some classes
    target_link_options(${target} PUBLIC -fsanitize=${TORCHML_SANITIZE})
  else()
    target_compile_definitions(${target} PRIVATE NDEBUG)
  endif()
endfunction()
