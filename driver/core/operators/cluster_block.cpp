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
      features_(kBlockAtoms * model.features()),
      scratch_(std::max(density_scratch(model.density),
                        shared_products_kernel<Real>().scratch(model.products))) {
  for (auto const& layer : model.hidden) {
    activations_.emplace_back(kBlockAtoms * layer.width);
    slopes_.emplace_back(kBlockAtoms * layer.width);
  }
}

template <class Real>
void ClusterBlock<Real>::run(ClusterEdges const& edges, ProductShare const& share, double* energies,
                             double* slopes) {
  auto const& density = model_.density;
  auto const& kernel = density_kernel<Real>();
  auto const size = density.rows() * density.columns();
  for (std::int64_t k = 0; k < share.count; ++k)
    kernel.sum(density, edges_of(edges, share.atoms[k]), scratch_.data(),
               densities_.data() + k * size);
  for (std::int64_t k = 0; k < share.count; ++k)
    energies[share.atoms[k]] = isolate(share.element, k);
  mix(share.count);
  auto const& products = shared_products_kernel<Real>();
  auto const* const coefficients = model_.coefficients[share.element].data();
  products.values(model_.products, coefficients, x_.data(), share.count, scratch_.data(),
                  features_.data());
  add_up(share, energies);
  if (slopes == nullptr) return;
  differentiate(share.count);
  products.slopes(model_.products, coefficients, features_.data(), share.count, scratch_.data(),
                  x_.data());
  unmix(share.count);
  for (std::int64_t k = 0; k < share.count; ++k) differentiate_isolation(share.element, k);
  for (std::int64_t k = 0; k < share.count; ++k)
    kernel.gradients(density, edges_of(edges, share.atoms[k]), densities_.data() + k * size,
                     scratch_.data(), slopes);
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
void ClusterBlock<Real>::add_up(ProductShare const& share, double* energies) {
  auto const& kernel = dense_kernel<Real>();
  auto const width = model_.features();
  auto in = rows_of<Real const>(features_.data(), width);
  for (std::size_t k = 0; k < model_.hidden.size(); ++k) {
    auto const& layer = model_.hidden[k];
    auto* const values = activations_[k].data();
    kernel.apply(layer, in, share.count, nullptr, rows_of(values, layer.width));
    kernel.silu(values, share.count * layer.width, values, slopes_[k].data());
    in = rows_of<Real const>(values, layer.width);
  }
  for (std::int64_t k = 0; k < share.count; ++k) {
    auto energy = kernel.dot(model_.linear, features_.data() + k * width, width);
    if (!model_.hidden.empty())
      energy += kernel.dot(model_.last, in.data + k * in.stride, in.stride);
    energies[share.atoms[k]] += energy;
  }
}

template <class Real>
void ClusterBlock<Real>::differentiate(std::int64_t atoms) {
  Rows<Real const> in{};  // the first of the layers takes none
  auto left = model_.hidden.size();
  for (auto const& layer : model_.backward) {
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

/// The part of the energy that no polynomial contains.
template <class Real>
double ClusterBlock<Real>::isolate(std::int64_t element, std::int64_t place) {
  auto const columns = model_.density.columns();
  auto const* const scalars = densities_.data() + place * model_.density.rows() * columns;
  auto const sum = dense_kernel<Real>().dot(model_.crowding + element * columns, scalars, columns);
  double const t = sum < 1.0 ? sum : 1.0;
  crowding_[place] = t;
  double const alone = 1.0 - t * t * t * (10.0 + t * (6.0 * t - 15.0));
  return model_.offset[element] - alone * model_.vacuum[element];
}

template <class Real>
void ClusterBlock<Real>::differentiate_isolation(std::int64_t element, std::int64_t place) {
  double const t = crowding_[place];
  double const slope = 30.0 * t * t * (1.0 - t) * (1.0 - t) * model_.vacuum[element];
  if (slope == 0.0) return;
  auto const columns = model_.density.columns();
  auto* const scalars = densities_.data() + place * model_.density.rows() * columns;
  auto const* const weights = model_.crowding + element * columns;
  for (std::int64_t q = 0; q < columns; ++q) scalars[q] += static_cast<Real>(slope) * weights[q];
}

template class ClusterBlock<double>;
template class ClusterBlock<float>;

}  // namespace torchml::operators
