#include "model/zip_directory.hpp"

#include <algorithm>
#include <limits>
#include <set>
#include <string_view>

#include "torchml/common/error.hpp"
#include "torchml/common/text.hpp"

namespace torchml {
namespace {

// Sizes of the fixed parts of records (APPNOTE.TXT, sections 4.3.7 to 4.3.16).
constexpr std::uint64_t local_size = 30;
constexpr std::uint64_t entry_size = 46;
constexpr std::uint64_t locator_size = 20;
constexpr std::uint64_t end64_size = 56;
constexpr std::uint64_t end_size = 22;
constexpr std::uint64_t longest_comment = 0xFFFF;

constexpr std::uint64_t largest_directory = std::uint64_t{1} << 26;
/// Text of programs shrinks to a tenth, and weights little: more is no model.
constexpr std::uint64_t unpacked_base = std::uint64_t{1} << 26;
constexpr std::uint64_t unpacked_factor = 32;

std::uint64_t number(std::string_view bytes, std::size_t place, int width) {
  std::uint64_t value = 0;
  for (int k = width; k-- > 0;)
    value = value << 8 | static_cast<unsigned char>(bytes[place + static_cast<std::size_t>(k)]);
  return value;
}

std::string read_at(std::istream& stream, std::uint64_t place, std::uint64_t size) {
  std::string bytes(size, '\0');
  stream.clear();
  stream.seekg(static_cast<std::streamoff>(place));
  stream.read(bytes.data(), static_cast<std::streamsize>(size));
  if (!stream) throw Error("it cannot be read");
  return bytes;
}

std::uint64_t size_of(std::istream& stream) {
  stream.clear();
  stream.seekg(0, std::ios::end);
  auto const end = stream.tellg();
  if (!stream || end < 0) throw Error("it cannot be read");
  return static_cast<std::uint64_t>(end);
}

struct Directory {
  std::uint64_t entries;
  std::uint64_t size;
  std::uint64_t begin;
};

Directory find_directory(std::istream& stream, std::uint64_t file_size) {
  if (file_size < end_size) throw Error("it is no zip file");
  auto const tail_size = std::min(file_size, end_size + longest_comment);
  auto const tail = read_at(stream, file_size - tail_size, tail_size);
  auto const place = tail.rfind("PK\5\6", tail_size - end_size);
  if (place == std::string::npos) throw Error("it is no zip file, or was cut short");
  auto const end = std::string_view(tail).substr(place, end_size);
  Directory directory{number(end, 10, 2), number(end, 12, 4), number(end, 16, 4)};
  auto end_of_directory = file_size - tail_size + place;
  if (end_of_directory >= locator_size) {
    auto const locator = read_at(stream, end_of_directory - locator_size, locator_size);
    if (locator.starts_with("PK\6\7")) {
      auto const begin = number(locator, 8, 8);
      if (begin > end_of_directory || end_of_directory - begin < end64_size + locator_size)
        throw Error("its directory lies beyond its end");
      auto const end64 = read_at(stream, begin, end64_size);
      if (!end64.starts_with("PK\6\6")) throw Error("its directory is damaged");
      directory = {number(end64, 32, 8), number(end64, 40, 8), number(end64, 48, 8)};
      end_of_directory = begin;
    }
  }
  if (directory.size > end_of_directory || directory.begin > end_of_directory - directory.size)
    throw Error("its directory lies beyond its end");
  if (directory.size > largest_directory || directory.entries > directory.size / entry_size)
    throw Error("its directory announces " + std::to_string(directory.entries) + " parts in " +
                std::to_string(directory.size) + " bytes");
  return directory;
}

/// Replaces the numbers that do not fit into 32 bits by those of the extra field for them.
void use_extra_field(std::string_view extra, std::initializer_list<std::uint64_t*> numbers) {
  constexpr auto elsewhere = std::numeric_limits<std::uint32_t>::max();
  if (std::ranges::none_of(numbers, [](auto const* value) { return *value == elsewhere; })) return;
  while (extra.size() >= 4) {
    auto const size = number(extra, 2, 2);
    if (size > extra.size() - 4) break;
    if (number(extra, 0, 2) != 1) {
      extra.remove_prefix(4 + size);
      continue;
    }
    auto field = extra.substr(4, size);
    for (auto* const value : numbers) {
      if (*value != elsewhere) continue;
      if (field.size() < 8) throw Error("its directory is damaged");
      *value = number(field, 0, 8);
      field.remove_prefix(8);
    }
    return;
  }
  throw Error("its directory is damaged");
}

void check_name(std::string const& name) {
  bool const printable = std::ranges::none_of(
      name, [](char c) { return (c >= 0 && c < ' ') || c == '\\' || c == '\x7f'; });
  bool leaves = name.empty() || name.front() == '/';
  for (std::string_view rest = name; !rest.empty();) {
    auto const end = rest.find('/');
    leaves = leaves || rest.substr(0, end) == "..";
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  }
  if (leaves || !printable)
    throw Error("its part " + in_quotes(name) + " has a name that no file in a folder has");
}

std::vector<ZipPart> read_parts(std::istream& stream, Directory const& directory) {
  std::vector<ZipPart> parts;
  auto const bytes = read_at(stream, directory.begin, directory.size);
  std::string_view rest = bytes;
  for (std::uint64_t k = 0; k < directory.entries; ++k) {
    if (rest.size() < entry_size || !rest.starts_with("PK\1\2"))
      throw Error("its directory is damaged");
    auto const name_size = number(rest, 28, 2);
    auto const extra_size = number(rest, 30, 2);
    auto const size = entry_size + name_size + extra_size + number(rest, 32, 2);
    if (size > rest.size()) throw Error("its directory is damaged");
    ZipPart part{std::string(rest.substr(entry_size, name_size)), number(rest, 42, 4),
                 number(rest, 20, 4), number(rest, 24, 4)};
    check_name(part.name);
    use_extra_field(rest.substr(entry_size + name_size, extra_size),
                    {&part.size, &part.stored, &part.begin});
    bool const encrypted = (number(rest, 8, 2) & 1) != 0;
    auto const method = number(rest, 10, 2);
    if (encrypted || (method != 0 && method != 8) || (method == 0 && part.size != part.stored))
      throw Error("its part " + in_quotes(part.name) + " is packed by an unknown method");
    parts.push_back(std::move(part));
    rest.remove_prefix(size);
  }
  return parts;
}

/// Readers ignore the case of names.
void check_names(std::vector<ZipPart> const& parts) {
  std::set<std::string> names;
  for (auto const& part : parts)
    if (!names.insert(lower(part.name)).second)
      throw Error("its part " + in_quotes(part.name) + " occurs twice");
}

void check_places(std::istream& stream, std::vector<ZipPart> const& parts, std::uint64_t end) {
  std::vector<ZipPart const*> order;
  for (auto const& part : parts) order.push_back(&part);
  std::ranges::sort(order, {}, [](ZipPart const* part) { return part->begin; });
  std::uint64_t free = 0;
  for (auto const* const part : order) {
    auto const refuse = [&](char const* what) {
      throw Error("its part " + in_quotes(part->name) + " lies " + what);
    };
    if (part->begin < free) refuse("in the place of another");
    if (part->begin > end || end - part->begin < local_size) refuse("beyond its end");
    auto const header = read_at(stream, part->begin, local_size);
    if (!header.starts_with("PK\3\4")) refuse("where none begins");
    auto const data = part->begin + local_size + number(header, 26, 2) + number(header, 28, 2);
    if (data > end || end - data < part->stored) refuse("beyond its end");
    free = data + part->stored;
  }
}

void check_sizes(std::vector<ZipPart> const& parts, std::uint64_t file_size) {
  std::uint64_t sum = 0;
  for (auto const& part : parts) {
    auto const most = unpacked_base + unpacked_factor * file_size;
    if (part.size > most || (sum += part.size) > most)
      throw Error("its parts unpack to more than " + std::to_string(most >> 20) +
                  " MiB although it has " + std::to_string(file_size) + " bytes");
  }
}

}  // namespace

std::vector<ZipPart> read_zip_directory(std::istream& stream) {
  auto const file_size = size_of(stream);
  auto const directory = find_directory(stream, file_size);
  auto parts = read_parts(stream, directory);
  check_names(parts);
  check_places(stream, parts, directory.begin);
  check_sizes(parts, file_size);
  return parts;
}

}  // namespace torchml
