#include "operators/cluster.hpp"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <string>

#include "host/parts.hpp"
#include "operators/cluster_block.hpp"
#include "operators/cluster_terms.hpp"
#include "operators/edge_order.hpp"
#include "operators/element_shares.hpp"
#include "operators/schema.hpp"
#include "operators/spline.hpp"
#include "torchml/common/error.hpp"

namespace torchml::operators {
namespace {

[[noreturn]] void refuse_cluster(std::string const& what) {
  throw Error("torchml::cluster_energies: " + what);
}

void require_sizes(char const* name, torch::Tensor const& tensor, at::IntArrayRef sizes,
                   torch::ScalarType type) {
  if (tensor.sizes() == sizes && tensor.scalar_type() == type) return;
  std::string text;
  for (auto const size : sizes) text += (text.empty() ? "" : ", ") + std::to_string(size);
  refuse_cluster(std::string(name) + " does not fit, expected " +
                 (type == torch::kFloat64   ? "float64"
                  : type == torch::kFloat32 ? "float32"
                                            : "int64") +
                 " [" + text + "]");
}

bool has_several(ClusterInputs const& in) {
  return in.linear.dim() == 2;
}

std::int64_t readouts_of(ClusterInputs const& in) {
  return has_several(in) ? in.linear.size(0) : 1;
}

/// The sizes of what each readout has `count` of.
std::vector<std::int64_t> of_readouts(ClusterInputs const& in, std::int64_t count) {
  if (has_several(in)) return {readouts_of(in), count};
  return {count};
}

/// The widths of the hidden layers.
std::vector<std::int64_t> check_layers(std::vector<torch::Tensor> const& layers,
                                       std::int64_t features, std::int64_t readouts,
                                       torch::ScalarType type) {
  if (layers.size() % 2 != 0)
    refuse_cluster("there are " + std::to_string(layers.size()) +
                   " tensors of layers, expected W and b of each");
  std::vector<std::int64_t> widths;
  auto in = features;
  for (std::size_t k = 0; k < layers.size(); k += 2) {
    bool const last = k + 2 == layers.size();
    auto const out = last ? readouts : layers[k].dim() == 2 ? layers[k].size(0) : 1;
    require_sizes("the matrix of a layer", layers[k], {out, in}, type);
    require_sizes("the vector of a layer", layers[k + 1], {out}, type);
    if (!last) widths.push_back(out);
    in = out;
  }
  return widths;
}

void check_cluster(ClusterInputs const& in, EdgeOrder const& order, std::int64_t nodes) {
  auto const type = in.table.scalar_type();
  if (in.table.dim() != 2 || in.table.size(0) < 6 || in.table.size(1) < 1 ||
      (type != torch::kFloat32 && type != torch::kFloat64))
    refuse_cluster("the table does not have the form [intervals + 5, N] of a float tensor");
  if (!(in.cutoff > 0.0)) refuse_cluster("the cutoff is not positive, expected a length in Å");
  if (in.lmax < 0 || in.lmax > kMaxDegree)
    refuse_cluster("lmax is " + std::to_string(in.lmax) + ", expected 0 to " +
                   std::to_string(kMaxDegree));
  if (in.weights.dim() != 2 || in.mix.dim() != 3 || in.coefficients.dim() != 3 || in.outputs < 1)
    refuse_cluster(
        "weights, mix or coefficients have another number of dimensions, expected [S, C], "
        "[lmax + 1, C * N, K], [S, T, K] and one output or more");
  auto const kinds = in.weights.size(0), columns = in.weights.size(1) * in.table.size(1);
  auto const channels = in.mix.size(2), features = in.outputs * channels;
  if (in.terms.dim() != 2 || in.terms.size(1) < 2 || in.terms.size(1) > 1 + kLargestDegree ||
      in.terms.scalar_type() != torch::kInt32)
    refuse_cluster("the terms are not an i32 tensor [T, 1 + degree] of a degree from 1 to 4");
  auto const edges = in.vectors.size(0);
  require_sizes("vectors", in.vectors, {edges, 3}, torch::kFloat64);
  require_sizes("species", in.species, {order.nodes}, torch::kInt64);
  require_sizes("core", in.core, {kinds, kinds}, torch::kFloat64);
  require_sizes("weights", in.weights, in.weights.sizes(), type);
  require_sizes("mix", in.mix, {in.lmax + 1, columns, channels}, type);
  require_sizes("bias", in.bias, {channels}, type);
  require_sizes("coefficients", in.coefficients, {kinds, in.terms.size(0), channels}, type);
  auto const readouts = readouts_of(in);
  require_sizes("linear", in.linear, of_readouts(in, features), type);
  require_sizes("crowding", in.crowding, {kinds, columns}, type);
  require_sizes("offset", in.offset, of_readouts(in, kinds), torch::kFloat64);
  require_sizes("vacuum", in.vacuum, of_readouts(in, kinds), torch::kFloat64);
  check_layers(in.layers, features, readouts, type);
  if (edges > order.edges)
    refuse_cluster("there are " + std::to_string(edges) + " vectors, expected at most " +
                   std::to_string(order.edges) + ", the edges of the order");
  if (nodes < 0 || nodes > order.nodes)
    refuse_cluster("energies of " + std::to_string(nodes) +
                   " nodes are asked for, expected at most " + std::to_string(order.nodes));
}

/// A model in the form of the kernels.
template <class Real>
class PreparedCluster {
 public:
  PreparedCluster(ClusterInputs const& in, std::vector<ProductShare> const& shares) {
    prepare_density(in);
    for (std::int64_t l = 0; l <= in.lmax; ++l) {
      auto const mix = in.mix[l];
      model.mixing.push_back(l == 0 ? layer(mix, in.bias) : layer(mix));
      model.unmixing.push_back(layer(mix.t()));
    }
    prepare_products(in, shares);
    prepare_network(in);
  }

