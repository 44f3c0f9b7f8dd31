#include "model/pickled_storages.hpp"

#include <algorithm>
#include <limits>
#include <optional>
#include <unordered_map>
#include <utility>

#include "model/code_nesting.hpp"
#include "torchml/common/error.hpp"
#include "torchml/common/text.hpp"

namespace torchml {
namespace {

// More than any model has: few enough that no file makes a program run out of memory, and nested
// so little that freeing them, which recurs, does not run out of stack.
constexpr std::size_t most_values = std::size_t{1} << 24;
constexpr std::size_t most_tuples = std::size_t{1} << 20;
constexpr std::size_t most_storages = std::size_t{1} << 20;
constexpr int most_levels = 1000;

std::optional<std::uint64_t> bytes_of_number(std::string_view storage) {
  static constexpr std::pair<std::string_view, std::uint64_t> sizes[] = {
      {"BFloat16Storage", 2},     {"BoolStorage", 1},     {"ByteStorage", 1},
      {"CharStorage", 1},         {"DoubleStorage", 8},   {"FloatStorage", 4},
      {"HalfStorage", 2},         {"IntStorage", 4},      {"LongStorage", 8},
      {"ShortStorage", 2},        {"QInt8Storage", 1},    {"QInt32Storage", 4},
      {"QUInt8Storage", 1},       {"QUInt4x2Storage", 1}, {"QUInt2x4Storage", 1},
      {"ComplexFloatStorage", 8}, {"UntypedStorage", 1},  {"ComplexDoubleStorage", 16}};
  for (auto const& [name, bytes] : sizes)
    if (name == storage) return bytes;
  return std::nullopt;
}

enum class Kind : std::uint8_t {
  plain,    ///< none, a truth value, a number with a fraction, a long integer
  integer,  ///< `number` itself
  text,     ///< `number` is an index into texts_
  name,     ///< of a class or function, into names_
  storage,  ///< into storages_
  tuple,    ///< into tuples_
  object    ///< a list, a mapping or anything made by a call, into objects_
};

struct Value {
  Kind kind = Kind::plain;
  std::int64_t number = 0;
};

struct Tuple {
  std::vector<Value> items;
  int levels;  ///< of values inside of each other, itself included
};

struct Object {
  int levels;
  bool is_inside;  ///< of another
};

struct Name {
  std::string_view module;
  std::string_view name;
};

struct Storage {
  std::uint64_t count;  ///< numbers of its type
  std::uint64_t width;  ///< bytes of each
};

class Machine {
 public:
  explicit Machine(std::string_view pickle) : bytes_(pickle) {}

  std::vector<PickledStorage> run() {
    while (step()) {
    }
    return std::move(found_);
  }

 private:
  [[noreturn]] void refuse(std::string const& what) const {
    throw Error("its pickle " + what + " at byte " + std::to_string(begin_));
  }

  std::string_view take(std::uint64_t size) {
    if (size > bytes_.size() - place_) refuse("ends in the middle of an instruction");
    auto const part = bytes_.substr(place_, size);
    place_ += size;
    return part;
  }

  std::uint64_t take_number(int width) {
    auto const part = take(static_cast<std::uint64_t>(width));
    std::uint64_t value = 0;
    for (int k = width; k-- > 0;)
      value = value << 8 | static_cast<unsigned char>(part[static_cast<std::size_t>(k)]);
    return value;
  }

  std::string_view take_line() {
    auto const end = bytes_.find('\n', place_);
    if (end == std::string_view::npos) refuse("ends in the middle of an instruction");
    auto const line = take(end - place_);
    ++place_;
    return line;
  }

  void push(Value value) {
    if (stack_.size() == most_values) refuse("holds too many values");
    stack_.push_back(value);
  }
  /// Keeps what a value stands for in a table.
  template <class Entry>
  void push(Kind kind, std::vector<Entry>& table, Entry entry) {
    push({kind, static_cast<std::int64_t>(table.size())});
    table.push_back(std::move(entry));
  }

