// Plain loops over features that the compiler turns into vectors, once per instruction set.
#include "operators/message_kernel.hpp"

#include "operators/lanes.hpp"

namespace torchml::operators::TORCHML_SIMD {
namespace {

template <class Real>
void clear(Real* values, std::int64_t count) {
  for (std::int64_t k = 0; k < count; ++k) values[k] = 0;
}

/// The factor of a term; 1, which does not change, where it has none.
template <class Real>
Real factor_of(Term const& term, Real const* factors) {
  return term.factor < 0 ? Real(1) : factors[term.factor];
}
template <class Real>
Real change_of(Term const& term, Real const* changes) {
  return term.factor < 0 ? Real(0) : changes[term.factor];
}

template <class Real>
void add_message(std::int64_t width, Real const* __restrict w, Real f, Real const* __restrict x,
                 Real* __restrict sum) {
#pragma omp simd
  for (std::int64_t k = 0; k < width; ++k) sum[k] += w[k] * (f * x[k]);
}

template <class Real>
void add_change(std::int64_t width, Real const* __restrict w, Real const* __restrict dw, Real f,
                Real df, Real const* __restrict x, Real const* __restrict dx,
                Real* __restrict sum) {
#pragma omp simd
  for (std::int64_t k = 0; k < width; ++k)
    sum[k] += w[k] * (f * dx[k] + df * x[k]) + dw[k] * (f * x[k]);
}

// --- products of small matrices

/// A matrix of which element (i, q) stands at first[i * row + q * column].
template <class Real>
struct Strided {
  Real const* first;
  std::int64_t row;
  std::int64_t column;
};

/// c[i, :] += sum over q of a[i, q] b[q, :] for some rows and vectors of columns.
template <int rows, int vectors, class Real>
inline void add_block(Strided<Real> const& a, std::int64_t i, std::int64_t depth, Real const* b,
                      std::int64_t b_row, Real* c, std::int64_t c_row) {
  Lanes<Real> sum[rows][vectors] = {};
  for (std::int64_t q = 0; q < depth; ++q) {
    Real const* const column = a.first + i * a.row + q * a.column;
    Lanes<Real> value[vectors];
    for (int v = 0; v < vectors; ++v) value[v] = load(b + q * b_row + v * lanes<Real>);
    for (int r = 0; r < rows; ++r)
      for (int v = 0; v < vectors; ++v) sum[r][v] += column[r * a.row] * value[v];
  }
  for (int r = 0; r < rows; ++r)
    for (int v = 0; v < vectors; ++v) {
      Real* const place = c + (i + r) * c_row + v * lanes<Real>;
      store(load(static_cast<Real const*>(place)) + sum[r][v], place);
    }
}

template <int vectors, class Real>
inline void add_columns(Strided<Real> const& a, std::int64_t rows, std::int64_t depth,
                        Real const* b, std::int64_t b_row, Real* c, std::int64_t c_row) {
  std::int64_t i = 0;
  for (; i + 4 <= rows; i += 4) add_block<4, vectors>(a, i, depth, b, b_row, c, c_row);
  for (; i < rows; ++i) add_block<1, vectors>(a, i, depth, b, b_row, c, c_row);
}

/// c += a b, with a [rows, depth], b [depth, columns], c [rows, columns].
template <class Real>
void add_matrix_product(Strided<Real> const& a, std::int64_t rows, std::int64_t depth,
                        Real const* b, std::int64_t columns, Real* c) {
  constexpr int count = lanes<Real>;
  std::int64_t m = 0;
  for (; m + 2 * count <= columns; m += 2 * count)
    add_columns<2>(a, rows, depth, b + m, columns, c + m, columns);
  for (; m + count <= columns; m += count)
    add_columns<1>(a, rows, depth, b + m, columns, c + m, columns);
  for (std::int64_t i = 0; i < rows && m < columns; ++i)
    for (std::int64_t q = 0; q < depth; ++q)
      for (std::int64_t k = m; k < columns; ++k)
        c[i * columns + k] += a.first[i * a.row + q * a.column] * b[q * columns + k];
}

// --- blocks of edges

/// Some edges of one node, with their filters and, for derivatives, the changes of these.
template <class Real>
struct Block {
  int count = 0;
  std::int64_t edge[kMessageBlock];
  std::int64_t other[kMessageBlock];
  Real const* filters[kMessageBlock];
  Real const* changes[kMessageBlock];
  Real* to_filters[kMessageBlock];  ///< derivatives by the filters
  Real* to_filters_primal;          ///< with a weight: [count, columns], before the change
  Real* inputs;                     ///< with a weight: [count, inputs]
  Real* input_changes;
  Real* to_inputs;  ///< [count, padded_inputs]
  Real* to_filter_rows;
};

/// The next edges of a node from `slot` on; edges beyond the limit do not take part.
template <class Real>
std::int32_t next_edges(EdgeList const& list, std::int32_t slot, std::int32_t end,
                        std::int64_t limit, Block<Real>& block) {
  block.count = 0;
  for (; slot < end && block.count < kMessageBlock; ++slot) {
    if (list.edges[slot] >= limit) return end;  // they are sorted by number
    block.edge[block.count] = list.edges[slot];
    block.other[block.count++] = list.others[slot];
  }
  return slot;
}

/// Copies the rows of a block's edges.
template <class Real>
void take_rows(Rows<Real> const& rows, Block<Real> const& block, std::int64_t count, Real* result) {
  for (int l = 0; l < block.count; ++l) {
    Real const* const row = rows.of(block.edge[l]);
    for (std::int64_t k = 0; k < count; ++k) result[l * count + k] = row[k];
  }
}

/// Computes, or finds, the filters of a block and, unless null, their changes.
template <class Real>
void find_filters(MessageShape const& shape, MessageArrays<Real> const& arrays,
                  MessageArrays<Real> const* changes, Real* scratch, Block<Real>& block) {
  auto const columns = shape.columns();
  if (arrays.weight == nullptr) {
    for (int l = 0; l < block.count; ++l) {
      block.filters[l] = arrays.filters.of(block.edge[l]);
      if (changes != nullptr) block.changes[l] = changes->filters.of(block.edge[l]);
    }
    return;
  }
  auto const take = [&scratch](std::int64_t row) {
    Real* const result = scratch;
    scratch += kMessageBlock * row;
    return result;
  };
  block.inputs = take(shape.padded_inputs);
  block.input_changes = take(shape.padded_inputs);
  block.to_inputs = take(shape.padded_inputs);
  Real* const filters = take(columns);
  Real* const filter_changes = take(columns);
  block.to_filter_rows = take(columns);
  block.to_filters_primal = take(columns);
  for (int l = 0; l < block.count; ++l) {
    block.filters[l] = filters + l * columns;
    block.changes[l] = filter_changes + l * columns;
    block.to_filters[l] = block.to_filter_rows + l * columns;
  }
  auto const n = shape.inputs;
  Strided<Real> const inputs = {block.inputs, n, 1}, input_changes = {block.input_changes, n, 1};
  take_rows(arrays.filters, block, n, block.inputs);
  clear(filters, block.count * columns);
  add_matrix_product(inputs, block.count, n, arrays.weight, columns, filters);
  if (changes == nullptr) return;
  take_rows(changes->filters, block, n, block.input_changes);
  clear(filter_changes, block.count * columns);
  add_matrix_product(input_changes, block.count, n, arrays.weight, columns, filter_changes);
  if (changes->weight != nullptr)
    add_matrix_product(inputs, block.count, n, changes->weight, columns, filter_changes);
}

/// Where the derivatives by the filters of a block are written, and zero.
template <class Real>
void clear_filter_gradients(MessageShape const& shape, MessageArrays<Real> const& arrays,
                            MessageGradients<Real> const& gradients, Block<Real>& block) {
  auto const columns = shape.columns();
  if (arrays.weight == nullptr)
    for (int l = 0; l < block.count; ++l)
      block.to_filters[l] = gradients.filters + block.edge[l] * columns;
  for (int l = 0; l < block.count; ++l) {
    clear(block.to_filters[l], columns);
    if (gradients.factors != nullptr)
      clear(gradients.factors + block.edge[l] * shape.factors, shape.factors);
  }
}

/// Derivatives by inputs and weight from those by the filters; with the changes of both, how they
/// change.
template <class Real>
void pull_back(MessageShape const& shape, MessageArrays<Real> const& arrays,
               MessageArrays<Real> const* changes, MessageGradients<Real> const& gradients,
               Block<Real>& block) {
  if (arrays.weight == nullptr) return;
  auto const n = shape.inputs, padded = shape.padded_inputs, columns = shape.columns();
  auto const count = static_cast<std::int64_t>(block.count);
  clear(block.to_inputs, count * padded);
  Strided<Real> const rows = {block.to_filter_rows, columns, 1};
  Strided<Real> const primal = {block.to_filters_primal, columns, 1};
  add_matrix_product(rows, count, columns, arrays.transposed_weight, padded, block.to_inputs);
  if (changes != nullptr && changes->weight != nullptr)
    add_matrix_product(primal, count, columns, changes->transposed_weight, padded, block.to_inputs);
  for (int l = 0; l < block.count; ++l)
    for (std::int64_t k = 0; k < n; ++k)
      gradients.filters[block.edge[l] * n + k] = block.to_inputs[l * padded + k];
  if (gradients.weight == nullptr) return;
  Strided<Real> const inputs = {block.inputs, 1, n}, input_changes = {block.input_changes, 1, n};
  add_matrix_product(inputs, n, count, block.to_filter_rows, columns, gradients.weight);
  if (changes != nullptr)
    add_matrix_product(input_changes, n, count, block.to_filters_primal, columns, gradients.weight);
}

// --- messages

/// Calls add_edge(block, l, out) for edge l of each block of edges, with the sums of its target,
/// which begin at zero. Returns false when a source lies beyond the features.
template <class Real, class F>
bool add_edges(MessageShape const& shape, MessageArrays<Real> const& arrays,
               MessageArrays<Real> const* changes, EdgeList const& by_target, std::int64_t begin,
               std::int64_t end, Real* scratch, Real* sums, F const& add_edge) {
  Block<Real> block{};
  for (std::int64_t target = begin; target < end; ++target) {
    Real* const out = sums + target * shape.rows_out * shape.width;
    clear(out, shape.rows_out * shape.width);
    auto slot = by_target.offsets[target];
    auto const stop = by_target.offsets[target + 1];
    while (slot < stop) {
      slot = next_edges(by_target, slot, stop, shape.edges, block);
      find_filters(shape, arrays, changes, scratch, block);
      for (int l = 0; l < block.count; ++l) {
        if (block.other[l] >= shape.sources) return false;
        add_edge(block, l, out);
      }
    }
  }
  return true;
}

template <class Real>
bool sums_of(MessageShape const& shape, MessageArrays<Real> const& arrays,
             EdgeList const& by_target, std::int64_t begin, std::int64_t end, Real* scratch,
             Real* sums) {
  auto const width = shape.width;
  auto const add_edge = [&](Block<Real> const& block, int l, Real* out) {
    Real const* const w = block.filters[l];
    Real const* const f = arrays.factors.of(block.edge[l]);
    Real const* const x = arrays.features.of(block.other[l]);
    for (Term const* term = shape.terms; term != shape.terms + shape.term_count; ++term)
      add_message(width, w + term->part * width, factor_of(*term, f), x + term->in * width,
                  out + term->out * width);
  };
  MessageArrays<Real> const* const unchanged = nullptr;
  return add_edges(shape, arrays, unchanged, by_target, begin, end, scratch, sums, add_edge);
}

template <class Real>
void sum_tangents_of(MessageShape const& shape, MessageArrays<Real> const& arrays,
                     MessageArrays<Real> const& changes, EdgeList const& by_target,
                     std::int64_t begin, std::int64_t end, Real* scratch, Real* sums) {
  auto const width = shape.width;
  auto const add_edge = [&](Block<Real> const& block, int l, Real* out) {
    Real const* const w = block.filters[l];
    Real const* const dw = block.changes[l];
    Real const* const f = arrays.factors.of(block.edge[l]);
    Real const* const df = changes.factors.of(block.edge[l]);
    Real const* const x = arrays.features.of(block.other[l]);
    Real const* const dx = changes.features.of(block.other[l]);
    for (Term const* term = shape.terms; term != shape.terms + shape.term_count; ++term) {
      auto const part = term->part * width, in = term->in * width;
      add_change(width, w + part, dw + part, factor_of(*term, f), change_of(*term, df), x + in,
                 dx + in, out + term->out * width);
    }
  };
  add_edges(shape, arrays, &changes, by_target, begin, end, scratch, sums, add_edge);
}

/// Adds the derivatives of one message that are requested; returns that by the factor.
template <class Real>
Real add_gradients(std::int64_t width, Real const* __restrict g, Real const* __restrict w, Real f,
                   Real const* __restrict x, Real* __restrict to_w, Real* __restrict to_x) {
  Real total = 0;
  if (to_x == nullptr) {
#pragma omp simd reduction(+ : total)
    for (std::int64_t k = 0; k < width; ++k) {
      Real const product = g[k] * x[k];
      total += w[k] * product;
      to_w[k] += f * product;
    }
  } else {
#pragma omp simd reduction(+ : total)
    for (std::int64_t k = 0; k < width; ++k) {
      Real const product = g[k] * x[k];
      total += w[k] * product;
      to_w[k] += f * product;
      to_x[k] += g[k] * (f * w[k]);
    }
  }
  return total;
}

/// The changes of these derivatives.
template <class Real>
Real add_gradient_changes(std::int64_t width, Real const* __restrict g, Real const* __restrict w,
                          Real const* __restrict dw, Real f, Real df, Real const* __restrict x,
                          Real const* __restrict dx, Real* __restrict to_w, Real* __restrict to_x) {
  Real total = 0;
  if (to_x == nullptr) {
#pragma omp simd reduction(+ : total)
    for (std::int64_t k = 0; k < width; ++k) {
      total += g[k] * (dw[k] * x[k] + w[k] * dx[k]);
      to_w[k] += g[k] * (f * dx[k] + df * x[k]);
    }
  } else {
#pragma omp simd reduction(+ : total)
    for (std::int64_t k = 0; k < width; ++k) {
      total += g[k] * (dw[k] * x[k] + w[k] * dx[k]);
      to_w[k] += g[k] * (f * dx[k] + df * x[k]);
      to_x[k] += g[k] * (f * dw[k] + df * w[k]);
    }
  }
  return total;
}

template <class Real>
void gradients_of(MessageShape const& shape, MessageArrays<Real> const& arrays,
                  EdgeList const& by_source, Real const* gradient, std::int64_t begin,
                  std::int64_t end, Real* scratch, MessageGradients<Real> const& gradients) {
  auto const width = shape.width;
  Block<Real> block{};
  for (std::int64_t source = begin; source < end; ++source) {
    Real const* const x = arrays.features.of(source);
    Real* const to_x = gradients.features == nullptr
                           ? nullptr
                           : gradients.features + source * shape.rows_in * width;
    if (to_x != nullptr) clear(to_x, shape.rows_in * width);
    auto slot = by_source.offsets[source];
    auto const stop = by_source.offsets[source + 1];
    while (slot < stop) {
      slot = next_edges(by_source, slot, stop, shape.edges, block);
      find_filters<Real>(shape, arrays, nullptr, scratch, block);
      clear_filter_gradients(shape, arrays, gradients, block);
      for (int l = 0; l < block.count; ++l) {
        auto const edge = block.edge[l];
        if (block.other[l] >= shape.targets) continue;  // this sum was not requested
        Real const* const g = gradient + block.other[l] * shape.rows_out * width;
        Real const* const f = arrays.factors.of(edge);
        for (Term const* term = shape.terms; term != shape.terms + shape.term_count; ++term) {
          auto const part = term->part * width, in = term->in * width;
          Real const share = add_gradients(width, g + term->out * width, block.filters[l] + part,
                                           factor_of(*term, f), x + in, block.to_filters[l] + part,
                                           to_x == nullptr ? nullptr : to_x + in);
          if (gradients.factors != nullptr && term->factor >= 0)
            gradients.factors[edge * shape.factors + term->factor] += share;
        }
      }
      pull_back<Real>(shape, arrays, nullptr, gradients, block);
    }
  }
}

template <class Real>
void gradient_tangents_of(MessageShape const& shape, MessageArrays<Real> const& arrays,
                          MessageArrays<Real> const& changes, EdgeList const& by_source,
                          Real const* gradient, std::int64_t begin, std::int64_t end, Real* scratch,
                          MessageGradients<Real> const& gradients) {
  auto const width = shape.width;
  Block<Real> block{};
  for (std::int64_t source = begin; source < end; ++source) {
    Real const* const x = arrays.features.of(source);
    Real const* const dx = changes.features.of(source);
    Real* const to_x = gradients.features == nullptr
                           ? nullptr
                           : gradients.features + source * shape.rows_in * width;
    if (to_x != nullptr) clear(to_x, shape.rows_in * width);
    auto slot = by_source.offsets[source];
    auto const stop = by_source.offsets[source + 1];
    while (slot < stop) {
      slot = next_edges(by_source, slot, stop, shape.edges, block);
      find_filters(shape, arrays, &changes, scratch, block);
      clear_filter_gradients(shape, arrays, gradients, block);
      bool const has_weight = arrays.weight != nullptr;
      if (has_weight) clear(block.to_filters_primal, block.count * shape.columns());
      for (int l = 0; l < block.count; ++l) {
        auto const edge = block.edge[l];
        if (block.other[l] >= shape.targets) continue;  // this sum was not requested
        Real const* const g = gradient + block.other[l] * shape.rows_out * width;
        Real const* const f = arrays.factors.of(edge);
        Real const* const df = changes.factors.of(edge);
        Real* const primal = has_weight ? block.to_filters_primal + l * shape.columns() : nullptr;
        for (Term const* term = shape.terms; term != shape.terms + shape.term_count; ++term) {
          auto const part = term->part * width, in = term->in * width;
          Real const* const row = g + term->out * width;
          Real const share = add_gradient_changes(
              width, row, block.filters[l] + part, block.changes[l] + part, factor_of(*term, f),
              change_of(*term, df), x + in, dx + in, block.to_filters[l] + part,
              to_x == nullptr ? nullptr : to_x + in);
          if (has_weight) add_message(width, row, factor_of(*term, f), x + in, primal + part);
          if (gradients.factors != nullptr && term->factor >= 0)
            gradients.factors[edge * shape.factors + term->factor] += share;
        }
      }
      pull_back(shape, arrays, &changes, gradients, block);
    }
  }
}

}  // namespace

MessageKernel64 const message_kernel_f64 = {sums_of<double>, gradients_of<double>,
                                            sum_tangents_of<double>, gradient_tangents_of<double>};
MessageKernel32 const message_kernel_f32 = {sums_of<float>, gradients_of<float>,
                                            sum_tangents_of<float>, gradient_tangents_of<float>};

}  // namespace torchml::operators::TORCHML_SIMD