  Cluster<Real> model;

 private:
  Real const* keep(torch::Tensor const& tensor) {
    kept_.push_back(tensor.contiguous());
    return kept_.back().template const_data_ptr<Real>();
  }
  double const* keep_double(torch::Tensor const& tensor) {
    kept_.push_back(tensor.contiguous());
    return kept_.back().template const_data_ptr<double>();
  }

  /// matrix [inner, width], start [width]; without them, of no rows and zero.
  DenseLayer<Real> layer(torch::Tensor const& matrix, torch::Tensor const& start = {}) {
    auto const lanes = dense_kernel<Real>().lanes;
    auto const inner = matrix.size(0), width = matrix.size(1);
    auto const panels = (width + lanes - 1) / lanes;
    Aligned<Real> numbers((inner + 1) * panels * lanes);
    auto* const first = numbers.data() + panels * lanes;
    auto const values = matrix.contiguous();
    auto const* const from = values.template const_data_ptr<Real>();
    for (std::int64_t panel = 0; panel < panels; ++panel)
      for (std::int64_t i = 0; i < inner; ++i)
        std::copy_n(from + i * width + panel * lanes, std::min(lanes, width - panel * lanes),
                    first + (panel * inner + i) * lanes);
    if (start.defined())
      std::copy_n(start.contiguous().template const_data_ptr<Real>(), width, numbers.data());
    packed_.push_back(std::move(numbers));
    return {first, packed_.back().data(), inner, width};
  }

  void prepare_density(ClusterInputs const& in) {
    model.density = {keep(in.table),     in.table.size(0) - 5,      in.table.size(1),
                     in.cutoff,          static_cast<int>(in.lmax), keep(in.weights),
                     in.weights.size(1), in.weights.size(0),        keep_double(in.core)};
    model.crowding = keep(in.crowding);
  }

  void prepare_products(ClusterInputs const& in, std::vector<ProductShare> const& shares) {
    auto const terms = in.terms.contiguous();
    terms_ = shared_terms(terms.const_data_ptr<std::int32_t>(), terms.size(0), terms.size(1) - 1,
                          in.outputs);
    auto const rows = model.density.rows();
    if (terms_->plan->rows > rows)
      refuse_cluster("a term has the factor " + std::to_string(terms_->plan->rows - 1) +
                     ", expected 0 to " + std::to_string(rows - 1) + ", or -1 for none");
    auto const channels = in.mix.size(2);
    model.products = {terms_->plan->nodes.data(),
                      terms_->plan->leaves.data(),
                      terms_->monomials,
                      rows,
                      in.outputs,
                      channels};
    auto const lanes = shared_products_kernel<Real>().lanes;
    auto const tiles = (channels + lanes - 1) / lanes;
    auto const size = terms_->monomials * in.outputs * lanes;
    auto const coefficients = in.coefficients.contiguous();
    auto const* from = coefficients.template const_data_ptr<Real>();
    model.coefficients.resize(in.coefficients.size(0));
    for (auto const& share : shares) {
      auto& of_element = model.coefficients[share.element];
      if (of_element.data() != nullptr) continue;
      of_element = Aligned<Real>(tiles * size);
      auto const* row = from + share.element * terms.size(0) * channels;
      for (auto const place : terms_->places)
        for (std::int64_t tile = 0; tile < tiles; ++tile) {
          auto const count = std::min(lanes, channels - tile * lanes);
          auto* const to = of_element.data() + tile * size + place * lanes;
          for (std::int64_t k = 0; k < count; ++k) to[k] += *row++;
        }
    }
  }

