// What the workgroup form of attention and of its gradients is made of. A workgroup of WX × WY threads has 4·TILE rows of its own (queries,
// or keys) and goes along the others BLOCK = 4·WX at a time. `products` is a matmul of own rows with a block of the others, along the width;
// `weighted` adds another to a sum: what was made of those products, times rows of the block. Both are what matmul-workgroup.wgsl does: a
// thread has 4·ROWS_A rows and four columns in registers, for ROWS_A + 1 reads of workgroup memory a step. In between the products stay there.
//   Thread (row, column) has own rows 4·(row·ROWS_A + q) + j; of a block, rows column + WX·i, i in a vec4; of a result, the vectors column + WX·c.
// So each quarter of a block is one of the four that every thread has, and all put their weights for it into memory at once.
//   Operands come in pairs, of the rows that a workgroup has and of those it goes along: the first is q and k, the second do and v. The text of
// each op has start_own, vector_own, start_other and vector_other for both.
const TILE = WY * ROWS_A;
const BLOCK = 4u * WX;
const PITCH = WY + 1u;
const PV = PART * WX;
// For each step of a sum: the own rows, and the other operand. Steps lie in pairs, and what a thread has side by side, because every index that
// is no constant is checked. PITCH is odd, and there is a gap after four steps, so that stores by column, and of neighbouring vectors of a
// row, are in different banks.
struct OwnFour {
  pairs: array<array<array<array<vec4f, ROWS_A>, PITCH>, 2>, 2>,
  gap: array<vec4f, GAP>,
}
struct OtherFour {
  pairs: array<array<array<vec4f, PV>, 2>, 2>,
  gap: array<vec4f, GAP>,
}
var<workgroup> own: array<OwnFour, DEPTH / 4u>;
var<workgroup> other: array<OtherFour, DEPTH / 4u>;

// own · otherᵀ for all of the width, which has as many `vectors`.
fn products(
  sum: ptr<function, array<vec4f, RESULTS>>,
  second: bool,
  vectors: u32,
  batch: u32,
  mine: u32,
  first: u32,
  lid: u32
) {
  let column = lid % WX;
  let row = lid / WX;
  for (var r = 0u; r < RESULTS; r++) { // unroll
    (*sum)[r] = vec4f();
  }
  var a = array<vec4f, ROWS_A>();
  // Neighbours fetch neighbouring vectors of a row, STEP of them, first of own rows and then of others: four by four in a thread.
  var starts = array<vec4u, FETCHES>();
  var next = array<mat4x4f, FETCHES>();
  for (var f = 0u; f < FETCHES; f++) { // unroll
    let quad = (f * THREADS + lid) / STEP;
    if (quad < TILE) {
      let at = mine + 4u * quad;
      starts[f] = vec4u(
        start_own(second, batch, at),
        start_own(second, batch, at + 1u),
        start_own(second, batch, at + 2u),
        start_own(second, batch, at + 3u)
      );
    } else {
      let at = first + quad - TILE;
      starts[f] = vec4u(
        start_other(second, batch, at),
        start_other(second, batch, at + WX),
        start_other(second, batch, at + 2u * WX),
        start_other(second, batch, at + 3u * WX)
      );
    }
  }
  // Before the first step there is nothing to multiply, in the last nothing more to fetch.
  for (var step = 0u; step < vectors + STEP; step += STEP) {
    if (step > 0u) {
      for (var f = 0u; f < FETCHES; f++) { // unroll
        let quad = (f * THREADS + lid) / STEP;
        let c = (f * THREADS + lid) % STEP;
        let found = next[f];
        if (quad < TILE) {
          for (var j = 0u; j < 4u; j++) { // unroll
            own[c].pairs[j / 2u][j % 2u][quad / ROWS_A][quad % ROWS_A] = found[j];
          }
        } else if (quad < TILE + WX) {
          for (var j = 0u; j < 4u; j++) { // unroll
            other[c].pairs[j / 2u][j % 2u][quad - TILE] = found[j];
          }
        }
      }
      workgroupBarrier();
    }
    if (step < vectors) {
      for (var f = 0u; f < FETCHES; f++) { // unroll
        let quad = (f * THREADS + lid) / STEP;
        let c = step + (f * THREADS + lid) % STEP;
        let at = starts[f];
        if (quad < TILE) {
          next[f] = transpose(
            mat4x4f(
              vector_own(second, at.x, c),
              vector_own(second, at.y, c),
              vector_own(second, at.z, c),
              vector_own(second, at.w, c)
            )
          );
        } else if (quad < TILE + WX) {
          next[f] = transpose(
            mat4x4f(
              vector_other(second, at.x, c),
              vector_other(second, at.y, c),
              vector_other(second, at.z, c),
              vector_other(second, at.w, c)
            )
          );
        }
      }
    }
    if (step > 0u) {
      for (var k = 0u; k < STEP_PAIRS; k++) { // unroll where WHOLE
        for (var d = 0u; d < 2u; d++) { // unroll
          for (var q = 0u; q < ROWS_A; q++) { // unroll
            a[q] = own[k / 2u].pairs[k % 2u][d][row][q];
          }
          let b = other[k / 2u].pairs[k % 2u][d][column];
          for (var q = 0u; q < ROWS_A; q++) { // unroll
            for (var j = 0u; j < 4u; j++) { // unroll
              (*sum)[4u * q + j] += a[q][j] * b;
            }
          }
        }
      }
      workgroupBarrier();
    }
  }
}

