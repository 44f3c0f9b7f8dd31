// The energies of some atoms at once, and their derivatives by the edges, while all of it is in the
// caches of a core.
#pragma once

#include <cstdint>
#include <memory>
#include <new>
#include <vector>

#include "operators/dense_kernel.hpp"
#include "operators/density_kernel.hpp"
#include "operators/shared_products_kernel.hpp"
#include "operators/spline_kernel.hpp"

namespace torchml::operators {

/// Numbers that begin at a cache line.
template <class Real>
class Aligned {
 public:
  Aligned() = default;
  explicit Aligned(std::int64_t count)
      : numbers_(new (std::align_val_t(kLine)) Real[static_cast<std::size_t>(count)]()) {}
  [[nodiscard]] Real* data() const { return numbers_.get(); }

 private:
  static constexpr std::size_t kLine = 64;
  struct Free {
    void operator()(Real* numbers) const { ::operator delete[](numbers, std::align_val_t(kLine)); }
  };
  std::unique_ptr<Real[], Free> numbers_;
};

/// From polynomials and the last hidden layer to energies.
template <class Real>
struct Readout {
  std::vector<DenseLayer<Real>> backward;  ///< by the activations from the last to h
  Real const* linear = nullptr;            ///< [outputs * channels]
  Real const* last = nullptr;              ///< [width of the last hidden layer]
  double const* offset = nullptr;          ///< [species] (eV)
  double const* vacuum = nullptr;          ///< [species] (eV)
};

/// A model of atomic energies, see ClusterInputs.
template <class Real>
struct Cluster {
  Density<Real> density{};
  std::vector<DenseLayer<Real>> mixing;    ///< of each l: [density.columns(), channels]
  std::vector<DenseLayer<Real>> unmixing;  ///< of each l: the transposed
  SharedProducts<Real> products{};
  std::vector<Aligned<Real>> coefficients;  ///< of each element, as the kernel takes them
  std::vector<DenseLayer<Real>> hidden;     ///< without their activations
  std::vector<Readout<Real>> readouts;
  Real const* crowding = nullptr;  ///< [species, density.columns()]

  [[nodiscard]] std::int64_t features() const { return products.outputs * products.channels; }
};

/// Edges into atoms; those whose number is not below `count` do not take part.
struct ClusterEdges {
  double const* vectors;  ///< [count, 3] (Å)
  std::int64_t count;
  EdgeList by_target;
  std::int64_t const* species;  ///< of all nodes
};

/// Atoms of a block. More share the loads of parameters, fewer leave more room in the caches.
inline constexpr std::int64_t kBlockAtoms = 16;

/// What one thread needs for blocks of a model.
template <class Real>
class ClusterBlock {
 public:
  explicit ClusterBlock(Cluster<Real> const& model);

  /// Energies of the atoms of a share, at most kBlockAtoms of one element: energies[r, atom] (eV)
  /// by each readout. And slopes[r, e] = dE/d(vector e) (eV/Å) of the edges into them,
  /// [readouts, E, 3]; null: not requested.
  void run(ClusterEdges const& edges, ProductShare const& share, std::int64_t nodes,
           double* energies, double* slopes);

 private:
  [[nodiscard]] DensityEdges edges_of(ClusterEdges const& edges, std::int64_t atom) const;
  void measure_crowding(std::int64_t element, std::int64_t place);
  void mix(std::int64_t atoms);
  void activate(std::int64_t atoms);
  void add_up(Readout<Real> const& readout, ProductShare const& share, double* energies) const;
  void differentiate(Readout<Real> const& readout, std::int64_t atoms);
  void unmix(std::int64_t atoms);
  void differentiate_isolation(double vacuum, std::int64_t element, std::int64_t place);

  Cluster<Real> const& model_;
  Aligned<Real> densities_;  ///< [atoms, rows, columns]; later their derivatives
  Aligned<Real> x_;          ///< [atoms, rows, channels]; later its derivatives
  Aligned<Real> kept_x_;     ///< x where there are several readouts
  Aligned<Real> features_;   ///< [atoms, outputs * channels]; later their derivatives
  std::vector<Aligned<Real>> activations_;  ///< of each hidden layer; later their derivatives
  std::vector<Aligned<Real>> slopes_;       ///< of the activations
  double crowding_[kBlockAtoms] = {};
  Aligned<Real> scratch_;
};

extern template class ClusterBlock<double>;
extern template class ClusterBlock<float>;

}  // namespace torchml::operators
