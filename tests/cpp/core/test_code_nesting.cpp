#include <gtest/gtest.h>

#include <string>

#include "model/code_nesting.hpp"
#include "model/pickled_storages.hpp"
#include "support.hpp"

namespace torchml::test::code_nesting_tests {
namespace {

using namespace std::string_literals;

constexpr std::size_t many = 400;

std::string repeated(std::string const& text) {
  std::string all;
  for (std::size_t k = 0; k < many; ++k) all += text;
  return all;
}

TEST(CodeNesting, CountsWhatTheParserCallsItselfFor) {
  for (std::string const& code :
       {repeated("(") + "x" + repeated(")"), "y = " + repeated("[") + repeated("]"),
        "y : " + repeated("List[") + "int" + repeated("]"), "y = " + repeated("-") + "x",
        "y = " + repeated("not ") + "x", "y = x" + repeated("+x"), "y = x" + repeated("[0, 1]"),
        "y = x" + repeated(".T"), "y = x" + repeated(" if x else x"), "y = x" + repeated("\\\n+ x"),
        "y = (x" + repeated("\n+ x") + ")", "if x:\n  pass\n" + repeated("elif x:\n  pass\n"),
        "y = " + repeated("lambda a, b: ") + "x", repeated(" ") + "y = x", repeated("\n") + "y = x",
        repeated("# y\n") + "y = x", repeated("\\\n"), "y = x  # type: " + repeated("List[")}) {
    EXPECT_TRUE(nests_deeper(code, many - 1)) << code;
    EXPECT_FALSE(nests_deeper(code, 9 * many)) << code;
  }
}

TEST(CodeNesting, BracketsInTextsAndCommentsCloseNothing) {
  for (std::string const& code : {repeated("[')', "), repeated("[\"\"\"\n]\\\"]\"\"\", "),
                                  repeated("['\\']', "), "[" + repeated("[  # ]\n")})
    EXPECT_TRUE(nests_deeper("y = " + code, many - 1)) << code;
}

TEST(CodeNesting, LongIsNotDeep) {
  for (std::string const& code :
       {repeated("y = torch.add(x, torch.mul(x, 2.), alpha=1)\n"),
        "y = [" + repeated("(1, [2., -3]), ") + "]", "y = x  # " + repeated("("),
        "y = '" + repeated("(\\'") + "'", "y = '''" + repeated("(\n") + "'''",
        repeated("if x:\n  if x:\n    y = x\nelse:\n  y = x\n")})
    EXPECT_FALSE(nests_deeper(code, 20)) << code;
}

TEST(CodeNesting, TypesInPicklesAreRead) {
  auto const reason = [](std::string const& type) {
    auto const size = std::string(1, static_cast<char>(type.size() & 255)) +
                      static_cast<char>(type.size() >> 8) + "\0\0"s;
    return error_of([&] {
      pickled_storages(
          "\x80\x02"
          "ctorch.jit._pickle\nrestore_type_tag\n]X" +
          size + type + "\x86R.");
    });
  };
  EXPECT_EQ(reason("List[Dict[str, Tensor]]"), "");
  EXPECT_TRUE(contains(reason(repeated("List[") + "int"), "names a type that nests too deep"));
}

}  // namespace
}  // namespace torchml::test::code_nesting_tests
