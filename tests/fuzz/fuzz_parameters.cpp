#include "fuzz_parameters.hpp"

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "torchml/common/error.hpp"
#include "torchml/descriptor/parameters.hpp"

namespace torchml::descriptor::fuzz {
namespace {

// Tables of large descriptors take seconds; what could break does so in small ones.
bool is_small(SymmetryFunctionsParameters const& parameters) {
  return parameters.functions.size() <= 100;
}
bool is_small(BispectrumParameters const& parameters) {
  return parameters.twojmax <= 4;
}
bool is_small(SoapParameters const& parameters) {
  return parameters.n_max <= 3 && parameters.l_max <= 3 && parameters.cutoffs.species().size() <= 3;
}
bool is_small(XiParameters const& parameters) {
  return parameters.q <= 2;
}

[[noreturn]] void fail(char const* promise, std::string_view input) {
  std::fprintf(stderr, "%s:\n%.*s\n", promise, static_cast<int>(input.size()), input.data());
  std::abort();
}

void try_to_make(Parameters const& parameters, std::string_view input) {
  if (!std::visit([](auto const& kind) { return is_small(kind); }, parameters)) return;
  try {
    if (make_descriptor(parameters)->width() == 0) fail("a descriptor has no components", input);
  } catch (Error const&) {  // numbers that are allowed one by one may not fit together
  }
}

}  // namespace

bool try_parameters(std::string_view input) {
  auto const end = input.find('\n');
  if (end == std::string_view::npos) return false;
  auto const kind = input.substr(0, end);
  Parameters parameters;
  try {
    parameters = parse_parameters(input.substr(end + 1), kind, "input");
  } catch (Error const&) {
    return false;
  }
  auto const written = format_parameters(parameters);
  if (parse_parameters(written, kind, "written") != parameters)
    fail("parameters differ after writing and reading", input);
  try_to_make(parameters, input);
  return true;
}

}  // namespace torchml::descriptor::fuzz

#ifdef TORCHML_LIBFUZZER
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  torchml::descriptor::fuzz::try_parameters({reinterpret_cast<char const*>(data), size});
  return 0;
}
#endif
