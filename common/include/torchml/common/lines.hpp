// The meaningful lines of a text file, with messages that name their place.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace torchml {

/// Lines that are neither blank nor a comment (#), without blanks around them. Line ends may be
/// CRLF, a byte order mark is skipped.
class Lines {
 public:
  /// `source` names the text in messages. The text has to outlive the lines.
  Lines(std::string_view text, std::string source);

  /// The next line; `meaning` is for the message at the end of the file.
  std::string next(std::string_view meaning);

  /// The next line, or nothing at the end of the file.
  std::string next_if_any();

  /// The line that next_if_any() will give.
  [[nodiscard]] std::string peek() const;

  /// Throws Error about the line given last.
  [[noreturn]] void refuse(std::string_view what, std::string_view expected) const;

  [[nodiscard]] int number() const { return number_; }  ///< of the line given last, from 1
  [[nodiscard]] std::string where() const;              ///< source and number

 private:
  std::string_view rest_;
  std::string source_;
  int number_ = 0;
};

/// A whole file; `expected` names what it should be. Throws Error when it cannot be read or
/// is larger than any file of parameters.
std::string read_text(std::filesystem::path const& path, std::string_view expected);

}  // namespace torchml
