#include "environment.hpp"

#include <cstdlib>

#include "torchml/common/text.hpp"

namespace torchml::kim {
namespace {

std::string variable(char const* name) {
  char const* const value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(trim(value));
}

bool is_on(std::string const& value) {
  auto const word = lower(value);
  return !word.empty() && word != "0" && word != "no" && word != "off" && word != "false";
}

}  // namespace

Environment read_environment() {
  auto const device = variable("KIM_MODEL_EXECUTION_DEVICE");
  return {device.empty() ? "cpu" : device, is_on(variable("KIM_MODEL_ELEMENTS_MAP"))};
}

}  // namespace torchml::kim
