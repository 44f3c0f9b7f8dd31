# Builds the project in the folder `library` and installs it into `scratch`, then configures, builds
# and runs the project in `source` with it.
file(REMOVE_RECURSE "${scratch}")
foreach(step IN ITEMS
    "-S|${library}|-B|${scratch}/library|-DCMAKE_CXX_COMPILER=${compiler}|-DTORCHML_SANITIZE=${sanitize}"
    "--build|${scratch}/library|--parallel|2"
    "--install|${scratch}/library|--prefix|${scratch}/prefix"
    "-S|${source}|-B|${scratch}/build|-DCMAKE_PREFIX_PATH=${scratch}/prefix|-DCMAKE_CXX_COMPILER=${compiler}|-DCMAKE_CXX_FLAGS=${flags}"
    "--build|${scratch}/build"
    "-E|env|${scratch}/build/consumer")
  string(REPLACE "|" ";" arguments "${step}")
  execute_process(COMMAND "${CMAKE_COMMAND}" ${arguments} COMMAND_ERROR_IS_FATAL ANY)
endforeach()
