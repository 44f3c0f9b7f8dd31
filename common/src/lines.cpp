#include "torchml/common/lines.hpp"

#include <algorithm>
#include <fstream>

#include "torchml/common/error.hpp"
#include "torchml/common/text.hpp"

namespace torchml {

Lines::Lines(std::string_view text, std::string source) : rest_(text), source_(std::move(source)) {
  if (rest_.starts_with("\xEF\xBB\xBF")) rest_.remove_prefix(3);
}

std::string Lines::next(std::string_view meaning) {
  if (auto line = next_if_any(); !line.empty()) return line;
  throw Error(source_ + " ends after line " + std::to_string(number_) + ", expected " +
              std::string(meaning));
}

std::string Lines::next_if_any() {
  while (!rest_.empty()) {
    auto const end = rest_.find('\n');
    auto const line = trim(rest_.substr(0, end));
    rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
    ++number_;
    if (!line.empty() && line.front() != '#') return std::string(line);
  }
  return {};
}

std::string Lines::peek() const {
  Lines ahead = *this;
  return ahead.next_if_any();
}

void Lines::refuse(std::string_view what, std::string_view expected) const {
  throw Error(where() + ": " + std::string(what) + ", expected " + std::string(expected));
}

std::string Lines::where() const {
  return source_ + " line " + std::to_string(number_);
}

std::string read_text(std::filesystem::path const& path, std::string_view expected) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw Error("cannot open " + path.string() + ", expected " + std::string(expected));
  constexpr std::size_t most = 1 << 24;
  std::string text;
  for (char part[4096]; stream.read(part, sizeof part), stream.gcount() > 0;) {
    text.append(part, static_cast<std::size_t>(stream.gcount()));
    if (text.size() > most)
      throw Error(path.string() + " holds more than 16 MiB, expected " + std::string(expected));
  }
  if (!stream.eof())
    throw Error("cannot read " + path.string() + ", expected " + std::string(expected));
  return text;
}

}  // namespace torchml
