#include "operators/cluster_block.hpp"

#include <algorithm>

namespace torchml::operators {
namespace {

template <class Real>
Rows<Real> rows_of(Real* data, std::int64_t width) {
  return {data, 1, width, width};
}

/// Of matrices [rows, width] of atoms, the rows of all m of an l.
template <class Real>
Rows<Real> rows_of(Real* data, std::int64_t rows, std::int64_t width, std::int64_t l) {
  return {data + l * l * width, 2 * l + 1, rows * width, width};
}

}  // namespace

template <class Real>
ClusterBlock<Real>::ClusterBlock(Cluster<Real> const& model)
    : model_(model),
      densities_(kBlockAtoms * model.density.rows() * model.density.columns()),
      x_(kBlockAtoms * model.density.rows() * model.products.channels),
      kept_x_(model.readouts.size() > 1
                  ? kBlockAtoms * model.density.rows() * model.products.channels
                  : 0),
      features_(kBlockAtoms * model.features()),
      scratch_(std::max(density_scratch(model.density),
                        shared_products_kernel<Real>().scratch(model.products))) {
  for (auto const& layer : model.hidden) {
    activations_.emplace_back(kBlockAtoms * layer.width);
    slopes_.emplace_back(kBlockAtoms * layer.width);
  }
}

template <class Real>
void ClusterBlock<Real>::run(ClusterEdges const& edges, ProductShare const& share,
                             std::int64_t nodes, double* energies, double* slopes) {
  auto const& density = model_.density;
  auto const& kernel = density_kernel<Real>();
  auto const size = density.rows() * density.columns();
  for (std::int64_t k = 0; k < share.count; ++k)
    kernel.sum(density, edges_of(edges, share.atoms[k]), scratch_.data(),
               densities_.data() + k * size);
  for (std::int64_t k = 0; k < share.count; ++k) measure_crowding(share.element, k);
  mix(share.count);
  auto const& products = shared_products_kernel<Real>();
  auto const* const coefficients = model_.coefficients[share.element].data();
  products.values(model_.products, coefficients, x_.data(), share.count, scratch_.data(),
                  features_.data());
  activate(share.count);
  for (auto const& readout : model_.readouts) {
    add_up(readout, share, energies);
    energies += nodes;
  }
  if (slopes == nullptr) return;
  auto const numbers = share.count * density.rows() * model_.products.channels;
  bool const several = model_.readouts.size() > 1;
  if (several) std::copy_n(x_.data(), numbers, kept_x_.data());
  for (auto const& readout : model_.readouts) {
    if (several) std::copy_n(kept_x_.data(), numbers, x_.data());
    differentiate(readout, share.count);
    products.slopes(model_.products, coefficients, features_.data(), share.count, scratch_.data(),
                    x_.data());
    unmix(share.count);
    for (std::int64_t k = 0; k < share.count; ++k)
      differentiate_isolation(readout.vacuum[share.element], share.element, k);
    for (std::int64_t k = 0; k < share.count; ++k)
      kernel.gradients(density, edges_of(edges, share.atoms[k]), densities_.data() + k * size,
                       scratch_.data(), slopes);
    slopes += 3 * edges.count;
  }
}

template <class Real>
DensityEdges ClusterBlock<Real>::edges_of(ClusterEdges const& edges, std::int64_t atom) const {
  auto const& list = edges.by_target;
  auto const begin = list.offsets[atom];
  auto end = list.offsets[atom + 1];
  while (end > begin && list.edges[end - 1] >= edges.count) --end;  // they are sorted by number
  return {edges.vectors, list.edges + begin, list.others + begin,
          end - begin,   edges.species,      edges.species[atom]};
}

template <class Real>
void ClusterBlock<Real>::mix(std::int64_t atoms) {
  auto const rows = model_.density.rows();
  for (std::int64_t l = 0; l <= model_.density.lmax; ++l) {
    auto const& layer = model_.mixing[l];
    dense_kernel<Real>().apply(layer, rows_of<Real const>(densities_.data(), rows, layer.inner, l),
                               atoms * (2 * l + 1), nullptr,
                               rows_of(x_.data(), rows, layer.width, l));
  }
}

template <class Real>
void ClusterBlock<Real>::activate(std::int64_t atoms) {
  auto const& kernel = dense_kernel<Real>();
  auto in = rows_of<Real const>(features_.data(), model_.features());
  for (std::size_t k = 0; k < model_.hidden.size(); ++k) {
    auto const& layer = model_.hidden[k];
    auto* const values = activations_[k].data();
    kernel.apply(layer, in, atoms, nullptr, rows_of(values, layer.width));
    kernel.silu(values, atoms * layer.width, values, slopes_[k].data());
    in = rows_of<Real const>(values, layer.width);
  }
}

template <class Real>
void ClusterBlock<Real>::add_up(Readout<Real> const& readout, ProductShare const& share,
                                double* energies) const {
  auto const& kernel = dense_kernel<Real>();
  auto const width = model_.features();
  for (std::int64_t k = 0; k < share.count; ++k) {
    double const t = crowding_[k];
    double const alone = 1.0 - t * t * t * (10.0 + t * (6.0 * t - 15.0));
    auto const apart = readout.offset[share.element] - alone * readout.vacuum[share.element];
    auto energy = kernel.dot(readout.linear, features_.data() + k * width, width);
    if (!model_.hidden.empty()) {
      auto const last = model_.hidden.back().width;
      energy += kernel.dot(readout.last, activations_.back().data() + k * last, last);
    }
    energies[share.atoms[k]] = apart + energy;
  }
}

template <class Real>
void ClusterBlock<Real>::differentiate(Readout<Real> const& readout, std::int64_t atoms) {
  Rows<Real const> in{};  // the first of the layers takes none
  auto left = model_.hidden.size();
  for (auto const& layer : readout.backward) {
    bool const activated = left > 0;
    if (activated) --left;
    auto* const out = activated ? activations_[left].data() : features_.data();
    dense_kernel<Real>().apply(layer, in, atoms, activated ? slopes_[left].data() : nullptr,
                               rows_of(out, layer.width));
    in = rows_of<Real const>(out, layer.width);
  }
}

template <class Real>
void ClusterBlock<Real>::unmix(std::int64_t atoms) {
  auto const rows = model_.density.rows();
  for (std::int64_t l = 0; l <= model_.density.lmax; ++l) {
    auto const& layer = model_.unmixing[l];
    dense_kernel<Real>().apply(layer, rows_of<Real const>(x_.data(), rows, layer.inner, l),
                               atoms * (2 * l + 1), nullptr,
                               rows_of(densities_.data(), rows, layer.width, l));
  }
}

template <class Real>
void ClusterBlock<Real>::measure_crowding(std::int64_t element, std::int64_t place) {
  auto const columns = model_.density.columns();
  auto const* const scalars = densities_.data() + place * model_.density.rows() * columns;
  auto const sum = dense_kernel<Real>().dot(model_.crowding + element * columns, scalars, columns);
  crowding_[place] = sum < 1.0 ? sum : 1.0;
}

template <class Real>
void ClusterBlock<Real>::differentiate_isolation(double vacuum, std::int64_t element,
                                                 std::int64_t place) {
  double const t = crowding_[place];
  double const slope = 30.0 * t * t * (1.0 - t) * (1.0 - t) * vacuum;
  if (slope == 0.0) return;
  auto const columns = model_.density.columns();
  auto* const scalars = densities_.data() + place * model_.density.rows() * columns;
  auto const* const weights = model_.crowding + element * columns;
  for (std::int64_t q = 0; q < columns; ++q) scalars[q] += static_cast<Real>(slope) * weights[q];
}

template class ClusterBlock<double>;
template class ClusterBlock<float>;

}  // namespace torchml::operators