  void prepare_network(ClusterInputs const& in) {
    auto const& layers = in.layers;
    auto const hidden = layers.empty() ? 0 : layers.size() / 2 - 1;
    for (std::size_t k = 0; k < hidden; ++k)
      model.hidden.push_back(layer(layers[2 * k].t(), layers[2 * k + 1]));
    auto const readouts = readouts_of(in);
    auto linear = in.linear.reshape({readouts, -1});
    if (hidden == 0 && !layers.empty()) linear = linear + layers[0];
    auto const last = hidden == 0 ? linear : layers[2 * hidden];
    auto offset = in.offset.reshape({readouts, -1});
    if (!layers.empty()) offset = offset + layers.back().to(torch::kFloat64).unsqueeze(1);
    auto const vacuum = in.vacuum.reshape({readouts, -1});
    for (std::int64_t r = 0; r < readouts; ++r) {
      Readout<Real> readout;
      readout.linear = keep(linear[r]);
      readout.offset = keep_double(offset[r]);
      readout.vacuum = keep_double(vacuum[r]);
      readout.backward.push_back(layer(last.new_empty({0, last.size(1)}), last[r]));
      readout.last = readout.backward.front().start;
      for (auto k = hidden; k-- > 0;)
        readout.backward.push_back(layer(layers[2 * k], k == 0 ? linear[r] : torch::Tensor()));
      model.readouts.push_back(std::move(readout));
    }
  }

