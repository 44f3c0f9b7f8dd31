// C functions over libdescriptor 0.2.3, for ctypes: its Python module exists for few versions of
// Python. The shared library is loaded first, with RTLD_GLOBAL; nothing is linked. No header of
// it is needed: these declarations make the names that the library exports.
#include <string>
#include <vector>

namespace Descriptor {

enum AvailableDescriptor { SymmetryFunctions = 0, Bispectrum = 1, SOAP = 2, Xi = 3 };

class DescriptorKind {
 public:
  using Strings = std::vector<std::string>;
  static DescriptorKind* initDescriptor(AvailableDescriptor kind, Strings* species,
                                        std::string* cutoff_function, double* cutoffs,
                                        Strings* functions, std::vector<int>* sizes,
                                        std::vector<double>* parameters);
  static DescriptorKind* initDescriptor(AvailableDescriptor kind, double rfac0, int twojmax,
                                        int diagonalstyle, int use_shared_arrays, double rmin0,
                                        int switch_flag, int bzero_flag, double* cutoffs,
                                        Strings* species, std::vector<double>* weights);
  static DescriptorKind* initDescriptor(AvailableDescriptor kind, int n_max, int l_max,
                                        double cutoff, Strings& species, std::string radial_basis,
                                        double eta);
  static DescriptorKind* initDescriptor(AvailableDescriptor kind, int q, double cutoff,
                                        Strings& species, std::string& radial_basis);
};

void compute_single_atom(int index, int atoms, int* species, int* neighbors, int neighbor_count,
                         double* coordinates, double* values, DescriptorKind* descriptor);
void gradient_single_atom(int index, int atoms, int* species, int* neighbors, int neighbor_count,
                          double* coordinates, double* gradient, double* values, double* cotangent,
                          DescriptorKind* descriptor);

}  // namespace Descriptor

using namespace Descriptor;

// One species, Si. Descriptors live as long as the process.
extern "C" {

void* make_symmetry_functions(double cutoff, int kinds, char const* const* names, int const* sizes,
                              double const* parameters, int count) {
  DescriptorKind::Strings species{"Si"};
  DescriptorKind::Strings functions(names, names + kinds);
  std::string cosine = "cos";
  std::vector<int> rows_and_columns(sizes, sizes + 2 * kinds);
  std::vector<double> values(parameters, parameters + count);
  return DescriptorKind::initDescriptor(SymmetryFunctions, &species, &cosine, &cutoff, &functions,
                                        &rows_and_columns, &values);
}

void* make_bispectrum(double cutoff, int twojmax, double rfac0) {
  DescriptorKind::Strings species{"Si"};
  std::vector<double> weights{1.0};
  return DescriptorKind::initDescriptor(Bispectrum, rfac0, twojmax, 3, 0, 0.0, 1, 0, &cutoff,
                                        &species, &weights);
}

void* make_soap(double cutoff, int n_max, int l_max, double eta) {
  DescriptorKind::Strings species{"Si"};
  return DescriptorKind::initDescriptor(SOAP, n_max, l_max, cutoff, species, "polynomial", eta);
}

void* make_xi(double cutoff, int q) {
  DescriptorKind::Strings species{"Si"};
  std::string basis = "bessel";
  return DescriptorKind::initDescriptor(Xi, q, cutoff, species, basis);
}

/// Values [centres, width] of the first `centers` atoms.
void compute(void* descriptor, int centers, int width, int atoms, int* species, long const* offsets,
             int* neighbors, double* coordinates, double* values) {
  for (int i = 0; i < centers; ++i)
    compute_single_atom(i, atoms, species, neighbors + offsets[i],
                        static_cast<int>(offsets[i + 1] - offsets[i]), coordinates,
                        values + static_cast<long>(i) * width,
                        static_cast<DescriptorKind*>(descriptor));
}

/// Vector-Jacobian product of the first `centers` atoms, added to gradient [atoms, 3]. Values and
/// cotangent [centres, width] are overwritten.
void pull_back(void* descriptor, int centers, int width, int atoms, int* species,
               long const* offsets, int* neighbors, double* coordinates, double* values,
               double* cotangent, double* gradient) {
  for (int i = 0; i < centers; ++i)
    gradient_single_atom(
        i, atoms, species, neighbors + offsets[i], static_cast<int>(offsets[i + 1] - offsets[i]),
        coordinates, gradient, values + static_cast<long>(i) * width,
        cotangent + static_cast<long>(i) * width, static_cast<DescriptorKind*>(descriptor));
}
}