  /// Values above the last mark.
  [[nodiscard]] std::size_t available() const {
    return stack_.size() - (marks_.empty() ? 0 : marks_.back());
  }
  void require(std::size_t count) const {
    if (available() < count) refuse("takes a value that is not there");
  }
  Value pop() {
    require(1);
    auto const value = stack_.back();
    stack_.pop_back();
    return value;
  }
  std::vector<Value> pop_last(std::size_t count) {
    require(count);
    std::vector<Value> values(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return values;
  }
  std::vector<Value> pop_to_mark() {
    if (marks_.empty()) refuse("takes values up to a mark that is not there");
    auto values = pop_last(available());
    marks_.pop_back();
    return values;
  }

  template <class Entry>
  static Entry& entry(std::vector<Entry>& table, Value const& value) {
    return table[static_cast<std::size_t>(value.number)];
  }

  /// Levels of what holds the values. Nothing can be put into them later, so no object ever holds
  /// itself, and the levels stay.
  int levels_around(std::vector<Value> const& values) {
    int levels = 0;
    for (auto const& value : values) {
      if (value.kind == Kind::tuple) levels = std::max(levels, entry(tuples_, value).levels);
      if (value.kind != Kind::object) continue;
      auto& object = entry(objects_, value);
      levels = std::max(levels, object.levels);
      object.is_inside = true;
    }
    if (levels == most_levels) refuse("nests objects too deep");
    return levels + 1;
  }

  void push_object(int levels) { push(Kind::object, objects_, Object{levels, false}); }

  void push_tuple(std::vector<Value> items) {
    if (tuples_.size() == most_tuples) refuse("holds too many tuples");
    int const levels = levels_around(items);
    push(Kind::tuple, tuples_, Tuple{std::move(items), levels});
  }

  void put_into_last(std::vector<Value> const& values) {
    require(1);
    if (stack_.back().kind != Kind::object) refuse("puts values into what holds none");
    auto const levels = levels_around(values);
    auto& object = entry(objects_, stack_.back());
    if (object.is_inside) refuse("changes an object inside of another");
    object.levels = std::max(object.levels, levels);
  }

  void remember(std::uint64_t key) {
    require(1);
    if (key > bytes_.size()) refuse("numbers a value too high");
    memo_[key] = stack_.back();
  }
  void recall(std::uint64_t key) {
    auto const entry = memo_.find(key);
    if (entry == memo_.end()) refuse("refers to a value that is not there");
    push(entry->second);
  }

  [[nodiscard]] std::vector<Value> const& items(Value const& value) {
    if (value.kind != Kind::tuple) refuse("describes a tensor in an unknown way");
    return entry(tuples_, value).items;
  }
  [[nodiscard]] std::uint64_t count(Value const& value) const {
    if (value.kind != Kind::integer || value.number < 0)
      refuse("has a size, stride or offset of a tensor that is no count");
    return static_cast<std::uint64_t>(value.number);
  }

  /// ('storage', class, key, device, count of numbers)
  void push_storage() {
    auto const& parts = items(pop());
    if (parts.size() != 5 || parts[0].kind != Kind::text || parts[1].kind != Kind::name ||
        parts[2].kind != Kind::text || entry(texts_, parts[0]) != "storage")
      refuse("refers to something else than a storage");
    if (storages_.size() == most_storages) refuse("holds too many storages");
    auto const& type = entry(names_, parts[1]);
    auto const width = bytes_of_number(type.name);
    if (!width) refuse("has a storage of the unknown type " + in_quotes(type.name));
    Storage const storage{count(parts[4]), *width};
    std::uint64_t bytes = 0;
    if (__builtin_mul_overflow(storage.count, storage.width, &bytes) || bytes > most_bytes)
      refuse("has a storage of " + std::to_string(storage.count) + " numbers");
    found_.push_back({std::string(entry(texts_, parts[2])), bytes});
    push(Kind::storage, storages_, storage);
  }

  void call() {
    auto const arguments = pop();
    auto const function = pop();
    if (arguments.kind != Kind::tuple) refuse("calls something without arguments");
    if (function.kind == Kind::name) {
      auto const& [module, name] = entry(names_, function);
      if (module == "torch._utils" && name.starts_with("_rebuild_sparse"))
        refuse("holds a sparse tensor");
      if (module == "torch._utils" &&
          (name == "_rebuild_tensor" || name == "_rebuild_tensor_v2" || name == "_rebuild_qtensor"))
        check_tensor(items(arguments));
      if (module == "torch.jit._pickle" && name == "restore_type_tag") check_type(items(arguments));
    }
    push_object(levels_around({arguments}));
  }

  /// (value, its type as libtorch's parser reads it)
  void check_type(std::vector<Value> const& arguments) {
    if (arguments.size() != 2 || arguments[1].kind != Kind::text)
      refuse("describes a type in an unknown way");
    if (nests_deeper(entry(texts_, arguments[1]), most_code_levels))
      refuse("names a type that nests too deep");
  }

  /// (storage, offset, sizes, strides, ...)
  void check_tensor(std::vector<Value> const& arguments) {
    if (arguments.size() < 4 || arguments[0].kind != Kind::storage)
      refuse("describes a tensor in an unknown way");
    auto const& storage = entry(storages_, arguments[0]);
    auto const& sizes = items(arguments[2]);
    auto const& strides = items(arguments[3]);
    if (sizes.size() != strides.size()) refuse("has a tensor of unlike sizes and strides");
    std::uint64_t end = count(arguments[1]);
    std::uint64_t bytes = storage.width;  // of a tensor whose numbers lie side by side
    bool fits = true;
    bool empty = false;
    for (std::size_t k = 0; k < sizes.size(); ++k) {
      auto const size = count(sizes[k]);
      empty = empty || size == 0;
      std::uint64_t span = 0;
      fits = fits && !__builtin_mul_overflow(size == 0 ? 0 : size - 1, count(strides[k]), &span) &&
             !__builtin_add_overflow(end, span, &end) &&
             (size == 0 || (!__builtin_mul_overflow(bytes, size, &bytes) && bytes <= most_bytes));
    }
    if (!fits || (empty ? end > storage.count : end >= storage.count))
      refuse("has a tensor that is larger than its storage");
  }

  bool step() {
    begin_ = place_;
    auto const code = static_cast<unsigned char>(take(1).front());
    switch (code) {
      case 0x80:  // the version of the protocol
        take(1);
        break;
      case '.':
        require(1);
        return false;
      case '(':
        if (marks_.size() == most_values) refuse("holds too many values");
        marks_.push_back(stack_.size());
        break;
      case 'N':
      case 0x88:
      case 0x89:
        push({});
        break;
      case 'K':
        push_integer(static_cast<std::int64_t>(take_number(1)));
        break;
      case 'M':
        push_integer(static_cast<std::int64_t>(take_number(2)));
        break;
      case 'J':
        push_integer(static_cast<std::int32_t>(take_number(4)));
        break;
      case 0x8a:
        push_long(take(take_number(1)));
        break;
      case 'G':
        take(8);
        push({});
        break;
      case 'X':
      case 'T':
      case 'B':
        push(Kind::text, texts_, take(take_number(4)));
        break;
      case 'U':
      case 'C':
        push(Kind::text, texts_, take(take_number(1)));
        break;
      case 0x8d:
        push(Kind::text, texts_, take(take_number(8)));
        break;
      case ']':
      case '}':
        push_object(1);
        break;
      case ')':
        push_tuple({});
        break;
      case 't':
        push_tuple(pop_to_mark());
        break;
      case 0x85:
      case 0x86:
      case 0x87:
        push_tuple(pop_last(code - 0x84U));
        break;
      case 'a':
        put_into_last(pop_last(1));
        break;
      case 's':
        put_into_last(pop_last(2));
        break;
      case 'e':
      case 'u':
        put_into_last(pop_to_mark());
        break;
      case 'b':
        put_into_last(pop_last(1));
        break;
      case 'q':
        remember(take_number(1));
        break;
      case 'r':
        remember(take_number(4));
        break;
      case 'h':
        recall(take_number(1));
        break;
      case 'j':
        recall(take_number(4));
        break;
      case 'c': {
        auto const module = take_line();
        push(Kind::name, names_, Name{module, take_line()});
        break;
      }
      case 'R':
      case 0x81:
        call();
        break;
      case 'Q':
        push_storage();
        break;
      default:
        refuse("has the unknown instruction " + std::to_string(code));
    }
    return true;
  }

  void push_integer(std::int64_t number) { push({Kind::integer, number}); }

  void push_long(std::string_view digits) {
    if (digits.size() > 8) return push(Value{});
    std::uint64_t value = 0;
    for (std::size_t k = 0; k < digits.size(); ++k)
      value |= std::uint64_t{static_cast<unsigned char>(digits[k])} << (8 * k);
    if (auto const bits = 8 * digits.size(); bits > 0 && bits < 64 && value >> (bits - 1) != 0)
      value |= ~std::uint64_t{0} << bits;  // two's complement
    push_integer(static_cast<std::int64_t>(value));
  }

  static constexpr auto most_bytes =
      static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());

  std::string_view bytes_;
  std::size_t place_ = 0;
  std::size_t begin_ = 0;  ///< of the present instruction
  std::vector<Value> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, Value> memo_;
  std::vector<std::string_view> texts_;
  std::vector<Name> names_;
  std::vector<Storage> storages_;
  std::vector<Tuple> tuples_;
  std::vector<Object> objects_;
  std::vector<PickledStorage> found_;
};

}  // namespace

std::vector<PickledStorage> pickled_storages(std::string_view pickle) {
  return Machine(pickle).run();
}

}  // namespace torchml
