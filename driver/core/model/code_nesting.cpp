#include "model/code_nesting.hpp"

#include <algorithm>
#include <vector>

namespace torchml {
namespace {

bool is_word(char c) {
  return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

/// Goes through the tokens as libtorch's lexer finds them (torch/csrc/jit/frontend/lexer.h).
class Scanner {
 public:
  explicit Scanner(std::string_view source) : rest_(source) { indent(); }

  bool finds_more_than(std::size_t levels) {
    while (!rest_.empty()) {
      step();
      if (in_brackets_ + indentation_ + blocks_ + lines_ > levels) return true;
    }
    return false;
  }

 private:
  void step() {
    char const c = rest_.front();
    if (c == '\n') {
      rest_.remove_prefix(1);
      end_line();
    } else if (is_blank(c)) {
      rest_.remove_prefix(1);
    } else if (rest_.starts_with("\\\n")) {
      rest_.remove_prefix(2);
      ++lines_;
    } else if (c == '#' && !rest_.starts_with("# type:")) {
      rest_.remove_prefix(std::min(rest_.find('\n'), rest_.size()));
    } else {
      take_token(c);
    }
  }

  void end_line() {
    ++lines_;
    if (tokens_.size() > 1) return;
    in_brackets_ = tokens_.front() = 0;
    indent();
  }
  void indent() {
    indentation_ = 0;
    for (; !rest_.empty() && is_blank(rest_.front()); rest_.remove_prefix(1)) ++indentation_;
  }

  void take_token(char c) {
    lines_ = 0;
    if (is_word(c)) {
      take_word();
    } else if (c == '"' || c == '\'') {
      take_text(c);
    } else {
      rest_.remove_prefix(1);
    }
    if (c == ')' || c == ']' || c == '}') {
      if (tokens_.size() == 1) return;
      in_brackets_ -= tokens_.back();
      tokens_.pop_back();
    } else if (c == ',') {
      in_brackets_ -= tokens_.back();
      tokens_.back() = 0;
    } else {
      ++in_brackets_;
      ++tokens_.back();
      if (c == '(' || c == '[' || c == '{') tokens_.push_back(0);
    }
  }

  void take_word() {
    auto const end = std::ranges::find_if_not(rest_, is_word) - rest_.begin();
    auto const word = rest_.substr(0, static_cast<std::size_t>(end));
    rest_.remove_prefix(word.size());
    if (word == "elif" || word == "lambda") ++blocks_;
  }

  /// A text ends at its line where its quotation mark is missing; the parser refuses it there.
  void take_text(char mark) {
    std::string_view const triple = mark == '"' ? R"(""")" : "'''";
    auto const quote = rest_.starts_with(triple) ? triple : triple.substr(0, 1);
    rest_.remove_prefix(quote.size());
    while (!rest_.empty() && !rest_.starts_with(quote)) {
      if (rest_.front() == '\n' && quote.size() == 1) return;
      rest_.remove_prefix(rest_.front() == '\\' ? std::min<std::size_t>(2, rest_.size()) : 1);
    }
    rest_.remove_prefix(std::min(quote.size(), rest_.size()));
  }

  std::string_view rest_;
  std::vector<std::size_t> tokens_{0};  ///< since the last comma, outside and in each open bracket
  std::size_t in_brackets_ = 0;         ///< sum of tokens_
  std::size_t indentation_ = 0;
  std::size_t blocks_ = 0;
  std::size_t lines_ = 0;
};

}  // namespace

bool nests_deeper(std::string_view source, std::size_t levels) {
  return Scanner(source).finds_more_than(levels);
}

}  // namespace torchml
