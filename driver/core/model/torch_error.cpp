#include "model/torch_error.hpp"

#include <c10/util/Exception.h>

#include <sstream>

#include "torchml/common/text.hpp"

namespace torchml {

std::string describe(std::exception const& exception) {
  auto const* const torch_error = dynamic_cast<c10::Error const*>(&exception);
  std::istringstream lines(torch_error != nullptr ? torch_error->what_without_backtrace()
                                                  : exception.what());
  // The interpreter prints a traceback whose last "SomethingError: reason" line is the cause;
  // other errors have it in their first line.
  std::string first;
  std::string cause;
  for (std::string line; std::getline(lines, line);) {
    auto const text = trim(line);
    if (text.empty() || text.starts_with("frame #")) continue;
    if (first.empty()) first = text;
    auto const colon = text.find(": ");
    auto const head = text.substr(0, colon);
    if (colon != std::string_view::npos && head.find(' ') == std::string_view::npos &&
        (head.ends_with("Error") || head.ends_with("Exception")))
      cause = text;
  }
  return cause.empty() ? first : cause;
}

}  // namespace torchml