  std::vector<torch::Tensor> kept_;
  std::vector<Aligned<Real>> packed_;
  std::shared_ptr<SharedTerms const> terms_;
};

std::tuple<torch::Tensor, torch::Tensor> evaluate_cluster(ClusterInputs const& inputs,
                                                          std::int64_t nodes, bool slopes_too) {
  EdgeOrder const order(inputs.order);
  check_cluster(inputs, order, nodes);
  auto const species = inputs.species.contiguous();
  auto const vectors = inputs.vectors.contiguous();
  ElementShares const shares("cluster_energies", species.const_data_ptr<std::int64_t>(),
                             species.size(0), nodes, inputs.weights.size(0), kBlockAtoms);
  auto energies = torch::empty(of_readouts(inputs, nodes), vectors.options());
  torch::Tensor slopes;  // edges into other nodes have none
  if (slopes_too) {
    auto sizes = of_readouts(inputs, vectors.size(0));
    sizes.push_back(3);
    slopes = nodes == order.nodes ? torch::empty(sizes, vectors.options())
                                  : torch::zeros(sizes, vectors.options());
  }
  ClusterEdges const edges{vectors.const_data_ptr<double>(), vectors.size(0), order.by_target,
                           species.const_data_ptr<std::int64_t>()};
  auto* const to_energies = energies.mutable_data_ptr<double>();
  auto* const to_slopes = slopes_too ? slopes.mutable_data_ptr<double>() : nullptr;
  AT_DISPATCH_FLOATING_TYPES(inputs.table.scalar_type(), "torchml::cluster_energies", [&] {
    PreparedCluster<scalar_t> const prepared(inputs, shares.all);
    auto const count = static_cast<std::int64_t>(shares.all.size());
    for_threads(count, [&](auto const& next) {
      ClusterBlock<scalar_t> block(prepared.model);
      for (auto k = next(); k < count; k = next())
        block.run(edges, shares.all[k], nodes, to_energies, to_slopes);
    });
  });
  return {energies, slopes};
}

using DensityOperator = torch::Tensor(torch::Tensor const&, torch::Tensor const&,
                                      torch::Tensor const&, torch::Tensor const&,
                                      torch::Tensor const&, torch::Tensor const&,
                                      torch::Tensor const&, double, std::int64_t, c10::SymInt);
using ProductsOperator = torch::Tensor(torch::Tensor const&, torch::Tensor const&,
                                       torch::Tensor const&, torch::Tensor const&, std::int64_t);

/// [nodes, readouts]
torch::Tensor composite_network(ClusterInputs const& in, torch::Tensor const& features) {
  auto const linear = has_several(in) ? in.linear : in.linear.unsqueeze(0);
  auto energies = torch::matmul(features, linear.t());
  if (in.layers.empty()) return energies;
  auto values = features;
  for (std::size_t k = 0; k < in.layers.size(); k += 2) {
    if (k > 0) values = torch::silu(values);
    values = torch::addmm(in.layers[k + 1], values, in.layers[k].t());
  }
  return energies + values;
}

}  // namespace

torch::Tensor cluster_energies(ClusterInputs const& inputs, std::int64_t nodes) {
  return std::get<0>(evaluate_cluster(inputs, nodes, false));
}

std::tuple<torch::Tensor, torch::Tensor> cluster_energies_with_slopes(ClusterInputs const& inputs,
                                                                      std::int64_t nodes) {
  return evaluate_cluster(inputs, nodes, true);
}

torch::Tensor cluster_energies_backward(torch::Tensor const& gradient, torch::Tensor const& slopes,
                                        torch::Tensor const& edge_index) {
  auto const edges = slopes.size(-2), nodes = gradient.size(-1);
  auto const readouts = slopes.dim() == 3 ? slopes.size(0) : 1;
  std::vector<std::int64_t> of_nodes{nodes}, of_edges{edges, 3};
  if (slopes.dim() == 3)
    for (auto* sizes : {&of_nodes, &of_edges}) sizes->insert(sizes->begin(), readouts);
  require_sizes("gradient", gradient, of_nodes, torch::kFloat64);
  require_sizes("slopes", slopes, of_edges, torch::kFloat64);
  require_sizes("edge_index", edge_index, {2, edges}, torch::kInt64);
  auto const factors = gradient.contiguous(), rows = slopes.contiguous();
  auto const targets = edge_index.select(0, 1).contiguous();
  auto const* const factor = factors.const_data_ptr<double>();
  std::vector<std::int64_t> active;  // of several readouts, those whose energies count
  for (std::int64_t r = 0; r < readouts; ++r) {
    auto const* const first = factor + r * nodes;
    auto const counts = [](double f) { return f != 0.0; };
    if (readouts == 1 || std::any_of(first, first + nodes, counts)) active.push_back(r);
  }
  auto result = torch::empty({edges, 3}, rows.options());
  auto const* const target = targets.const_data_ptr<std::int64_t>();
  auto const* const row = rows.const_data_ptr<double>();
  auto* const to = result.mutable_data_ptr<double>();
  at::parallel_for(0, edges, kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (auto e = begin; e < end; ++e) {
      double sum[3] = {};
      if (target[e] >= 0 && target[e] < nodes)
        for (auto const r : active)
          for (int axis = 0; axis < 3; ++axis)
            sum[axis] += factor[r * nodes + target[e]] * row[3 * (r * edges + e) + axis];
      std::copy_n(sum, 3, to + 3 * e);
    }
  });
  return result;
}

torch::Tensor composite_cluster_energies(ClusterInputs const& in, c10::SymInt const& nodes) {
  auto const density = handle<DensityOperator>({"torchml::density", ""})
                           .call(in.vectors, in.species, in.edge_index, in.order, in.core,
                                 in.weights, in.table, in.cutoff, in.lmax, nodes);
  auto const elements = in.species.narrow_symint(0, 0, nodes);
  std::vector<torch::Tensor> x;
  for (std::int64_t l = 0; l <= in.lmax; ++l) {
    auto const mixed = torch::matmul(density.narrow(1, l * l, 2 * l + 1), in.mix[l]);
    x.push_back(l == 0 ? mixed + in.bias : mixed);
  }
  auto const features = handle<ProductsOperator>({"torchml::products", ""})
                            .call(torch::cat(x, 1), elements, in.coefficients, in.terms, in.outputs)
                            .flatten(1);
  auto const crowding = in.crowding.index_select(0, elements) * density.select(1, 0);
  auto const t = crowding.sum(1).to(torch::kFloat64).clamp_max(1.0);
  auto const alone = 1.0 - t * t * t * (10.0 + t * (6.0 * t - 15.0));
  auto const of_elements = [&](torch::Tensor const& energies) {
    return (has_several(in) ? energies : energies.unsqueeze(0)).index_select(1, elements);
  };
  auto const energies = composite_network(in, features).t().to(torch::kFloat64) +
                        of_elements(in.offset) - alone * of_elements(in.vacuum);
  return has_several(in) ? energies : energies.squeeze(0);
}

}  // namespace torchml::operators
