#include "operators/operators.hpp"

#include <torch/csrc/autograd/custom_function.h>

#include <deque>

#include "operators/cluster_registration.hpp"
#include "operators/convolution.hpp"
#include "operators/density_registration.hpp"
#include "operators/edge_order.hpp"
#include "operators/products_registration.hpp"
#include "operators/schema.hpp"
#include "operators/segment_sum.hpp"
#include "operators/spline.hpp"
#include "torchml/common/error.hpp"

namespace torchml {
namespace operators {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;
using Factors = std::optional<torch::Tensor>;

constexpr Schema kEdgeOrder = {"torchml::edge_order",
                               "edge_order(Tensor edge_index, SymInt nodes) -> Tensor"};
constexpr Schema kSpline = {"torchml::spline",
                            "spline(Tensor r, Tensor table, float cutoff) -> Tensor"};
constexpr Schema kSplineBackward = {
    "torchml::spline_backward",
    "spline_backward(Tensor gradient, Tensor r, Tensor table, float cutoff) -> Tensor"};
constexpr Schema kConvolution = {
    "torchml::convolution",
    "convolution(Tensor r, Tensor features, Tensor? factors, Tensor table, Tensor edge_index, "
    "Tensor order, float cutoff, int[] terms, SymInt nodes) -> Tensor"};
constexpr Schema kConvolutionBackward = {
    "torchml::convolution_backward",
    "convolution_backward(Tensor gradient, Tensor r, Tensor features, Tensor? factors, Tensor "
    "table, Tensor edge_index, Tensor order, float cutoff, int[] terms, bool features_too) -> "
    "(Tensor, Tensor, Tensor)"};
constexpr Schema kSegmentSum = {"torchml::segment_sum",
                                "segment_sum(Tensor values, Tensor index, SymInt nodes) -> Tensor"};

std::vector<Schema> schemas() {
  std::vector<Schema> all = {kEdgeOrder,           kSpline,    kSplineBackward, kConvolution,
                             kConvolutionBackward, kSegmentSum};
  for (auto const& more : {cluster_schemas(), density_schemas(), products_schemas()})
    all.insert(all.end(), more.begin(), more.end());
  return all;
}

using SplineSignature = torch::Tensor(torch::Tensor const&, torch::Tensor const&, double);
using SplineBackwardSignature = torch::Tensor(torch::Tensor const&, torch::Tensor const&,
                                              torch::Tensor const&, double);
using ConvolutionSignature = torch::Tensor(torch::Tensor const&, torch::Tensor const&,
                                           Factors const&, torch::Tensor const&,
                                           torch::Tensor const&, torch::Tensor const&, double,
                                           at::IntArrayRef, c10::SymInt);
using ConvolutionBackwardSignature =
    ConvolutionDerivatives(torch::Tensor const&, torch::Tensor const&, torch::Tensor const&,
                           Factors const&, torch::Tensor const&, torch::Tensor const&,
                           torch::Tensor const&, double, at::IntArrayRef, bool);

using SegmentSumSignature = torch::Tensor(torch::Tensor const&, torch::Tensor const&, c10::SymInt);

[[noreturn]] void refuse_second_derivative() {
  throw Error(
      "second derivatives of a compressed model do not exist, expected forces and their virial at "
      "most (train the model that was compressed)");
}

// --- on the CPU, and by torch's own operators elsewhere

torch::Tensor convolution_cpu(torch::Tensor const& r, torch::Tensor const& features,
                              Factors const& factors, torch::Tensor const& table,
                              torch::Tensor const& edge_index, torch::Tensor const& order,
                              double cutoff, at::IntArrayRef terms, std::int64_t nodes) {
  return convolution({r, features, factors, table, edge_index, order, cutoff, terms.vec()}, nodes);
}

ConvolutionDerivatives convolution_backward_cpu(
    torch::Tensor const& gradient, torch::Tensor const& r, torch::Tensor const& features,
    Factors const& factors, torch::Tensor const& table, torch::Tensor const& edge_index,
    torch::Tensor const& order, double cutoff, at::IntArrayRef terms, bool features_too) {
  return convolution_backward(gradient,
                              {r, features, factors, table, edge_index, order, cutoff, terms.vec()},
                              features_too);
}

torch::Tensor no_order(torch::Tensor const& edge_index, std::int64_t /*nodes*/) {
  return torch::empty({0}, edge_index.options().dtype(torch::kInt32));
}

torch::Tensor spline_elsewhere(torch::Tensor const& r, torch::Tensor const& table, double cutoff) {
  check_spline("spline", r, table, cutoff);
  return composite_spline(r, table, cutoff, false).values;
}

torch::Tensor spline_backward_elsewhere(torch::Tensor const& gradient, torch::Tensor const& r,
                                        torch::Tensor const& table, double cutoff) {
  check_spline("spline_backward", r, table, cutoff);
  auto const slopes = composite_spline(r, table, cutoff, true).slopes;
  return (gradient * slopes).sum(1).to(torch::kFloat64);
}

torch::Tensor convolution_elsewhere(torch::Tensor const& r, torch::Tensor const& features,
                                    Factors const& factors, torch::Tensor const& table,
                                    torch::Tensor const& edge_index, torch::Tensor const& order,
                                    double cutoff, at::IntArrayRef terms, std::int64_t nodes) {
  return composite_convolution(
      {r, features, factors, table, edge_index, order, cutoff, terms.vec()}, nodes);
}

ConvolutionDerivatives convolution_backward_elsewhere(
    torch::Tensor const& gradient, torch::Tensor const& r, torch::Tensor const& features,
    Factors const& factors, torch::Tensor const& table, torch::Tensor const& edge_index,
    torch::Tensor const& order, double cutoff, at::IntArrayRef terms, bool features_too) {
  return composite_convolution_backward(
      gradient, {r, features, factors, table, edge_index, order, cutoff, terms.vec()},
      features_too);
}

// --- shapes alone, for tracing

torch::Tensor edge_order_shape(torch::Tensor const& edge_index, c10::SymInt nodes) {
  auto const edges = edge_index.sym_size(1);
  return edge_index.new_empty_symint({nodes * 2 + edges * 4 + 4},
                                     edge_index.options().dtype(torch::kInt32));
}

torch::Tensor spline_shape(torch::Tensor const& r, torch::Tensor const& table, double /*cutoff*/) {
  return table.new_empty_symint({r.sym_size(0), table.sym_size(1)});
}

torch::Tensor spline_backward_shape(torch::Tensor const& /*gradient*/, torch::Tensor const& r,
                                    torch::Tensor const& /*table*/, double /*cutoff*/) {
  return torch::empty_like(r);
}

torch::Tensor convolution_shape(torch::Tensor const& /*r*/, torch::Tensor const& features,
                                Factors const& /*factors*/, torch::Tensor const& table,
                                torch::Tensor const& /*edge_index*/, torch::Tensor const& /*order*/,
                                double /*cutoff*/, at::IntArrayRef terms, c10::SymInt nodes) {
  Shape const shape(terms.vec());
  auto const width = table.sym_size(1) / shape.parts;
  return features.new_empty_symint({std::move(nodes), width * shape.rows_out});
}

ConvolutionDerivatives convolution_backward_shape(
    torch::Tensor const& /*gradient*/, torch::Tensor const& r, torch::Tensor const& features,
    Factors const& factors, torch::Tensor const& /*table*/, torch::Tensor const& /*edge_index*/,
    torch::Tensor const& /*order*/, double /*cutoff*/, at::IntArrayRef terms, bool features_too) {
  bool const any = Shape(terms.vec()).factors > 0;
  // new_empty rather than empty_like: the results are contiguous.
  return {r.new_empty_symint(r.sym_sizes()),
          features_too ? features.new_empty_symint(features.sym_sizes()) : features.new_empty({0}),
          any ? factors->new_empty_symint(factors->sym_sizes()) : features.new_empty({0})};
}

torch::Tensor segment_sum_shape(torch::Tensor const& values, torch::Tensor const& /*index*/,
                                c10::SymInt nodes) {
  auto shape = values.sym_sizes().vec();
  shape[0] = std::move(nodes);
  return values.new_empty_symint(shape);
}

// --- derivatives

struct SplineFunction : Function<SplineFunction> {
  static torch::Tensor forward(AutogradContext* context, torch::Tensor const& r,
                               torch::Tensor const& table, double cutoff) {
    at::AutoDispatchBelowADInplaceOrView const below;
    context->save_for_backward({r, table});
    context->saved_data["cutoff"] = cutoff;
    return handle<SplineSignature>(kSpline).call(r, table, cutoff);
  }
  static variable_list backward(AutogradContext* context, variable_list const& gradients) {
    auto const saved = context->get_saved_variables();
    auto const to_r =
        handle<SplineBackwardSignature>(kSplineBackward)
            .call(gradients[0], saved[0], saved[1], context->saved_data["cutoff"].toDouble());
    return {to_r, {}, {}};
  }
};

struct ConvolutionFunction : Function<ConvolutionFunction> {
  static torch::Tensor forward(AutogradContext* context, torch::Tensor const& r,
                               torch::Tensor const& features, Factors const& factors,
                               torch::Tensor const& table, torch::Tensor const& edge_index,
                               torch::Tensor const& order, double cutoff, at::IntArrayRef terms,
                               c10::SymInt nodes) {
    at::AutoDispatchBelowADInplaceOrView const below;
    context->save_for_backward(
        {r, features, factors.value_or(torch::Tensor()), table, edge_index, order});
    context->saved_data["cutoff"] = cutoff;
    context->saved_data["terms"] = terms.vec();
    context->saved_data["features_too"] = features.requires_grad();
    return handle<ConvolutionSignature>(kConvolution)
        .call(r, features, factors, table, edge_index, order, cutoff, terms, std::move(nodes));
  }
  static variable_list backward(AutogradContext* context, variable_list const& gradients) {
    auto const saved = context->get_saved_variables();
    bool const features_too = context->saved_data["features_too"].toBool();
    auto const factors = saved[2].defined() ? Factors(saved[2]) : std::nullopt;
    auto [to_r, to_features, to_factors] =
        handle<ConvolutionBackwardSignature>(kConvolutionBackward)
            .call(gradients[0], saved[0], saved[1], factors, saved[3], saved[4], saved[5],
                  context->saved_data["cutoff"].toDouble(),
                  context->saved_data["terms"].toIntVector(), features_too);
    return {to_r,
            features_too ? to_features : torch::Tensor(),
            factors ? to_factors : torch::Tensor(),
            {},
            {},
            {},
            {},
            {},
            {}};
  }
};

torch::Tensor spline_autograd(torch::Tensor const& r, torch::Tensor const& table, double cutoff) {
  return SplineFunction::apply(r, table, cutoff);
}

torch::Tensor convolution_autograd(torch::Tensor const& r, torch::Tensor const& features,
                                   Factors const& factors, torch::Tensor const& table,
                                   torch::Tensor const& edge_index, torch::Tensor const& order,
                                   double cutoff, at::IntArrayRef terms, c10::SymInt nodes) {
  return ConvolutionFunction::apply(r, features, factors, table, edge_index, order, cutoff, terms,
                                    std::move(nodes));
}

/// The derivatives cannot be differentiated again; an attempt raises an error.
struct SplineBackwardFunction : Function<SplineBackwardFunction> {
  static torch::Tensor forward(AutogradContext*, torch::Tensor const& gradient,
                               torch::Tensor const& r, torch::Tensor const& table, double cutoff) {
    at::AutoDispatchBelowADInplaceOrView const below;
    return handle<SplineBackwardSignature>(kSplineBackward).call(gradient, r, table, cutoff);
  }
  static variable_list backward(AutogradContext*, variable_list const&) {
    refuse_second_derivative();
  }
};

struct ConvolutionBackwardFunction : Function<ConvolutionBackwardFunction> {
  static variable_list forward(AutogradContext*, torch::Tensor const& gradient,
                               torch::Tensor const& r, torch::Tensor const& features,
                               Factors const& factors, torch::Tensor const& table,
                               torch::Tensor const& edge_index, torch::Tensor const& order,
                               double cutoff, at::IntArrayRef terms, bool features_too) {
    at::AutoDispatchBelowADInplaceOrView const below;
    auto const [to_r, to_features, to_factors] =
        handle<ConvolutionBackwardSignature>(kConvolutionBackward)
            .call(gradient, r, features, factors, table, edge_index, order, cutoff, terms,
                  features_too);
    return {to_r, to_features, to_factors};
  }
  static variable_list backward(AutogradContext*, variable_list const&) {
    refuse_second_derivative();
  }
};

torch::Tensor spline_backward_autograd(torch::Tensor const& gradient, torch::Tensor const& r,
                                       torch::Tensor const& table, double cutoff) {
  return SplineBackwardFunction::apply(gradient, r, table, cutoff);
}

ConvolutionDerivatives convolution_backward_autograd(
    torch::Tensor const& gradient, torch::Tensor const& r, torch::Tensor const& features,
    Factors const& factors, torch::Tensor const& table, torch::Tensor const& edge_index,
    torch::Tensor const& order, double cutoff, at::IntArrayRef terms, bool features_too) {
  auto const results = ConvolutionBackwardFunction::apply(
      gradient, r, features, factors, table, edge_index, order, cutoff, terms, features_too);
  return {results[0], results[1], results[2]};
}

struct SegmentSumFunction : Function<SegmentSumFunction> {
  static torch::Tensor forward(AutogradContext* context, torch::Tensor const& values,
                               torch::Tensor const& index, c10::SymInt nodes) {
    at::AutoDispatchBelowADInplaceOrView const below;
    context->save_for_backward({index});
    return handle<SegmentSumSignature>(kSegmentSum).call(values, index, std::move(nodes));
  }
  static variable_list backward(AutogradContext* context, variable_list const& gradients) {
    return {gradients[0].index_select(0, context->get_saved_variables()[0]), {}, {}};
  }
};

torch::Tensor segment_sum_autograd(torch::Tensor const& values, torch::Tensor const& index,
                                   c10::SymInt nodes) {
  return SegmentSumFunction::apply(values, index, std::move(nodes));
}

void define(torch::Library& library) {
  for (auto const& schema : schemas()) library.def(schema.text);
}

torch::Library& library_for(std::optional<c10::DispatchKey> key) {
  // Never destroyed: a library that is destroyed takes its operators away, while models that call
  // them may live on. The list keeps them reachable, so that memory checkers report no leak.
  static auto& libraries = *new std::deque<torch::Library>();
  return libraries.emplace_back(key ? torch::Library::IMPL : torch::Library::DEF, "torchml", key,
                                __FILE__, __LINE__);
}

}  // namespace
}  // namespace operators