// What a thread fetches of WX rows of the other operand, from row `first` on.
fn fetched_rows(second: bool, batch: u32, first: u32, lid: u32) -> array<vec4f, ROW_FETCHES> {
  var found = array<vec4f, ROW_FETCHES>();
  for (var f = 0u; f < ROW_FETCHES; f++) { // unroll
    let i = f * THREADS + lid;
    found[f] = vector_other(second, start_other(second, batch, first + i / PV), i % PV);
  }
  return found;
}

// Adds weights · other rows, of which there are `rows`; weights of rows past the last are zero. A quarter of the block at a time. The first
// quarter's rows have been fetched, while there was something else to do.
fn weighted(
  sum: ptr<function, array<vec4f, SUMS>>,
  weights: array<vec4f, RESULTS>,
  fetched: array<vec4f, ROW_FETCHES>,
  second: bool,
  batch: u32,
  first: u32,
  rows: u32,
  lid: u32
) {
  let column = lid % WX;
  let row = lid / WX;
  var w = weights;
  var a = array<vec4f, ROWS_A>();
  var next = fetched;
  let count = min(BLOCK, rows - first);
  for (var at = 0u; at < count; at += WX) {
    for (var q = 0u; q < ROWS_A; q++) { // unroll
      own[column / 4u].pairs[column / 2u % 2u][column % 2u][row][q] = vec4f(w[4u * q].x, w[4u * q + 1u].x, w[4u * q + 2u].x, w[4u * q + 3u].x);
    }
    // The next quarter's weights come first: an index that is no constant would take them out of registers.
    for (var r = 0u; r < RESULTS; r++) { // unroll
      w[r] = w[r].yzwx;
    }
    for (var f = 0u; f < ROW_FETCHES; f++) { // unroll
      let i = f * THREADS + lid;
      if (i < WX * PV) {
        other[i / PV / 4u].pairs[i / PV / 2u % 2u][i / PV % 2u][i % PV] = next[f];
      }
    }
    workgroupBarrier();
    if (at + WX < count) {
      next = fetched_rows(second, batch, first + at + WX, lid);
    }
    for (var k = 0u; k < COLUMN_PAIRS; k++) { // unroll where WHOLE
      for (var d = 0u; d < 2u; d++) { // unroll
        for (var q = 0u; q < ROWS_A; q++) { // unroll
          a[q] = own[k / 2u].pairs[k % 2u][d][row][q];
        }
        for (var c = 0u; c < PART; c++) { // unroll
          let b = other[k / 2u].pairs[k % 2u][d][c * WX + column];
          for (var q = 0u; q < ROWS_A; q++) { // unroll
            for (var j = 0u; j < 4u; j++) { // unroll
              (*sum)[4u * (q * PART + c) + j] += a[q][j] * b;
            }
          }
        }
      }
    }
    workgroupBarrier();
  }
}

// Which of a thread's four rows of the block are below `rows`.
fn within(first: u32, column: u32, rows: u32) -> vec4<bool> {
  return vec4u(first + column) + WX * vec4u(0u, 1u, 2u, 3u) < vec4u(rows);
}

// Lines of WX numbers in memory, one of each column, four lines in a vec4: stored along the columns, read by all threads of a row, or of a
// column. Each line is read from a place of its own on, so that either way neighbours are in different banks.
fn keep(line: u32, column: u32, value: vec4f) {
  other[line / 4u].pairs[line / 2u % 2u][line % 2u][column] = value;
}

fn kept(line: u32, c: u32) -> vec4f {
  return other[line / 4u].pairs[line / 2u % 2u][line % 2u][(c + line) % WX];
}

fn sum_of_line(line: u32) -> vec4f {
  var sum = vec4f();
  for (var c = 0u; c < COLUMNS; c++) { // unroll where WHOLE
    sum += kept(line, c);
  }
  return sum;
}

// Makes of what each thread has of own rows their sums.
fn sums_of_rows(x: ptr<function, array<vec4f, ROWS_A>>, lid: u32) {
  for (var q = 0u; q < ROWS_A; q++) { // unroll
    keep(lid / WX * ROWS_A + q, lid % WX, (*x)[q]);
  }
  workgroupBarrier();
  for (var q = 0u; q < ROWS_A; q++) { // unroll
    (*x)[q] = sum_of_line(lid / WX * ROWS_A + q);
  }
  workgroupBarrier();
}

fn sum_of(x: vec4f) -> f32 {
  return x.x + x.y + x.z + x.w;
}
