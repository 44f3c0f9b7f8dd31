// The parameters of every kind that this library has, and the files that hold them.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <variant>

#include "torchml/descriptor/bispectrum.hpp"
#include "torchml/descriptor/soap.hpp"
#include "torchml/descriptor/symmetry_functions.hpp"
#include "torchml/descriptor/xi.hpp"

namespace torchml::descriptor {

using Parameters =
    std::variant<SymmetryFunctionsParameters, BispectrumParameters, SoapParameters, XiParameters>;

/// SymmetryFunctions, Bispectrum, SOAP or Xi: the names of KLIFF and of `.param` files.
std::string_view kind_name(Parameters const& parameters);

SpeciesCutoffs const& cutoffs_of(Parameters const& parameters);

/// Throws Error when a parameter has no meaning.
std::unique_ptr<Descriptor const> make_descriptor(Parameters const& parameters);

/// Reads the text of a descriptor.dat of this kind (any case), in any layout that KLIFF or
/// libdescriptor know. Species are numbered in the order of their appearance. `source` names the
/// text in messages. Throws Error that names the line.
Parameters parse_parameters(std::string_view text, std::string_view kind,
                            std::string const& source);
Parameters read_parameters(std::filesystem::path const& path, std::string_view kind);

/// The text of the file, in the layout that KLIFF writes (Xi: libdescriptor's); parse_parameters
/// gives the same back, to the last bit, with weights that were left out as ones. Throws Error when
/// a file cannot hold the parameters.
std::string format_parameters(Parameters const& parameters);

}  // namespace torchml::descriptor
