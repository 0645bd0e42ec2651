// attention: o = softmax(SCALE · q · kᵀ) · v by blocks of keys, as products and a weighted sum (attention-products.wgsl). What was summed before
// is brought to the new largest score of each query, then the block is added (online softmax). The sums of weights stay apart by thread.
fn start_own(second: bool, batch: u32, row: u32) -> u32 {
  return start_q(batch, min(row, QUERIES - 1u));
}

fn vector_own(second: bool, start: u32, c: u32) -> vec4f {
  return vector_q(start, c) * SCALE;
}

fn start_other(second: bool, batch: u32, row: u32) -> u32 {
  if (second) {
    return start_v(batch, min(row, KEYS - 1u));
  }
  return start_k(batch, min(row, KEYS - 1u));
}

fn vector_other(second: bool, start: u32, c: u32) -> vec4f {
  if (second) {
    return vector_v(start, c);
  }
  return vector_k(start, c);
}

fn largest_of(x: vec4f) -> f32 {
  return max(max(x.x, x.y), max(x.z, x.w));
}

const LEAST = -3.4028234663852886e38f;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let group = group_id(wid);
  if (group >= blocks(QUERIES) * BATCHES) {
    return;
  }
  let batch = group / blocks(QUERIES);
  let mine = (group % blocks(QUERIES)) * OWNERS;
  let column = lid % WX;
  let row = lid / WX;
  var sum = array<vec4f, SUMS>();
  var peak = array<vec4f, ROWS_A>();
  var total = array<vec4f, ROWS_A>();
  for (var q = 0u; q < ROWS_A; q++) { // unroll
    peak[q] = vec4f(LEAST);
  }
  var s = array<vec4f, RESULTS>();
  for (var first = 0u; first < KEYS; first += BLOCK) {
    products(&s, false, A, batch, mine, first, lid);
    let fetched = fetched_rows(true, batch, first, lid);
    let keys = within(first, column, KEYS);
    for (var q = 0u; q < ROWS_A; q++) { // unroll
      for (var j = 0u; j < 4u; j++) { // unroll
        s[4u * q + j] = select(vec4f(LEAST), s[4u * q + j], keys);
      }
      let most = vec4f(largest_of(s[4u * q]), largest_of(s[4u * q + 1u]), largest_of(s[4u * q + 2u]), largest_of(s[4u * q + 3u]));
      keep(row * ROWS_A + q, column, most);
    }
    workgroupBarrier();
    for (var q = 0u; q < ROWS_A; q++) { // unroll
      var top = peak[q];
      for (var c = 0u; c < COLUMNS; c++) { // unroll where WHOLE
        top = max(top, kept(row * ROWS_A + q, c));
      }
      let shrink = exp(peak[q] - top);
      peak[q] = top;
      for (var j = 0u; j < 4u; j++) { // unroll
        s[4u * q + j] = exp(s[4u * q + j] - top[j]);
        for (var c = 0u; c < PART; c++) { // unroll
          sum[4u * (q * PART + c) + j] *= shrink[j];
        }
      }
      let added = vec4f(sum_of(s[4u * q]), sum_of(s[4u * q + 1u]), sum_of(s[4u * q + 2u]), sum_of(s[4u * q + 3u]));
      total[q] = total[q] * shrink + added;
    }
    workgroupBarrier();
    weighted(&sum, s, fetched, true, batch, first, KEYS, lid);
  }
  sums_of_rows(&total, lid);
  for (var q = 0u; q < ROWS_A; q++) { // unroll
    for (var j = 0u; j < 4u; j++) { // unroll
      let query = mine + 4u * (row * ROWS_A + q) + j;
      if (query < QUERIES) {
        let start = start_o(batch, query);
        for (var c = 0u; c < PART; c++) { // unroll
          put_o(start, c * WX + column, sum[4u * (q * PART + c) + j] / total[q][j]);
        }
        if (column == 0u) {
          store_lse(batch, query, peak[q][j] + log(total[q][j]));
        }
      }
    }
  }
}
