#include "fuzz_param_file.hpp"

#include <cmath>
#include <cstdint>

#include "broken_promise.hpp"
#include "spec/model_declaration.hpp"
#include "spec/param_file.hpp"
#include "torchml/common/error.hpp"

namespace torchml::fuzz {

bool try_param_file(std::string_view input) {
  Declaration declaration;
  try {
    declaration = parse_param_file(input, "input.param");
  } catch (Error const&) {
    return false;
  }
  if (declaration.fields.at("model").empty()) break_promise("the archive has no name");
  try {
    auto const spec = merge({declaration});
    if (spec.species.empty() || !(spec.influence_distance() > 0.0) || spec.number_of_inputs < 1)
      break_promise("a declaration is incomplete");
  } catch (Error const&) {  // a file of its own describes the descriptor; numbers may not fit
  }
  return true;
}

}  // namespace torchml::fuzz

#ifdef TORCHML_LIBFUZZER
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  torchml::fuzz::try_param_file({reinterpret_cast<char const*>(data), size});
  return 0;
}
#endif