void register_operators() {
  using namespace operators;
  static bool const registered = [] {
    auto& dispatcher = c10::Dispatcher::singleton();
    if (dispatcher.findSchema({kConvolution.name, ""})) {
      for (auto const& schema : schemas()) {
        auto const known = dispatcher.findSchema({schema.name, ""});
        if (!known ||
            !(known->schema() == torch::jit::parseSchema("torchml::" + std::string(schema.text))))
          throw Error(std::string("the operator ") + schema.name +
                      " of another version of TorchML is in this process, expected the same "
                      "version of the driver and of the Python package");
      }
      return true;
    }
    define(library_for(std::nullopt));
    auto& cpu = library_for(c10::DispatchKey::CPU);
    cpu.impl("edge_order", edge_order);
    cpu.impl("spline", spline);
    cpu.impl("spline_backward", spline_backward);
    cpu.impl("convolution", convolution_cpu);
    cpu.impl("convolution_backward", convolution_backward_cpu);
    cpu.impl("segment_sum", segment_sum);
    auto& cuda = library_for(c10::DispatchKey::CUDA);
    cuda.impl("edge_order", no_order);
    cuda.impl("spline", spline_elsewhere);
    cuda.impl("spline_backward", spline_backward_elsewhere);
    cuda.impl("convolution", convolution_elsewhere);
    cuda.impl("convolution_backward", convolution_backward_elsewhere);
    cuda.impl("segment_sum", composite_segment_sum);
    auto& meta = library_for(c10::DispatchKey::Meta);
    meta.impl("edge_order", edge_order_shape);
    meta.impl("spline", spline_shape);
    meta.impl("spline_backward", spline_backward_shape);
    meta.impl("convolution", convolution_shape);
    meta.impl("convolution_backward", convolution_backward_shape);
    meta.impl("segment_sum", segment_sum_shape);
    auto& autograd = library_for(c10::DispatchKey::Autograd);
    autograd.impl("spline", spline_autograd);
    autograd.impl("spline_backward", spline_backward_autograd);
    autograd.impl("convolution", convolution_autograd);
    autograd.impl("convolution_backward", convolution_backward_autograd);
    autograd.impl("segment_sum", segment_sum_autograd);
    Libraries const libraries{cpu, cuda, meta, autograd};
    implement_cluster(libraries);
    implement_density(libraries);
    implement_products(libraries);
    return true;
  }();
  static_cast<void>(registered);
}

}  // namespace torchml
