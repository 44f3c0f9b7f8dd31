# embed_parameter_files(TARGET FILE...) embeds files of a portable model through the assembler.
#
# KIM-API makes a source of each file: an array of numbers in C (2.2 and 2.3), which takes the
# compiler 1.5 s and 150 MB for each MB of the file, or base64 in C++ (2.4). The assembler copies
# the file instead (.incbin), 50 MB in a fraction of a second. Where the compiler or the format of
# its object files does not allow that, or where KIM-API makes other sources, its own way remains.

# Write C code that defines `symbol` as the bytes of the file `content`, with a zero after them,
# and `symbol`_len as their number.
function(_write_embedding source symbol content)
  set(template [=[
__extension__ __asm__(
    ".pushsection .rodata\n"
    ".balign 16\n"
    ".globl @symbol@, @symbol@_len\n"
    ".type @symbol@, %object\n"
    "@symbol@:\n"
    ".incbin \"@content@\"\n"
    "1: .size @symbol@, 1b - @symbol@\n"
    ".byte 0\n"
    ".balign 4\n"
    ".type @symbol@_len, %object\n"
    ".size @symbol@_len, 4\n"
    "@symbol@_len:\n"
    ".long 1b - @symbol@\n"
    ".popsection\n");
]=])
  string(CONFIGURE "${template}" code @ONLY)
  file(WRITE "${source}" "${code}")
endfunction()

function(embed_parameter_files target)
  set(options -fno-lto)  # the linker does not see symbols of assembler code in LTO objects
  if(NOT DEFINED HAVE_INCBIN)
    set(trial "${CMAKE_CURRENT_BINARY_DIR}/incbin.c")
    _write_embedding("${trial}" incbin "${CMAKE_CURRENT_SOURCE_DIR}/CMakeLists.txt")
    set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
    try_compile(HAVE_INCBIN "${CMAKE_CURRENT_BINARY_DIR}" SOURCES "${trial}"
      COMPILE_DEFINITIONS ${options})
  endif()
  find_program(BASE64_EXECUTABLE base64)

  get_target_property(sources ${target} SOURCES)
  foreach(file IN LISTS ARGN)
    set(content "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
    set(generated "${CMAKE_CURRENT_BINARY_DIR}/${file}")
    if(HAVE_INCBIN AND "${generated}.c" IN_LIST sources)
      list(REMOVE_ITEM sources "${generated}.c")
    elseif(HAVE_INCBIN AND BASE64_EXECUTABLE AND "${generated}.cpp" IN_LIST sources)
      list(REMOVE_ITEM sources "${generated}.cpp")
      add_custom_command(OUTPUT "${generated}.base64" DEPENDS "${content}" VERBATIM
        COMMAND "${BASE64_EXECUTABLE}" < "${content}" > "${generated}.base64")
      set(content "${generated}.base64")
    else()
      continue()
    endif()
    string(MAKE_C_IDENTIFIER "${file}" symbol)
    _write_embedding("${generated}.embedded.c" ${symbol} "${content}")
    set_source_files_properties("${generated}.embedded.c" PROPERTIES
      COMPILE_FLAGS ${options} OBJECT_DEPENDS "${content}")
    list(APPEND sources "${generated}.embedded.c")
  endforeach()
  set_property(TARGET ${target} PROPERTY SOURCES ${sources})
endfunction()
